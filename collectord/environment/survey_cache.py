"""What a survey read and derived, for the next one: with it only what is new is read and derived."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from collectord.environment.actions import Actions
from collectord.environment.assign import Assignment, DispatchedRun, Explaining, RunKey, assign
from collectord.environment.contradictions import issue_of
from collectord.environment.standing import Standing
from collectord.environment.timeline import Stretch
from collectord.index.engine import IndexConnection
from collectord.index.issues import issues_asking
from collectord.index.run_evidence import ShownRun, shown_runs
from collectord.model import Environment, KernelSession, Situation

T = TypeVar("T")
# Texts of runs that are no more are forgotten once they are so many beyond those that are there.
SPARE_TEXTS = 1000


class Memory:
    """For one index, owned by whoever surveys it again and again; an empty one gives the same, only later.

    All in it are values that were read, or that follow from such: after a survey that failed half way, or
    whose transaction was rolled back, it must be thrown away.
    """

    def __init__(self) -> None:
        self._runs: dict[RunKey, ShownRun] = {}
        self._dispatched: dict[RunKey, DispatchedRun] = {}
        self._is_read = False
        self._shared: dict[Hashable, Any] = {}
        self._issues: dict[str, Situation] = {}
        # False for issues of which Beads has never said that they ask to speculate, None for the others.
        self._issues_asking: dict[str | None, bool | None] = {}
        self._issues_read = 0
        self.issues_changed = 0
        self._explaining = Explaining(Standing({None: ()}, {}), Actions())
        self._derived: dict[Hashable, tuple[Sequence[ShownRun], Any]] = {}
        self._derived_before: dict[Hashable, tuple[Sequence[ShownRun], Any]] = {}

    def read(self, connection: IndexConnection, changed: Collection[RunKey]) -> None:
        """Read the runs that changed, all of them the first time; and what Beads says of their issues."""
        self._derived_before, self._derived = self._derived, {}
        news = self._read_issues(connection)
        for key in changed:
            self._runs.pop(key, None)
            self._dispatched.pop(key, None)
        for run in shown_runs(connection, changed if self._is_read else None):
            self._take(run)
        concerned = [key for key, run in self._runs.items() if run.issue_id in news]
        for key in concerned:
            self._take(self._runs[key])
        self.issues_changed += bool(concerned)
        self._is_read = True
        if len(self._issues) + len(self._shared) > 3 * len(self._runs) + SPARE_TEXTS:
            self._issues, self._shared = {}, {}

    def _read_issues(self, connection: IndexConnection) -> set[str | None]:
        """Read what Beads said since; the issues of which another answer is known now."""
        before = dict(self._issues_asking)
        for row_id, issue_id, asks in issues_asking(connection, self._issues_read):
            self._issues_read = row_id
            self._issues_asking[issue_id] = (
                None if asks or (issue_id in before and before[issue_id] is None) else False
            )
        return {key for key, asks in self._issues_asking.items() if key not in before or before[key] != asks}

    def _take(self, run: ShownRun) -> None:
        key = run.kind, run.name
        # Most runs show and plan what others do: one copy of each is enough.
        names = ("evidence", "situation", "plan", "executed", "issue_text", "issue_id")
        run = replace(run, **{name: self._one_copy(getattr(run, name)) for name in names})
        self._runs[key] = run
        self._dispatched[key] = DispatchedRun(
            run.kind,
            run.name,
            run.run_id,
            run.started_ms,
            run.evidence,
            run.executed,
            run.issue_text,
            self._issues_asking.get(run.issue_id),
        )

    def _one_copy(self, value: Any) -> Any:
        return self._shared.setdefault(value, value)

    @property
    def runs(self) -> Mapping[RunKey, ShownRun]:
        """Every run that was read, as it is now."""
        return dict(self._runs)

    @property
    def dispatched(self) -> Sequence[DispatchedRun]:
        """The same runs as far as their environment is concerned."""
        return list(self._dispatched.values())

    def as_manifests_alone_tell(self) -> Sequence[Assignment]:
        """The environment of each run as if nothing were known of processes and actions."""
        standing = self._explaining.standing
        before = Explaining(Standing(standing.timelines, standing.given), Actions())
        runs = [replace(run, executed=None) for run in self._dispatched.values()]
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
        self, what: Hashable, runs: Sequence[ShownRun], derive: Callable[[Sequence[ShownRun]], T]
    ) -> T:
        """`derive(runs)`, remembered from one survey to the next while the runs are the same."""
        known = self._derived.get(what) or self._derived_before.get(what)
        if known is None or known[0] != runs:
            known = runs, derive(runs)
        self._derived[what] = known
        value: T = known[1]
        return value
