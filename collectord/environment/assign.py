"""Which environment each run had. Pure: the same runs in any order of arrival give the same answer.

The kernel reads its configuration when it starts. So a run had the newest environment at or before its
dispatch that agrees with what its manifest shows; where a later run shows that the kernel had not started
again yet, the runs before it that can have had the older one had it too. A run from before anything is
known had the earliest known environment if that agrees. What nothing explains has an environment of its
own, made of what the runs show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from collectord.cyntra.evidence import evidence_from
from collectord.environment.facts import Facts, facts_shown
from collectord.environment.timeline import Stretch, position_at
from collectord.environment.unexplained import Gathering

NOWHERE = -1


@dataclass(frozen=True, slots=True)
class DispatchedRun:
    """A run as far as its environment is concerned; `evidence` is the text that the index keeps."""

    kind: str
    name: str
    run_id: str
    started_ms: int
    evidence: str


@dataclass(frozen=True, slots=True)
class Assignment:
    """The environment that a run had.

    `position` is its stretch on the timeline, NOWHERE for an environment that only evidence shows; `newest`
    is the stretch that stood at dispatch, NOWHERE before anything is known.
    """

    run: DispatchedRun
    fingerprint: str
    position: int
    newest: int

    @property
    def is_stale(self) -> bool:
        """Whether the kernel still had an older configuration than the one in the repo."""
        return NOWHERE < self.position < self.newest


@dataclass(frozen=True, slots=True)
class Assigned:
    """Every run in dispatch order, and what is known of the environments that only evidence shows."""

    runs: list[Assignment]
    gathered: Mapping[str, Facts]


def assign(
    runs: Sequence[DispatchedRun], stretches: Sequence[Stretch], facts_of: Mapping[str, Facts]
) -> Assigned:
    """The environment of each run; `facts_of` are the facts of each fingerprint on the timeline.

    Without any stretch there is one environment for all, with the empty fingerprint.
    """
    ordered = sorted(runs, key=lambda run: (run.started_ms, run.name, run.kind))
    if not stretches:
        return Assigned([Assignment(run, "", 0, 0) for run in ordered], {})
    return _Assigning(stretches, facts_of).all(ordered)


class _Assigning:
    def __init__(self, stretches: Sequence[Stretch], facts_of: Mapping[str, Facts]) -> None:
        self._stretches, self._facts_of = stretches, facts_of
        self._shown: dict[str, Facts] = {}
        self._agreed: dict[tuple[str, int], bool] = {}
        self._latest: dict[tuple[str, int], int] = {}
        self._gathering = Gathering()

    def all(self, ordered: list[DispatchedRun]) -> Assigned:
        found = [self._first(run) for run in ordered]
        self._pull_back(found)
        return Assigned(found, self._gathering.facts())

    def _first(self, run: DispatchedRun) -> Assignment:
        newest = position_at(self._stretches, run.started_ms)
        position = self._latest_agreeing(run.evidence, newest)
        known = newest if run.started_ms >= self._stretches[0].since_ms else NOWHERE
        if position != NOWHERE:
            return Assignment(run, self._stretches[position].fingerprint, position, known)
        self._gathering.add(run.evidence, self._facts(run.evidence))
        return Assignment(run, self._gathering.fingerprint_of(run.evidence), NOWHERE, known)

    def _latest_agreeing(self, evidence: str, newest: int) -> int:
        key = evidence, newest
        if key not in self._latest:
            found = (p for p in range(newest, -1, -1) if self._agrees(evidence, p))
            self._latest[key] = next(found, NOWHERE)
        return self._latest[key]

    def _pull_back(self, found: list[Assignment]) -> None:
        """From the last run to the first: what the next one had, if this one can have had it.

        Only an older stretch of the timeline pulls; before anything is known also an environment that only
        evidence shows, but no run that shows something of the earliest known one.
        """
        explained: Assignment | None = None
        following: Assignment | None = None
        for i in range(len(found) - 1, -1, -1):
            mine = found[i]
            if mine.position != NOWHERE:
                if explained and explained.position < mine.position and self._agrees_with(mine, explained):
                    mine = self._moved(mine, explained)
                elif following and following.position == NOWHERE and self._is_weak(mine, following):
                    mine = self._moved(mine, following)
            found[i] = following = mine
            explained = mine if mine.position != NOWHERE else explained

    def _moved(self, mine: Assignment, to: Assignment) -> Assignment:
        return replace(mine, fingerprint=to.fingerprint, position=to.position)

    def _agrees_with(self, mine: Assignment, other: Assignment) -> bool:
        return self._agrees(mine.run.evidence, other.position)

    def _is_weak(self, mine: Assignment, following: Assignment) -> bool:
        if mine.newest != NOWHERE:
            return False
        facts = self._facts(mine.run.evidence)
        return not self._facts_of[mine.fingerprint].confirms(facts) and self._gathering.can_be_of(
            following.fingerprint, facts
        )

    def _agrees(self, evidence: str, position: int) -> bool:
        key = evidence, position
        if key not in self._agreed:
            environment = self._facts_of[self._stretches[position].fingerprint]
            self._agreed[key] = environment.agrees(self._facts(evidence))
        return self._agreed[key]

    def _facts(self, evidence: str) -> Facts:
        if evidence not in self._shown:
            self._shown[evidence] = facts_shown(evidence_from(evidence))
        return self._shown[evidence]
