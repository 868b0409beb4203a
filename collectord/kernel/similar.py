"""The n most similar earlier runs of a row (CONTRACT.md 6.5 and 7), without looking at every pair. Pure.

The Jaccard of a row and a run follows from three counts: how many tags each has and how many they share.
Among runs with the same three counts a later one never scores lower, so the last n of them can win and no
other. `Pool` therefore files each run under every subset of its tags, together with how many tags it has,
and keeps the last n of each list (one more for the row itself). A row looks up the subsets of its own
tags, the best Jaccard first, until no list left can beat the n-th best so far. A list also holds runs that
share more than its subset: they were met before under a larger one, with a better score.

Subsets are many where tags are many, so runs with more than MAX_FILED tags are found by counting instead.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from heapq import merge
from itertools import chain, combinations
from typing import NamedTuple

_DAY_MS = 86_400_000
_RECENCY = (0.1 / 1, 0.1 / 2, 0.1 / 3, 0.1 / 4)
MAX_FILED = 6
Tags = frozenset[str]


class Candidate(NamedTuple):
    """A run in the history pool, ordered as ties are broken: latest first, then by run_id, then as found."""

    negative_started_ms: int
    run_id: str
    sequence: int


# Candidates in order, and the Jaccard that they have at least.
Lists = Iterator[tuple[float, list[Candidate]]]


def recency(age_ms: int) -> float:
    """The part of the score that a candidate has for being recent."""
    if age_ms < _DAY_MS:
        return _RECENCY[0]
    if age_ms < 7 * _DAY_MS:
        return _RECENCY[1]
    return _RECENCY[2] if age_ms < 30 * _DAY_MS else _RECENCY[3]


class Pool:
    """The runs that a row may see. Candidates are added as they become visible; each row gets `n` of them."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._filed = _Filed(n + 1)
        self._few, self._many = _Counted(n + 1), _Counted(n + 1)
        self._recent: list[Candidate] = []

    def add(self, tags: Tags, candidate: Candidate) -> None:
        """Make a run visible to the rows that are asked for from now on."""
        if len(tags) <= MAX_FILED:
            self._filed.add(tags, candidate)
            self._few.add(tags, candidate)
        else:
            self._many.add(tags, candidate)
        _insert(self._recent, candidate, self._n + 1)

    def nearest(self, tags: Tags, started_ms: int, leave_out: int | None = None) -> list[int]:
        """Sequence numbers of the n best, latest first; `leave_out` is the row's own number."""
        if self._n <= 0:
            return []
        best = _Best(self._n, started_ms, leave_out)
        for similarity, candidates in self._lists(tags):
            if not best.may_take(similarity):
                break
            best.offer(similarity, candidates)
        best.offer(0.0, self._recent)
        return best.latest_first()

    def _lists(self, tags: Tags) -> Lists:
        few = self._filed.lists(tags) if len(tags) <= MAX_FILED else self._few.lists(tags)
        return merge(few, self._many.lists(tags), key=_by_similarity)


def _by_similarity(found: tuple[float, list[Candidate]]) -> float:
    return -found[0]


def _insert(candidates: list[Candidate], candidate: Candidate, count: int) -> None:
    """Insert in order; what comes after the first `count` can never win again."""
    insort(candidates, candidate)
    del candidates[count:]


class _Filed:
    """Candidates by how many tags they have and by each subset of these."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._by_size: dict[int, dict[tuple[str, ...], list[Candidate]]] = {}

    def add(self, tags: Tags, candidate: Candidate) -> None:
        lists = self._by_size.setdefault(len(tags), {})
        for subset in chain.from_iterable(_subsets(tags)):
            _insert(lists.setdefault(subset, []), candidate, self._count)

    def lists(self, tags: Tags) -> Lists:
        """The lists under each subset of the tags, the best Jaccard first."""
        subsets = _subsets(tags)
        for similarity, common, size in _classes(len(tags), tuple(self._by_size)):
            lists = self._by_size[size]
            for subset in subsets[common - 1]:
                if subset in lists:
                    yield similarity, lists[subset]


@lru_cache(maxsize=4096)
def _subsets(tags: Tags) -> list[list[tuple[str, ...]]]:
    """The subsets of one tag, of two, and so on."""
    listed = sorted(tags)
    return [list(combinations(listed, size)) for size in range(1, len(listed) + 1)]


@lru_cache(maxsize=1024)
def _classes(own: int, sizes: tuple[int, ...]) -> list[tuple[float, int, int]]:
    """(Jaccard, shared tags, tags of the candidate), the best first; among equals the order is free."""
    found = [
        (common / (own + size - common), common, size)
        for size in sizes
        for common in range(1, min(own, size) + 1)
    ]
    return sorted(found, reverse=True)


class _Counted:
    """Candidates grouped by their tags; a look at one tag set costs as much as there are groups."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._groups: dict[Tags, list[Candidate]] = {}
        self._by_tag: dict[str, list[Tags]] = {}

    def add(self, tags: Tags, candidate: Candidate) -> None:
        group = self._groups.get(tags)
        if group is None:
            group = self._groups[tags] = []
            for tag in tags:
                self._by_tag.setdefault(tag, []).append(tags)
        _insert(group, candidate, self._count)

    def lists(self, tags: Tags) -> Lists:
        """The groups that share a tag, the most similar first."""
        shared = Counter(chain.from_iterable(self._by_tag.get(tag, ()) for tag in tags))
        alike: dict[float, list[Tags]] = {}
        for other, common in shared.items():
            alike.setdefault(common / (len(tags) + len(other) - common), []).append(other)
        for similarity in sorted(alike, reverse=True):
            for other in alike[similarity]:
                yield similarity, self._groups[other]


class _Best:
    """The n best so far for a row; they are offered with a Jaccard that never rises."""

    def __init__(self, n: int, started_ms: int, leave_out: int | None) -> None:
        self._n, self._started_ms = n, started_ms
        self._best: list[tuple[float, Candidate]] = []
        self._met = set() if leave_out is None else {leave_out}

    def may_take(self, similarity: float) -> bool:
        """Whether a candidate with this Jaccard could still be among the best."""
        return len(self._best) < self._n or 0.6 * similarity + _RECENCY[0] >= -self._best[-1][0]

    def offer(self, similarity: float, candidates: Iterable[Candidate]) -> None:
        """Take what wins; the candidates are in order, so the first that loses ends it."""
        for candidate in candidates:
            if candidate.sequence in self._met:
                continue
            score = 0.6 * similarity + recency(self._started_ms + candidate.negative_started_ms)
            entry = (-score, candidate)
            if len(self._best) == self._n and entry >= self._best[-1]:
                return
            self._met.add(candidate.sequence)
            insort(self._best, entry)
            del self._best[self._n :]

    def latest_first(self) -> list[int]:
        """Their sequence numbers."""
        # Two runs can share time and run_id: sorting is stable, and the better score then stays in front.
        chosen = sorted((candidate for _, candidate in self._best), key=_by_time)
        return [candidate.sequence for candidate in chosen]


def _by_time(candidate: Candidate) -> tuple[int, str]:
    return candidate.negative_started_ms, candidate.run_id
