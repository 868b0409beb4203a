"""The label of a row: the executed action in the policy's own bins (CONTRACT.md 6.6). Pure."""

from __future__ import annotations

from collections.abc import Sequence

from collectord.cyntra.jsonio import JsonObject
from collectord.cyntra.planner_input import CANDIDATES_BINS, ITERATIONS_BINS, MINUTES_BINS

ACTION_SCHEMA = "cyntra.planner_action.v1"
Bin = int | str


def nearest_bin(value: int | None, bins: Sequence[int]) -> Bin:
    """The nearest bin, the lower on a tie; "NA" for a missing value."""
    return "NA" if value is None else min(bins, key=lambda b: (abs(b - value), b))


def budgets(action: JsonObject) -> dict[str, Bin]:
    """The three budget bins of an executed action."""
    return {
        "max_candidates_bin": nearest_bin(action["max_candidates"], CANDIDATES_BINS),
        "max_minutes_bin": nearest_bin(action["max_minutes"], MINUTES_BINS),
        "max_iterations_bin": nearest_bin(action["max_iterations"], ITERATIONS_BINS),
    }


def label_action(
    action: JsonObject, swarm_ids: Sequence[str], created_at: str, input_hash: str
) -> JsonObject:
    """The label; a missing swarm counts as serial, and one outside the action space as its first."""
    swarm = action["swarm_id"] or "serial_handoff"
    return {
        "schema_version": ACTION_SCHEMA,
        "created_at": created_at,
        "swarm_id": swarm if swarm in swarm_ids else swarm_ids[0],
        "budgets": budgets(action),
        "model": {"checkpoint_id": "executed_plan"},
        "confidence": 1.0,
        "abstain_to_default": False,
        "reason": None,
        "input_hash": input_hash,
    }
