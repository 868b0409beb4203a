"""What an export is asked for, what a profile hands to the writer, splits and distributions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any

from collectord.kernel.jsonio import ITEM, KEY, JsonObject, Marked, canonical, compact
from collectord.kernel.planner_input import RECORDED_N_SIMILAR, recorded_issue_id
from collectord.kernel.rows import RowPieces, row_from_bytes, split_of, split_of_issue
from collectord.kernel.universe import Universe
from collectord.model import IndexedRun

BUILDER = "builder"
DISPATCH = "dispatch"
BY_TIME = "time"
BY_ISSUE = "issue"
RECORDED = "recorded"
REBUILT = "rebuilt"
# Which runs a history may show. By the first rule, until 2026-11, a run counted as finished when its proof
# said so, and one that started at or after the row could stand in its history.
# By the second, until then, a copied archive was a run of its own.
HISTORY_RULE, FIRST_RULE = 3, 1


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """`universe` None means the repo's own; `n_similar` is the length of a history.

    `epoch` is the number of the only epoch whose runs become rows, `environment` the fingerprint of the only
    environment; None for all.
    `split_by` is BY_TIME, the kernel's own way, or BY_ISSUE: all rows of an issue in one split.
    `histories` RECORDED takes recorded inputs as they are where `n_similar` is the kernel's own; REBUILT
    makes every history again. `redact` replaces what looks like a credential.
    """

    profile: str = DISPATCH
    n_similar: int = RECORDED_N_SIMILAR
    universe: str | None = None
    include_world: bool = False
    epoch: int | None = None
    environment: str | None = None
    split_by: str = BY_TIME
    histories: str = RECORDED
    redact: bool = False

    def as_json(self) -> dict[str, Any]:
        """The options as they stand in snapshot.json."""
        return {
            "profile": self.profile,
            "n_similar": self.n_similar,
            "universe": self.universe,
            "include_world": self.include_world,
            "epoch": self.epoch,
            "environment": self.environment,
            "split_by": self.split_by,
            # Absent from snapshots of before there was a choice.
            **({"histories": self.histories} if self.histories != RECORDED else {}),
            **({"redact": True} if self.redact else {}),
        }


def options_from_json(value: dict[str, Any]) -> ExportOptions:
    """The options that a snapshot names; raises KeyError or TypeError where it names none."""
    return ExportOptions(
        str(value["profile"]),
        int(value["n_similar"]),
        value["universe"],
        bool(value["include_world"]),
        value.get("epoch"),
        value.get("environment"),
        str(value.get("split_by", BY_TIME)),
        str(value.get("histories", RECORDED)),
        bool(value.get("redact")),
    )


NO_PLAN = "no_executed_plan"
COPY_OF = "copy_of"  # followed by the name of the original
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


# Asked with a position and the bytes of the row there.
Splitter = Callable[[int, bytes], str]


def splitter(split_by: str, total: int) -> Splitter:
    """Gives the split of the row at a position among `total`."""
    if split_by == BY_ISSUE:
        return lambda _position, row: split_of_issue(issue_of(row))
    return lambda position, _row: split_of(position, total)


def issue_of(row: bytes) -> str:
    """The issue that a row shows, else its run id: a row without an issue is alone."""
    head = json.loads(compact(Marked(row_from_bytes(row).before.removesuffix(ITEM) + "}")))
    return recorded_issue_id(head["planner_input"]) or str(head["run_id"])


_BEHIND_LABEL = f'{ITEM}"planner_input"{KEY}'


def label_of_row(row: RowPieces) -> JsonObject:
    """The label of a row."""
    head = row.before[: row.before.index(_BEHIND_LABEL)] + "}"
    label: JsonObject = json.loads(compact(Marked(head)))["label_action"]
    return label


BUDGETS = ("max_candidates_bin", "max_minutes_bin", "max_iterations_bin")
SWARM, OUTCOME = "swarm_id", "outcome_status"
LABEL_PARTS = (SWARM, *BUDGETS)
DIMENSIONS = (*LABEL_PARTS, OUTCOME)
# Dimension → value → split → rows.
Distributions = Mapping[str, Mapping[str, Mapping[str, int]]]


def label_values(label: JsonObject) -> tuple[str, ...]:
    """A label as texts, in the order of LABEL_PARTS."""
    return str(label["swarm_id"]), *(str(label["budgets"][name]) for name in BUDGETS)


@dataclass
class Tally:
    """Counts rows by dimension, value and split."""

    _counts: dict[str, Counter[tuple[str, str]]] = field(
        default_factory=lambda: {name: Counter() for name in DIMENSIONS}
    )

    def add(self, split: str, label: Sequence[str], status: str | None) -> None:
        """Count one row by its `label_values`; a status that is not known is not counted."""
        for name, value in zip(LABEL_PARTS, label, strict=True):
            self._counts[name][value, split] += 1
        if status is not None:
            self._counts[OUTCOME][status, split] += 1

    def as_json(self) -> dict[str, dict[str, dict[str, int]]]:
        """Dimension → value → split → rows, as it stands in snapshot.json."""
        found: dict[str, dict[str, dict[str, int]]] = {}
        for name, counts in self._counts.items():
            values: dict[str, dict[str, int]] = {}
            for (value, split), count in sorted(counts.items()):
                values.setdefault(value, {})[split] = count
            found[name] = values
        return found
