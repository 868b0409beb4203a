"""Which split a row is of, and how a dataset is distributed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from collectord.cyntra.jsonio import ITEM, JsonObject, Marked, compact
from collectord.cyntra.planner_input import recorded_issue_id
from collectord.cyntra.rows import RowPieces, split_of, split_of_issue
from collectord.export.row_plan import BY_ISSUE

Splitter = Callable[[int, RowPieces], str]


def splitter(split_by: str, total: int) -> Splitter:
    """Gives the split of the row at a position among `total`."""
    if split_by == BY_ISSUE:
        return lambda _position, row: split_of_issue(issue_of(row))
    return lambda position, _row: split_of(position, total)


def issue_of(row: RowPieces) -> str:
    """The issue that a row shows, else its run id: a row without an issue is alone."""
    head = json.loads(compact(Marked(row.before.removesuffix(ITEM) + "}")))
    return recorded_issue_id(head["planner_input"]) or str(head["run_id"])


BUDGETS = ("max_candidates_bin", "max_minutes_bin", "max_iterations_bin")
SWARM, OUTCOME = "swarm_id", "outcome_status"
LABEL_PARTS = (SWARM, *BUDGETS)
DIMENSIONS = (*LABEL_PARTS, OUTCOME)
# Dimension → value → split → rows.
Distributions = Mapping[str, Mapping[str, Mapping[str, int]]]


def label_values(label: JsonObject) -> dict[str, str]:
    """The four dimensions of a label, each as text."""
    return {SWARM: str(label["swarm_id"]), **{name: str(label["budgets"][name]) for name in BUDGETS}}


@dataclass
class Tally:
    """Counts rows by dimension, value and split."""

    _counts: dict[str, Counter[tuple[str, str]]] = field(
        default_factory=lambda: {name: Counter() for name in DIMENSIONS}
    )

    def add(self, split: str, label: JsonObject, status: str | None) -> None:
        """Count one row; a status that is not known is not counted."""
        for name, value in label_values(label).items():
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
