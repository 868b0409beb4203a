"""What a profile hands to the writer: rows in their final order, each computed only when it is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256

from collectord.cyntra.jsonio import canonical
from collectord.cyntra.rows import RowPieces
from collectord.cyntra.universe import Universe
from collectord.model import IndexedRun

NO_PLAN = "no_executed_plan"
NOT_ENCODABLE = "not_encodable"
OTHER_SWARM = "swarm_not_in_action_space"
FAB_WORLD = "fab_world"
OTHER_EPOCH = "other_epoch"
_NOT_ASKED_FOR = frozenset({FAB_WORLD, OTHER_EPOCH})


# (kind, name) of directories.
RunKeys = Set[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class LazyRow:
    """A row that is computed by `make` unless a row with the same `key` was computed before.

    `find` gives the packed row of a key from the index, where it was kept when the run was read.
    """

    key: bytes
    make: Callable[[], RowPieces]
    find: Callable[[bytes], bytes | None] = lambda _key: None


@dataclass(frozen=True)
class PlannedDataset:
    """A dataset before it is written.

    `runs` are those that become rows, in order; `rejects` are the others with the reason, in order too.
    `time_conflicts` counts the runs looked at whose times contradict each other, by how they do.
    """

    universe_id: str
    runs: list[IndexedRun]
    rejects: list[tuple[IndexedRun, str]]
    rows: Callable[[], Iterator[LazyRow]]
    input_hashes: Counter[str] = field(default_factory=Counter)
    time_conflicts: Counter[str] = field(default_factory=Counter)

    @cached_property
    def runs_digest(self) -> str:
        """Digest over the sorted (run_id, artifact sha256s) of the runs in the dataset."""
        lines = sorted(canonical([run.run_id, sorted(run.artifacts.items())]) for run in self.runs)
        return sha256("\n".join(lines).encode("utf-8")).hexdigest()

    @property
    def left_out(self) -> dict[str, int]:
        """How many runs could have been rows and are not, by reason."""
        return dict(sorted(Counter(self._reasons(asked_for=True)).items()))

    @property
    def not_selected(self) -> dict[str, int]:
        """How many runs the options do not ask for, by reason."""
        return dict(sorted(Counter(self._reasons(asked_for=False)).items()))

    def _reasons(self, *, asked_for: bool) -> Iterator[str]:
        return (reason for _, reason in self.rejects if (reason not in _NOT_ASKED_FOR) == asked_for)


def judge(
    run: IndexedRun, other_epoch: RunKeys, reason_left_out: Callable[[IndexedRun], str | None]
) -> str | None:
    """Why a run is no row, or None; what the options do not ask for goes before what is wrong with it."""
    reason = reason_left_out(run)
    return OTHER_EPOCH if reason != FAB_WORLD and (run.kind, run.name) in other_epoch else reason


def universe_digest(universe: Universe) -> str:
    """Digest of what a universe contributes to a planner input."""
    shown = [universe.universe_id, list(universe.swarm_ids), universe.defaults()]
    return sha256(canonical(shown).encode("utf-8", "surrogatepass")).hexdigest()
