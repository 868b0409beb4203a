"""What a survey read and derived, for the next one: with it only what is new is read and derived."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from collectord.environment.actions import Actions
from collectord.environment.assign import DispatchedRun, Explaining, RunKey
from collectord.environment.contradictions import issue_of
from collectord.environment.standing import Standing
from collectord.environment.timeline import Stretch
from collectord.index.engine import IndexConnection
from collectord.index.shown import ShownRun, shown_runs
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
        self._explaining = Explaining(Standing({None: ()}, {}), Actions())
        self._derived: dict[Hashable, tuple[Sequence[ShownRun], Any]] = {}
        self._derived_before: dict[Hashable, tuple[Sequence[ShownRun], Any]] = {}

    def read(self, connection: IndexConnection, changed: Collection[RunKey]) -> None:
        """Read the runs that changed; all of them the first time."""
        self._derived_before, self._derived = self._derived, {}
        for key in changed:
            self._runs.pop(key, None)
            self._dispatched.pop(key, None)
        for run in shown_runs(connection, changed if self._is_read else None):
            self._take(run)
        self._is_read = True
        if len(self._issues) + len(self._shared) > 3 * len(self._runs) + SPARE_TEXTS:
            self._issues, self._shared = {}, {}

    def _take(self, run: ShownRun) -> None:
        key = run.kind, run.name
        # Most runs show and plan what others do: one copy of each is enough.
        evidence, situation, plan = map(self._one_copy, (run.evidence, run.situation, run.plan))
        self._runs[key] = replace(run, evidence=evidence, situation=situation, plan=plan)
        self._dispatched[key] = DispatchedRun(run.kind, run.name, run.run_id, run.started_ms, evidence)

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
