"""The n most similar earlier runs of a row (CONTRACT.md 6.5 and 7), without looking at every pair. Pure.

Runs with the same tags form a group. Inside a group a later run never scores lower, so only the last n
of a group can win; and between groups only those that share a tag, or that hold the most recent runs,
can. `Pool` therefore keeps each group in order and looks at groups from the best Jaccard down, until no
group left can beat the n-th best so far.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

_DAY_MS = 86_400_000
_RECENCY = (0.1 / 1, 0.1 / 2, 0.1 / 3, 0.1 / 4)
Tags = frozenset[str]


class Candidate(NamedTuple):
    """A run in the history pool, ordered as ties are broken: latest first, then by run_id, then as found."""

    negative_started_ms: int
    run_id: str
    sequence: int


def recency(age_ms: int) -> float:
    """The part of the score that a candidate has for being recent."""
    if age_ms < _DAY_MS:
        return _RECENCY[0]
    if age_ms < 7 * _DAY_MS:
        return _RECENCY[1]
    return _RECENCY[2] if age_ms < 30 * _DAY_MS else _RECENCY[3]


class Pool:
    """The runs that a row may see, grouped by their tags. Candidates are added as they become visible."""

    def __init__(self) -> None:
        self._groups: dict[Tags, list[Candidate]] = {}
        self._by_tag: dict[str, list[Tags]] = {}
        self._recent: list[Candidate] = []

    def add(self, tags: Tags, candidate: Candidate) -> None:
        """Make a run visible to the rows that are asked for from now on."""
        group = self._groups.get(tags)
        if group is None:
            group = self._groups[tags] = []
            for tag in tags:
                self._by_tag.setdefault(tag, []).append(tags)
        insort(group, candidate)
        insort(self._recent, candidate)

    def nearest(self, tags: Tags, started_ms: int, n: int, leave_out: int | None = None) -> list[int]:
        """Sequence numbers of the n best, latest first; `leave_out` is the row's own number."""
        if n <= 0:
            return []
        best: list[tuple[float, Candidate]] = []
        for similarity, group in self._groups_by_similarity(tags):
            if len(best) == n and 0.6 * similarity + _RECENCY[0] < -best[-1][0]:
                break
            _merge(best, group, similarity, started_ms, n, leave_out)
        if len(best) < n or -best[-1][0] <= _RECENCY[0]:
            _merge(best, self._recent, 0.0, started_ms, n, leave_out, seen={c.sequence for _, c in best})
        # Two runs can share time and run_id: sorting is stable, and the better score then stays in front.
        chosen = sorted((candidate for _, candidate in best), key=_by_time)
        return [candidate.sequence for candidate in chosen]

    def _groups_by_similarity(self, tags: Tags) -> Iterator[tuple[float, list[Candidate]]]:
        """The groups that share a tag, the most similar first; the Jaccard follows from three counts."""
        shared = Counter(chain.from_iterable(self._by_tag.get(tag, ()) for tag in tags))
        alike: dict[float, list[Tags]] = {}
        for other, common in shared.items():
            alike.setdefault(common / (len(tags) + len(other) - common), []).append(other)
        for similarity in sorted(alike, reverse=True):
            for other in alike[similarity]:
                yield similarity, self._groups[other]


def _by_time(candidate: Candidate) -> tuple[int, str]:
    return candidate.negative_started_ms, candidate.run_id


def _merge(
    best: list[tuple[float, Candidate]],
    group: Iterable[Candidate],
    similarity: float,
    started_ms: int,
    n: int,
    leave_out: int | None,
    seen: set[int] | None = None,
) -> None:
    """Take the group's candidates into the n best; a group is in order, so the first that loses ends it."""
    for candidate in group:
        if candidate.sequence == leave_out or (seen and candidate.sequence in seen):
            continue
        score = 0.6 * similarity + recency(started_ms + candidate.negative_started_ms)
        entry = (-score, candidate)
        if len(best) == n and entry >= best[-1]:
            return
        insort(best, entry)
        del best[n:]
