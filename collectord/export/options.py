"""What an export was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from collectord.cyntra.planner_input import RECORDED_N_SIMILAR

BUILDER = "builder"
DISPATCH = "dispatch"
BY_TIME = "time"
BY_ISSUE = "issue"
# Which runs a history may show. By the first rule, until 2026-11, a run counted as finished when its proof
# said so, and one that started at or after the row could stand in its history.
HISTORY_RULE, FIRST_RULE = 2, 1


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """`universe` None means the repo's own; `n_similar` is the length of a history.

    `epoch` is the number of the only epoch whose runs become rows, `environment` the fingerprint of the only
    environment; None for all.
    `split_by` is BY_TIME, the kernel's own way, or BY_ISSUE: all rows of an issue in one split.
    """

    profile: str = DISPATCH
    n_similar: int = RECORDED_N_SIMILAR
    universe: str | None = None
    include_world: bool = False
    epoch: int | None = None
    environment: str | None = None
    split_by: str = BY_TIME

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
    )
