"""Which environment each run had, and how that is known. Pure: any order of arrival gives the same answer."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from collectord.epochs.actions import Actions
from collectord.epochs.timeline import NOWHERE, READS_AFTER_MS, Candidate, Standing, Tenure
from collectord.epochs.unexplained import Facts, Gathering, facts_shown
from collectord.index.runs import DispatchedRun
from collectord.kernel.evidence import evidence_from
from collectord.model import KernelSession

RunKey = tuple[str, str]
# The kernel looks up the genome at each dispatch, and an issue may name its own.
_OF_DISPATCH = "genome"


class KnownBy(StrEnum):
    """What tells the environment of a run, the best first."""

    PROCESS = "process"
    EVIDENCE = "evidence"
    MANIFEST = "manifest"
    NOTHING = "nothing"


class Assignment(NamedTuple):
    """The environment that a run had, in effect since `since_ms`.

    `position` is the stretch of its configuration (see `Standing`), NOWHERE for an environment that only
    evidence shows; `newest` is the stretch of the repo that stood at dispatch, NOWHERE before anything is
    known. `session` is the kernel that dispatched it, where one is known.
    """

    run: DispatchedRun
    fingerprint: str
    position: int
    newest: int
    since_ms: int = NOWHERE
    known_by: KnownBy = KnownBy.EVIDENCE
    session: KernelSession | None = None

    @property
    def is_stale(self) -> bool:
        """Whether the run shows that the kernel still had an older configuration than the repo's."""
        return self.known_by is not KnownBy.PROCESS and NOWHERE < self.position < self.newest


@dataclass(frozen=True, slots=True)
class Assigned:
    """Every run in dispatch order, and what is known of the environments that only evidence shows."""

    runs: list[Assignment]
    gathered: Mapping[str, Facts]


class Search(NamedTuple):
    """Where to look for the environment of a run: the launch, the newest configuration it can have had,
    and the stretch whose prompts stood."""

    launch: str | None
    newest: int
    live: int


class Explaining:
    """What one ground says of evidence. It remembers its answers, which stay the same with the ground."""

    def __init__(self, standing: Standing, actions: Actions) -> None:
        self.standing, self.actions = standing, actions
        # By kind and name.
        self._explained: dict[str, dict[str, Assignment]] = {}
        self._shown: dict[str, Facts] = {}
        self._agreed: dict[tuple[str, str], bool] = {}
        self._agreed_at_start: dict[tuple[str, str], bool] = {}
        self._found: dict[Hashable, tuple[Candidate | None, KnownBy]] = {}

    def __len__(self) -> int:
        """Of how many pieces of evidence it remembers something."""
        return len(self._shown)

    def explain(self, ordered: Iterable[DispatchedRun]) -> list[Assignment]:
        """For each run its environment by the process or by evidence, else none (NOWHERE)."""
        before, self._explained = self._explained, {}
        found = []
        for run in ordered:
            known = before.get(run.kind, {}).get(run.name)
            mine = known if known is not None and known.run == run else self._explained_anew(run)
            self._explained.setdefault(run.kind, {})[run.name] = mine
            found.append(mine)
        return found

    def _explained_anew(self, run: DispatchedRun) -> Assignment:
        running = self.standing.sessions.possible_at(run.started_ms)
        session = running[0].session if len(running) == 1 else None
        candidate, known_by = self._by_process(run, running)
        if candidate is None:
            candidate, known_by = self._by_evidence(run, self.search(run, running))
        newest = self._newest(run)
        if candidate is None:
            return Assignment(run, "", NOWHERE, newest, NOWHERE, known_by, session)
        return Assignment(
            run, candidate.fingerprint, candidate.position, newest, candidate.since_ms, known_by, session
        )

    def _newest(self, run: DispatchedRun) -> int:
        known = self.standing.is_known_at(None, run.started_ms)
        return self.standing.position_at(None, run.started_ms) if known else NOWHERE

    def _by_process(self, run: DispatchedRun, running: Sequence[Tenure]) -> tuple[Candidate | None, KnownBy]:
        """What the one kernel had read that ran, or of several the newest that the run agrees with."""
        had = [self.standing.of_session(tenure, run.started_ms) for tenure in running]
        if len(running) == 1 and had[0] is not None and self._is_not_contradicted(run, had[0].fingerprint):
            return had[0], KnownBy.PROCESS
        if len(running) > 1:
            known = [candidate for candidate in had if candidate is not None]
            fitting = (c for c in known if self.agrees(run, c.fingerprint))
            return next(fitting, None), KnownBy.EVIDENCE
        return None, KnownBy.NOTHING

    def search(self, run: DispatchedRun, running: Sequence[Tenure]) -> Search:
        """Where evidence may look: a kernel cannot have read what was written after its start."""
        standing = self.standing
        if len(running) == 1:
            read_ms = running[0].session.started_ms + READS_AFTER_MS
            launch = standing.launch_of(running[0].session, read_ms)
            if launch in standing.timelines:
                newest = standing.position_at(launch, read_ms)
                return Search(launch, newest, max(newest, standing.position_at(launch, run.started_ms)))
        newest = standing.position_at(None, run.started_ms)
        return Search(None, newest, newest)

    def _by_evidence(self, run: DispatchedRun, where: Search) -> tuple[Candidate | None, KnownBy]:
        key = run.evidence, run.executed, run.issue_text, run.asks, where
        if key not in self._found:
            self._found[key] = self._latest_agreeing(run, where)
        return self._found[key]

    def _latest_agreeing(self, run: DispatchedRun, where: Search) -> tuple[Candidate | None, KnownBy]:
        listed = self.standing.candidates(where.launch, where.newest, where.live)
        fitting = [c for c in listed if self.manifest_agrees(run, c.fingerprint)]
        by_both = next((c for c in fitting if self._action_agrees(run, c.fingerprint)), None)
        if by_both is not None:
            return by_both, KnownBy.EVIDENCE
        return (fitting[0], KnownBy.MANIFEST) if fitting else (None, KnownBy.NOTHING)

    def agrees(self, run: DispatchedRun, fingerprint: str) -> bool:
        """Whether the manifest and the action of a run can be of an environment."""
        return self.manifest_agrees(run, fingerprint) and self._action_agrees(run, fingerprint)

    def manifest_agrees(self, run: DispatchedRun, fingerprint: str) -> bool:
        """Whether what its manifest shows can be of an environment."""
        key = run.evidence, fingerprint
        if key not in self._agreed:
            self._agreed[key] = self.standing.facts(fingerprint).agrees(self.facts(run.evidence))
        return self._agreed[key]

    def _is_not_contradicted(self, run: DispatchedRun, fingerprint: str) -> bool:
        """Whether what a kernel reads at its start can be what the manifest shows of it."""
        key = run.evidence, fingerprint
        if key not in self._agreed_at_start:
            against = self.standing.facts(fingerprint).contradicts(self.facts(run.evidence))
            self._agreed_at_start[key] = all(fact[0] == _OF_DISPATCH for fact in against)
        return self._agreed_at_start[key]

    def _action_agrees(self, run: DispatchedRun, fingerprint: str) -> bool:
        environment = self.standing.environment(fingerprint)
        if environment is None:
            return True
        return self.actions.agrees(run.executed, run.issue_text, run.asks, environment)

    def facts(self, evidence: str) -> Facts:
        """What the text of a run's evidence says."""
        if evidence not in self._shown:
            self._shown[evidence] = facts_shown(evidence_from(evidence))
        return self._shown[evidence]


def assign(runs: Sequence[DispatchedRun], explaining: Explaining) -> Assigned:
    """The environment of each run, by what the ground explains.

    Without any stretch there is one environment for all, with the empty fingerprint.
    """
    ordered = sorted(runs, key=lambda run: (run.started_ms, run.name, run.kind))
    if not explaining.standing.stretches:
        return Assigned([Assignment(run, "", 0, 0, 0, KnownBy.NOTHING) for run in ordered], {})
    with explaining.actions.searching():
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
        return mine._replace(fingerprint=self._gathering.fingerprint_of(evidence))

    def _pull_back(self, found: list[Assignment]) -> None:
        """From the last run to the first: what the next one had, if this one can have had it.

        Only an older stretch of the timeline pulls; before anything is known also an environment that only
        evidence shows, but no run that shows something of the earliest known one. What a process tells is
        not moved, and tells nothing of the kernels before it.
        """
        explained: Assignment | None = None
        following: Assignment | None = None
        for i in range(len(found) - 1, -1, -1):
            mine = found[i]
            if mine.known_by is KnownBy.PROCESS:
                explained = following = None
                continue
            if mine.position != NOWHERE:
                if explained and (older := self._older(mine, explained)) is not None:
                    mine = older
                elif following and following.position == NOWHERE and self._is_weak(mine, following):
                    mine = self._of_evidence(mine, following)
            found[i] = following = mine
            explained = mine if mine.position != NOWHERE else explained

    def _older(self, mine: Assignment, explained: Assignment) -> Assignment | None:
        """The run with the older configuration of the next one, if it can have had that."""
        standing = self._explaining.standing
        if not explained.position < mine.position or self._started_between(mine, explained):
            return None
        before, after = (standing.stretches[a.position] for a in (explained, mine))
        if before.launch != after.launch:
            return None
        live = standing.position_at(before.launch, mine.run.started_ms)
        had = standing.joined(explained.position, live, before.since_ms)
        if not self._explaining.agrees(mine.run, had.fingerprint):
            return None
        return mine._replace(fingerprint=had.fingerprint, position=had.position, since_ms=had.since_ms)

    def _started_between(self, mine: Assignment, later: Assignment) -> bool:
        """Whether a kernel is known to have started between two dispatches."""
        sessions = self._explaining.standing.sessions
        last = sessions.last_before(later.run.started_ms)
        return last is not None and last.session.started_ms > mine.run.started_ms

    def _of_evidence(self, mine: Assignment, to: Assignment) -> Assignment:
        return mine._replace(
            fingerprint=to.fingerprint,
            position=NOWHERE,
            since_ms=NOWHERE,
            known_by=KnownBy.NOTHING,
        )

    def _is_weak(self, mine: Assignment, following: Assignment) -> bool:
        if mine.newest != NOWHERE:
            return False
        facts = self._explaining.facts(mine.run.evidence)
        return not self._explaining.standing.facts(mine.fingerprint).confirms(
            facts
        ) and self._gathering.can_be_of(following.fingerprint, facts)


MAX_OTHERS = 5
FORCED = "the policy does not give this action: was the kernel started with --speculate, or by hand?"
