"""Everything that is known of the environment, read from the index in one go: gather, then decide."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from hashlib import sha256
from typing import TypeVar

from collectord.environment.assign import Assigned, RunKey, assign
from collectord.environment.contradictions import Policy
from collectord.environment.epochs import Cut, Folded, fold
from collectord.environment.standing import Standing
from collectord.environment.survey_cache import Memory
from collectord.environment.timeline import Stretch, timelines
from collectord.index.engine import IndexConnection
from collectord.index.environments import cuts, environments, observations
from collectord.index.kernels import kernel_sessions
from collectord.index.run_evidence import ShownRun
from collectord.model import GIT, Environment, Epoch, KernelSession

T = TypeVar("T")


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
    runs: Mapping[RunKey, ShownRun]
    cuts: Sequence[Cut]
    first_look_ms: int | None
    standing: Standing = field(default_factory=lambda: Standing({None: ()}, {}), compare=False, repr=False)
    is_same: Callable[[str, str], bool] = field(default=str.__eq__, compare=False, repr=False)
    memory: Memory = field(default_factory=Memory, compare=False, repr=False)

    def policy(self, epoch: Epoch) -> Policy:
        """What the environment of an epoch can do with an issue."""
        environment = self.environments.get(epoch.fingerprint)
        return Policy(environment, self.memory.actions, self.memory.asks)

    def epoch(self, number: int) -> Epoch | None:
        """The epoch of that number."""
        found = self.folded.epochs
        return found[number - 1] if 0 < number <= len(found) else None

    @cached_property
    def by_epoch(self) -> Mapping[int, Sequence[ShownRun]]:
        """The runs of each epoch in dispatch order, by its number."""
        found: dict[int, list[ShownRun]] = {}
        for assignment in self.assigned.runs:
            key = assignment.run.kind, assignment.run.name
            found.setdefault(self.folded.number_of[key], []).append(self.runs[key])
        return found

    def content_of(self, number: int) -> str:
        """A digest of what an epoch holds: its runs and their revisions."""
        lines = sorted(f"{run.kind}/{run.name} {run.digest}\n" for run in self.by_epoch[number])
        return sha256("".join(lines).encode("utf-8", "surrogatepass")).hexdigest()

    def derived(self, what: Hashable, number: int, derive: Callable[[Sequence[ShownRun]], T]) -> T:
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
    memory.read(connection, changed)
    explaining = memory.explaining(timelines(seen), environments(connection), sessions)
    assigned, standing = assign(memory.dispatched, explaining), explaining.standing
    same = _same(standing, cutting)
    return Survey(
        environments=standing.of_runs(a.fingerprint for a in assigned.runs),
        stretches=standing.timelines[None],
        sessions=sessions,
        assigned=assigned,
        folded=fold(assigned.runs, standing, marks, same),
        runs=memory.runs,
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
