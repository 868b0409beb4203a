"""How labels and outcomes are distributed over the splits of a dataset. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from collectord.cyntra.jsonio import JsonObject

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
