"""Which environment each run had. Pure: the same runs in any order of arrival give the same answer.

The kernel reads its configuration when it starts. So a run had the newest environment at or before its
dispatch that agrees with what its manifest shows; where a later run shows that the kernel had not started
again yet, the runs before it that can have had the older one had it too. A run from before anything is
known had the earliest known environment if that agrees. What nothing explains has an environment of its
own, made of what the runs show.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from collectord.cyntra.evidence import evidence_from
from collectord.environment.facts import Facts, facts_shown
from collectord.environment.timeline import Stretch, position_at
from collectord.environment.unexplained import Gathering

NOWHERE = -1
RunKey = tuple[str, str]


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


class Explaining:
    """What one timeline says of evidence. It remembers its answers, which stay the same with the timeline."""

    def __init__(self, stretches: Sequence[Stretch], facts_of: Mapping[str, Facts]) -> None:
        self.stretches, self.facts_of = tuple(stretches), dict(facts_of)
        self._explained: dict[RunKey, Assignment] = {}
        self._shown: dict[str, Facts] = {}
        self._agreed: dict[tuple[str, int], bool] = {}
        self._latest: dict[tuple[str, int], int] = {}

    def is_of(self, stretches: Sequence[Stretch], facts_of: Mapping[str, Facts]) -> bool:
        """Whether it is for this timeline."""
        return self.stretches == tuple(stretches) and self.facts_of == facts_of

    def __len__(self) -> int:
        """Of how many pieces of evidence it remembers something."""
        return len(self._shown)

    def explain(self, ordered: Iterable[DispatchedRun]) -> list[Assignment]:
        """For each run the newest environment at its dispatch that agrees with it, else none (NOWHERE)."""
        before, self._explained = self._explained, {}
        found = []
        for run in ordered:
            key = run.kind, run.name
            known = before.get(key)
            mine = known if known is not None and known.run is run else self._explained_anew(run)
            self._explained[key] = mine
            found.append(mine)
        return found

    def _explained_anew(self, run: DispatchedRun) -> Assignment:
        newest = position_at(self.stretches, run.started_ms)
        position = self._latest_agreeing(run.evidence, newest)
        known = newest if run.started_ms >= self.stretches[0].since_ms else NOWHERE
        fingerprint = "" if position == NOWHERE else self.stretches[position].fingerprint
        return Assignment(run, fingerprint, position, known)

    def _latest_agreeing(self, evidence: str, newest: int) -> int:
        key = evidence, newest
        if key not in self._latest:
            found = (p for p in range(newest, -1, -1) if self.agrees(evidence, p))
            self._latest[key] = next(found, NOWHERE)
        return self._latest[key]

    def agrees(self, evidence: str, position: int) -> bool:
        """Whether a run that shows this can have had the environment of a stretch."""
        key = evidence, position
        if key not in self._agreed:
            environment = self.facts_of[self.stretches[position].fingerprint]
            self._agreed[key] = environment.agrees(self.facts(evidence))
        return self._agreed[key]

    def facts(self, evidence: str) -> Facts:
        """What the text of a run's evidence says."""
        if evidence not in self._shown:
            self._shown[evidence] = facts_shown(evidence_from(evidence))
        return self._shown[evidence]


def assign(runs: Sequence[DispatchedRun], explaining: Explaining) -> Assigned:
    """The environment of each run, by the timeline that explains it.

    Without any stretch there is one environment for all, with the empty fingerprint.
    """
    ordered = sorted(runs, key=lambda run: (run.started_ms, run.name, run.kind))
    if not explaining.stretches:
        return Assigned([Assignment(run, "", 0, 0) for run in ordered], {})
    return _Assigning(explaining).all(ordered)


class _Assigning:
    def __init__(self, explaining: Explaining) -> None:
        self._explaining = explaining
        self._gathering = Gathering()

    def all(self, ordered: list[DispatchedRun]) -> Assigned:
        found = self._explaining.explain(ordered)
        for i, mine in enumerate(found):
            if mine.position == NOWHERE:
                found[i] = self._gathered(mine)
        self._pull_back(found)
        return Assigned(found, self._gathering.facts())

    def _gathered(self, mine: Assignment) -> Assignment:
        evidence = mine.run.evidence
        self._gathering.add(evidence, self._explaining.facts(evidence))
        return replace(mine, fingerprint=self._gathering.fingerprint_of(evidence))

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
        return self._explaining.agrees(mine.run.evidence, other.position)

    def _is_weak(self, mine: Assignment, following: Assignment) -> bool:
        if mine.newest != NOWHERE:
            return False
        facts = self._explaining.facts(mine.run.evidence)
        return not self._explaining.facts_of[mine.fingerprint].confirms(facts) and self._gathering.can_be_of(
            following.fingerprint, facts
        )
