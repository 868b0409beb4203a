"""Epochs: a fold over runs in dispatch order, and when the end of one is final. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from collectord.epochs.assign import Assignment, KnownBy, RunKey
from collectord.epochs.timeline import NOWHERE, Standing
from collectord.index.environments import Seal
from collectord.model import Epoch
from collectord.repo.files import InFlight

POLICY, EVIDENCE, NONE = "policy", "evidence", "none"
CHANGED = "the environment changed"
# Before anything is known so many runs must show an environment for it to stand beside the others.
ENOUGH_RUNS = 3
Same = Callable[[str, str], bool]
# (cuts before it, in effect since, fingerprint): runs of one place are of one epoch.
_Place = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class Cut:
    """A cut by hand: runs dispatched at or after `at_ms` are of another epoch."""

    at_ms: int
    why: str


@dataclass(frozen=True, slots=True)
class Folded:
    """The epochs in order of their numbers, the number of each run, and the epochs whose kernel was seen."""

    epochs: tuple[Epoch, ...]
    number_of: Mapping[RunKey, int]
    seen: frozenset[int] = frozenset()

    @property
    def current(self) -> Epoch | None:
        """The epoch of the run dispatched last; a few odd runs count only where there are no others."""
        standing = [e for e in self.epochs if e.origin != EVIDENCE or e.runs >= ENOUGH_RUNS]
        return max(standing or self.epochs, key=lambda e: (e.last_ms, e.number), default=None)


def fold(
    found: Sequence[Assignment], standing: Standing, cuts: Sequence[Cut], same: Same = str.__eq__
) -> Folded:
    """The epochs of runs given in dispatch order; `same` says which environments are of one epoch."""
    marks = sorted(cuts, key=lambda cut: cut.at_ms)
    places = _hosted([_place(a, marks) for a in found], found)
    used = sorted({place for place in places if _is_known(place)})
    merged = _merged(places, used, same)
    groups: dict[_Place, list[Assignment]] = {}
    for place, assignment in zip(places, found, strict=True):
        groups.setdefault(merged[place], []).append(assignment)
    ends = _Ends(standing, marks, used, found, same)
    numbered = list(enumerate(groups.items(), 1))
    epochs = tuple(_epoch(number, place, runs, ends) for number, (place, runs) in numbered)
    number_of = {(a.run.kind, a.run.name): n for n, (_, runs) in numbered for a in runs}
    seen = frozenset(n for n, (_, runs) in numbered if runs[-1].known_by is KnownBy.PROCESS)
    return Folded(epochs, number_of, seen)


def key_of(fingerprint: str, ended_ms: int | None, cuts: int) -> str:
    """What an epoch of the timeline is known by: runs that arrive late move its number, and not its end."""
    return f"{fingerprint}@{ended_ms}#{cuts}"


def former_keys(epochs: Sequence[Epoch], keys: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """By an epoch's key, which of `keys` were its own before its end moved: an edit undone, say."""
    alive = {epoch.key for epoch in epochs}
    found: dict[str, tuple[str, ...]] = {}
    for key in sorted(set(keys) - alive):
        for epoch in _that_had(epochs, key):
            found[epoch.key] = (*found.get(epoch.key, ()), key)
    return found


def _that_had(epochs: Sequence[Epoch], key: str) -> Sequence[Epoch]:
    """The one epoch, or none: the last of that environment and those cuts to begin before the end."""
    fingerprint, _, rest = key.rpartition("@")
    ended, _, cuts = rest.partition("#")
    if not ended.isdigit():
        return ()
    began = [
        e for e in epochs if e.since_ms < int(ended) and e.key == key_of(fingerprint, e.ended_ms, int(cuts))
    ]
    return sorted(began, key=lambda e: e.since_ms)[-1:]


def _place(assignment: Assignment, marks: Sequence[Cut]) -> _Place:
    before = bisect_right(marks, assignment.run.started_ms, key=lambda cut: cut.at_ms)
    return before, assignment.since_ms, assignment.fingerprint


def _is_known(place: _Place) -> bool:
    """Whether its environment was read from files."""
    return place[1] != NOWHERE


def _hosted(places: list[_Place], found: Sequence[Assignment]) -> list[_Place]:
    """Places with too few runs from before anything is known are those of the run before, else after."""
    counts: dict[_Place, int] = {}
    for place, assignment in zip(places, found, strict=True):
        unexplained = assignment.position == NOWHERE
        counts[place] = counts.get(place, 0) + (
            1 if unexplained and assignment.newest == NOWHERE else ENOUGH_RUNS
        )
    if all(count >= ENOUGH_RUNS for count in counts.values()):
        return places
    is_odd = [counts[place] < ENOUGH_RUNS for place in places]
    host: _Place | None = next((p for p, odd in zip(places, is_odd, strict=True) if not odd), None)
    host = host or (places[0] if places else None)
    hosted = []
    for place, odd in zip(places, is_odd, strict=True):
        host = host if odd and host is not None else place
        hosted.append(host)
    return hosted


def _merged(places: Sequence[_Place], used: Sequence[_Place], same: Same) -> dict[_Place, _Place]:
    """Each place and the first of those that it is one epoch with.

    From A to B and back to A with no run in between is no change of the environment at all.
    """
    merged = {place: place for place in places}
    for before, after in pairwise(used):
        if before[0] == after[0] and same(before[2], after[2]):
            merged[after] = merged[before]
    return merged


def _epoch(number: int, place: _Place, runs: Sequence[Assignment], ends: _Ends) -> Epoch:
    cuts, _, fingerprint = place
    unexplained = not _is_known(place)
    ended_ms, why = ends.of_evidence(cuts, runs[-1]) if unexplained else ends.of_policy(place)
    known_by = EVIDENCE if unexplained else POLICY
    return Epoch(
        number=number,
        key=f"{fingerprint}#{cuts}" if unexplained else key_of(fingerprint, ended_ms, cuts),
        fingerprint=fingerprint,
        origin=known_by if fingerprint else NONE,
        first_ms=runs[0].run.started_ms,
        last_ms=runs[-1].run.started_ms,
        runs=len(runs),
        since_ms=ends.beginning(place, runs[0]),
        ended_ms=ended_ms,
        why=why,
        strays=sum(a.position == NOWHERE and a.fingerprint != fingerprint for a in runs),
    )


@dataclass(frozen=True)
class _Ends:
    """What ended each epoch, and when."""

    standing: Standing
    marks: Sequence[Cut]
    used: Sequence[_Place]
    found: Sequence[Assignment]
    same: Same

    def of_policy(self, place: _Place) -> tuple[int | None, str | None]:
        """When its environment went out of effect, or a cut before that; one that came back did not end."""
        cuts, since_ms, fingerprint = place
        if self._until(place) == since_ms:
            return self._earlier(since_ms, cuts)  # two looks in one millisecond: no time of it has effects
        effects = self.standing.effects
        first = max(0, bisect_right(effects, since_ms, key=lambda effect: effect[0]) - 1)
        began, ended_ms = False, None
        for at_ms, in_effect in effects[first:]:
            if any(self.same(fingerprint, other) for other in in_effect):
                if ended_ms is not None and self._is_used(ended_ms, at_ms, fingerprint):
                    break
                began, ended_ms = True, None
            elif began and ended_ms is None:
                ended_ms = at_ms
        return self._earlier(ended_ms if began else self._until(place), cuts)

    def _until(self, place: _Place) -> int | None:
        """The end in the files of an environment that no kernel was seen to have."""
        _, since_ms, fingerprint = place
        ends = (
            s.until_ms
            for s in self.standing.stretches
            if (s.since_ms, s.fingerprint) == (since_ms, fingerprint)
        )
        return next(ends, None)

    def _is_used(self, since_ms: int, until_ms: int, fingerprint: str) -> bool:
        """Whether runs had another environment that came into effect in that time."""
        return any(
            since_ms <= used_ms < until_ms and not self.same(fingerprint, other)
            for _, used_ms, other in self.used
        )

    def beginning(self, place: _Place, first: Assignment) -> int:
        """When the environment came into effect, or the cut before; for want of both the first dispatch."""
        cuts, since_ms, fingerprint = place
        if not _is_known(place) or not fingerprint:
            return first.run.started_ms
        return max([since_ms, *(cut.at_ms for cut in self.marks[:cuts])])

    def of_evidence(self, cuts: int, last: Assignment) -> tuple[int | None, str | None]:
        """The next run of another environment; only runs tell of such an environment."""
        later = (a.run.started_ms for a in self.found if a.run.started_ms > last.run.started_ms)
        return self._earlier(next(later, None), cuts)

    def _earlier(self, until_ms: int | None, cuts: int) -> tuple[int | None, str | None]:
        cut = self.marks[cuts] if cuts < len(self.marks) else None
        if cut is not None and (until_ms is None or cut.at_ms < until_ms):
            return cut.at_ms, cut.why
        return until_ms, None if until_ms is None else CHANGED


NOTHING_IN_FLIGHT, LIMIT = "nothing of it is in flight", "the limit has passed"


@dataclass(frozen=True, slots=True)
class Steps:
    """Epochs that begin to close, keys of those whose end was undone, and (epoch, why) of those to seal.

    `former` has, by an epoch's key, the keys under which it was sealed before its end moved.
    """

    close: tuple[Epoch, ...] = ()
    reopen: tuple[str, ...] = ()
    seal: tuple[tuple[Epoch, str], ...] = ()
    former: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def next_steps(
    folded: Folded,
    seals: Mapping[str, Seal],
    in_flight: Sequence[InFlight],
    *,
    first_look_ms: int | None,
    now_ms: int,
    limit_ms: Callable[[Epoch], int],
) -> Steps:
    """What is to be done now. An epoch that ended before anybody looked was never open."""
    ended = [epoch for epoch in folded.epochs if _was_seen_ending(epoch, first_look_ms)]
    closing = [(epoch, seals[epoch.key]) for epoch in ended if epoch.key in seals]
    keys = {epoch.key for epoch in ended}
    return Steps(
        close=tuple(epoch for epoch in ended if epoch.key not in seals),
        reopen=tuple(s.key for s in seals.values() if s.sealed_ms is None and s.key not in keys),
        seal=tuple(
            (epoch, why)
            for epoch, seal in closing
            if seal.sealed_ms is None
            and (why := _final(epoch, seal, folded, in_flight, now_ms, limit_ms(epoch))) is not None
        ),
        former=former_keys(folded.epochs, (s.key for s in seals.values() if s.sealed_ms is not None)),
    )


def _was_seen_ending(epoch: Epoch, first_look_ms: int | None) -> bool:
    if epoch.ended_ms is None or (epoch.origin == EVIDENCE and epoch.runs < ENOUGH_RUNS):
        return False
    return first_look_ms is None or epoch.ended_ms >= first_look_ms


def _final(
    epoch: Epoch, seal: Seal, folded: Folded, in_flight: Sequence[InFlight], now_ms: int, limit_ms: int
) -> str | None:
    if now_ms >= sealed_by_ms(epoch, seal, now_ms, limit_ms):
        return LIMIT
    assert epoch.ended_ms is not None
    until_ms = epoch.ended_ms
    if epoch.why == CHANGED and epoch.number not in folded.seen:
        later = [start for other in folded.epochs for start in _later_start(other, epoch)]
        if not later:
            return None
        until_ms = max([until_ms, *later])
    waiting = any(f.created_ms is None or f.created_ms <= until_ms for f in in_flight)
    return None if waiting else NOTHING_IN_FLIGHT


def sealed_by_ms(epoch: Epoch, seal: Seal, now_ms: int, limit_ms: int) -> int:
    """When a closing epoch is sealed at the latest."""
    return max(seal.closing_ms, min(epoch.last_ms, now_ms)) + limit_ms


def _later_start(other: Epoch, epoch: Epoch) -> Iterator[int]:
    """From when on the runs of another epoch show that the kernel has left this one."""
    if other.number != epoch.number and other.last_ms > epoch.last_ms:
        yield other.first_ms if other.first_ms > epoch.last_ms else epoch.last_ms
