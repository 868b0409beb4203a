"""Everything that is known of the environment, read from the index in one go; again, only what is new."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from hashlib import sha256
from typing import Any, TypeVar

from collectord.epochs.actions import Actions, looks_at_texts
from collectord.epochs.assign import Assigned, Assignment, Explaining, RunKey, assign
from collectord.epochs.contradictions import Policy, issue_of
from collectord.epochs.epochs import Cut, Folded, fold
from collectord.epochs.timeline import Standing, Stretch, timelines
from collectord.index.engine import IndexConnection
from collectord.index.environments import cuts, environments, kernel_sessions, observations
from collectord.index.repo_records import issues_asking
from collectord.index.runs import DispatchedRun, dispatched_runs
from collectord.model import GIT, Environment, Epoch, KernelSession, Situation

T = TypeVar("T")
# Issues of runs that are no more are forgotten once they are so many beyond those that are there.
SPARE_TEXTS = 1000


class Memory:
    """For one index, owned by whoever surveys it again and again; an empty one gives the same, only later.

    All in it are values that were read, or that follow from such: after a survey that failed half way, or
    whose transaction was rolled back, it must be thrown away.
    """

    def __init__(self) -> None:
        self._runs: dict[RunKey, DispatchedRun] = {}
        self._is_read = self._has_texts = False
        self._issues: dict[str, Situation] = {}
        # False for issues of which Beads has never said that they ask to speculate, None for the others.
        self._issues_asking: dict[str | None, bool | None] = {}
        self._issues_read = 0
        self.issues_changed = 0
        self._explaining = Explaining(Standing({None: ()}, {}), Actions())
        self._derived: dict[Hashable, tuple[Sequence[DispatchedRun], Any]] = {}
        self._derived_before: dict[Hashable, tuple[Sequence[DispatchedRun], Any]] = {}

    def read(self, connection: IndexConnection, changed: Collection[RunKey], *, with_texts: bool) -> None:
        """Read the runs that changed, all of them the first time; and what Beads says of their issues.

        The texts of issues are most of what a run shows. Without `with_texts` they are left out, and all runs
        are read again once they are wanted.
        """
        self._derived_before, self._derived = self._derived, {}
        news = self._read_issues(connection)
        if with_texts and not self._has_texts:
            self._has_texts, self._is_read, self._runs = True, False, {}
        for key in changed:
            self._runs.pop(key, None)
        wanted = changed if self._is_read else None
        for run in dispatched_runs(connection, self.asks, wanted, with_texts=self._has_texts):
            self._runs[run.kind, run.name] = run
        concerned = {key: run for key, run in self._runs.items() if run.issue_id in news}
        self._runs.update((key, self._asking(run)) for key, run in concerned.items())
        self.issues_changed += bool(concerned)
        self._is_read = True
        if len(self._issues) > len(self._runs) + SPARE_TEXTS:
            self._issues = {}

    def _read_issues(self, connection: IndexConnection) -> set[str | None]:
        """Read what Beads said since; the issues of which another answer is known now."""
        before, known = dict(self._issues_asking), self._issues_asking
        for row_id, issue_id, asks in issues_asking(connection, self._issues_read):
            self._issues_read = row_id
            known[issue_id] = None if asks or known.get(issue_id, False) is None else False
        return {key for key, asks in known.items() if key not in before or before[key] != asks}

    def _asking(self, run: DispatchedRun) -> DispatchedRun:
        asks = self.asks(run.issue_id)
        return run if run.asks is asks else run._replace(asks=asks)

    @property
    def runs(self) -> Mapping[RunKey, DispatchedRun]:
        """Every run that was read, as it is now."""
        return dict(self._runs)

    def by_manifests_alone(self) -> Sequence[Assignment]:
        """The environment of each run as if nothing were known of processes and actions."""
        standing = self._explaining.standing
        before = Explaining(Standing(standing.timelines, standing.given), Actions())
        runs = [run._replace(executed=None) for run in self._runs.values()]
        return assign(runs, before).runs

    def explaining(
        self,
        timelines: Mapping[str | None, Sequence[Stretch]],
        environments: Mapping[str, Environment],
        sessions: Sequence[KernelSession],
    ) -> Explaining:
        """What timelines and sessions say of runs; that of the last survey while they are the same."""
        is_small = len(self._explaining) <= len(self._runs) + SPARE_TEXTS
        if not is_small or not self._explaining.standing.is_of(timelines, environments, sessions):
            self._explaining = Explaining(Standing(timelines, environments, sessions), Actions())
        return self._explaining

    @property
    def last_explaining(self) -> Explaining:
        """What the last survey went by."""
        return self._explaining

    @property
    def actions(self) -> Actions:
        """What the last survey found of executed actions."""
        return self._explaining.actions

    def asks(self, issue_id: str | None) -> bool | None:
        """Whether an issue may ask to speculate: None, it may or not; False where Beads never said so."""
        return self._issues_asking.get(issue_id)

    def issue(self, situation: str) -> Situation:
        """`issue_of`, remembered."""
        known = self._issues.get(situation)
        if known is None:
            known = self._issues[situation] = issue_of(situation)
        return known

    def derived(
        self, what: Hashable, runs: Sequence[DispatchedRun], derive: Callable[[Sequence[DispatchedRun]], T]
    ) -> T:
        """`derive(runs)`, remembered from one survey to the next while the runs are the same."""
        known = self._derived.get(what) or self._derived_before.get(what)
        if known is None or known[0] != runs:
            known = runs, derive(runs)
        self._derived[what] = known
        value: T = known[1]
        return value


@dataclass(frozen=True)
class Survey:
    """The environments by fingerprint, the timeline, the environment of each run, and the epochs.

    `stretches` are the timeline of the repo, for a kernel without options. `first_look_ms` is when the repo
    itself was looked at for the first time (None: never).
    """

    environments: Mapping[str, Environment]
    stretches: Sequence[Stretch]
    sessions: Sequence[KernelSession]
    assigned: Assigned
    folded: Folded
    runs: Mapping[RunKey, DispatchedRun]
    cuts: Sequence[Cut]
    first_look_ms: int | None
    standing: Standing = field(default_factory=lambda: Standing({None: ()}, {}), compare=False, repr=False)
    is_same: Callable[[str, str], bool] = field(default=str.__eq__, compare=False, repr=False)
    memory: Memory = field(default_factory=Memory, compare=False, repr=False)

    def policy(self, epoch: Epoch) -> Policy:
        """What the environment of an epoch can do with an issue."""
        environment = self.environments.get(epoch.fingerprint)
        return Policy(environment, self.memory.actions, self.memory.asks)

    @property
    def unrun_since_ms(self) -> int | None:
        """Since when what is in effect is another environment than that of the epoch of now.

        None where it is the same, where there is no run, and where nothing says what is in effect.
        """
        current, since_ms = self.folded.current, None
        if current is None or current.fingerprint not in self.standing.environments:
            return None
        for at_ms, in_effect in reversed(self.standing.effects):
            if not in_effect or any(self.is_same(current.fingerprint, name) for name in in_effect):
                break
            since_ms = at_ms
        return since_ms

    @cached_property
    def by_epoch(self) -> Mapping[int, Sequence[DispatchedRun]]:
        """The runs of each epoch in dispatch order, by its number."""
        found: dict[int, list[DispatchedRun]] = {}
        for assignment in self.assigned.runs:
            key = assignment.run.kind, assignment.run.name
            found.setdefault(self.folded.number_of[key], []).append(self.runs[key])
        return found

    def content_of(self, number: int) -> str:
        """A digest of what an epoch holds: its runs and their revisions."""
        lines = sorted(f"{run.kind}/{run.name} {run.digest}\n" for run in self.by_epoch[number])
        return sha256("".join(lines).encode("utf-8", "surrogatepass")).hexdigest()

    def derived(self, what: Hashable, number: int, derive: Callable[[Sequence[DispatchedRun]], T]) -> T:
        """What follows from the runs of an epoch, and from nothing else that `what` does not name."""
        return self.memory.derived((what, number), self.by_epoch[number], derive)


Cutting = Callable[[Environment, Environment, int], bool]


def survey(
    connection: IndexConnection,
    cutting: Cutting = lambda _before, _after, _at_ms: True,
    memory: Memory | None = None,
    changed: Collection[RunKey] = (),
) -> Survey:
    """All of it as the index has it now; `cutting` says whether a change ends an epoch.

    With the `memory` of an earlier survey only the `changed` runs are read: those that came in, changed or
    went since then, at the least.
    """
    memory = Memory() if memory is None else memory
    seen, sessions = observations(connection), kernel_sessions(connection)
    marks = [Cut(*cut) for cut in cuts(connection)]
    known = environments(connection)
    memory.read(connection, changed, with_texts=any(map(looks_at_texts, known.values())))
    explaining = memory.explaining(timelines(seen), known, sessions)
    runs, standing = memory.runs, explaining.standing
    assigned = assign(list(runs.values()), explaining)
    same = _same(standing, cutting)
    return Survey(
        environments=standing.of_runs(a.fingerprint for a in assigned.runs),
        stretches=standing.timelines[None],
        sessions=sessions,
        assigned=assigned,
        folded=fold(assigned.runs, standing, marks, same),
        runs=runs,
        cuts=marks,
        first_look_ms=min((o.seen_ms for o in seen if o.source != GIT), default=None),
        standing=standing,
        is_same=same,
        memory=memory,
    )


def _same(standing: Standing, cutting: Cutting) -> Callable[[str, str], bool]:
    """Whether two environments are of one epoch; what the change means is judged as of when it was made."""
    known = standing.environments
    first_ms = {s.fingerprint: s.since_ms for s in sorted(standing.stretches, key=lambda s: -s.since_ms)}

    @cache
    def same(before: str, after: str) -> bool:
        return before == after or not cutting(known[before], known[after], first_ms.get(after, 0))

    return same
