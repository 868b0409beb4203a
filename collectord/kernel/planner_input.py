"""Building a planner input (CONTRACT.md 6.4 and 7). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collectord.kernel.beads import first_set, issue_attempts, issue_tags
from collectord.kernel.jsonio import JsonObject, drop_non_finite
from collectord.kernel.tokens import extract_keywords
from collectord.kernel.universe import Universe
from collectord.kernel.values import as_object, is_int, member, text_or_none, texts

INPUT_SCHEMA = "cyntra.planner_input.v1"
MINUTES_BINS = (15, 30, 45, 60, 120)
CANDIDATES_BINS = (1, 2, 3)
ITERATIONS_BINS = (1, 2, 3, 5)
RECORDED_N_SIMILAR = 8
# What a rebuilt input copies from a recorded one.
_COPIED = ("universe_id", "universe_defaults", "issue", "action_space", "system_state")
_PRIORITIES = frozenset({"P0", "P1", "P2", "P3"})
_RISKS = frozenset({"low", "medium", "high", "critical"})
_SIZES = frozenset({"XS", "S", "M", "L", "XL"})
_VALIDITY_RULES: tuple[JsonObject, ...] = (
    {
        "description": "If swarm_id=serial_handoff, then max_candidates_bin=1.",
        "if": {"swarm_id": "serial_handoff"},
        "then": {"max_candidates_bin": 1},
    },
    {
        "description": 'If job_type="code", then max_iterations_bin="NA".',
        "if": {"job_type": "code"},
        "then": {"max_iterations_bin": "NA"},
    },
    {
        "description": 'If job_type="fab-world", then max_candidates_bin!="NA".',
        "if": {"job_type": "fab-world"},
        "then": {"max_candidates_bin_not": "NA"},
    },
)


def action_space(swarm_ids: tuple[str, ...]) -> JsonObject:
    """The actions a policy may choose from."""
    return {
        "swarm_ids": list(swarm_ids),
        "max_minutes_bins": [*MINUTES_BINS, "NA"],
        "max_candidates_bins": [*CANDIDATES_BINS, "NA"],
        "max_iterations_bins": [*ITERATIONS_BINS, "NA"],
        "validity_rules": list(_VALIDITY_RULES),
    }


def issue_input(issue_id: str, record: JsonObject | None, fallback_tags: list[str]) -> JsonObject:
    """The `issue` member from a Beads record, or the bare defaults where Beads does not know the issue."""
    known = record or {}
    issue: JsonObject = {
        "issue_id": issue_id,
        "dk_priority": _one_of(_PRIORITIES, first_set(known, "dk_priority", "priority"), "P2"),
        "dk_risk": _one_of(_RISKS, first_set(known, "dk_risk", "risk"), "medium"),
        "dk_size": _one_of(_SIZES, first_set(known, "dk_size", "size"), "M"),
        "dk_tool_hint": first_set(known, "dk_tool_hint", "tool_hint"),
        "dk_attempts": issue_attempts(known),
        "tags": issue_tags(known) or fallback_tags,
    }
    if record is not None:
        issue["title"] = record.get("title")
        issue["description"] = record.get("description")
        issue["keywords"] = extract_keywords(record.get("title"), record.get("description"))
    return issue


def _one_of(allowed: frozenset[str], value: object, default: str) -> str:
    return value if isinstance(value, str) and value in allowed else default


def manifest_issue_record(manifest: JsonObject) -> JsonObject | None:
    """manifest.issue in the form of a Beads record, for issues that Beads does not know.

    An older kernel records no dk_* fields there: the defaults of `issue_input` then stand.
    """
    issue = member(manifest, "issue")
    if not isinstance(issue, dict) or not issue:
        return None
    attempts = issue.get("dk_attempts", 0)
    return {**drop_non_finite(issue), "dk_attempts": attempts if is_int(attempts) else 0}


def recorded_input(manifest: JsonObject) -> JsonObject:
    """manifest.planner.planner_input where it is an object, else an empty one."""
    return as_object(member(manifest, "planner", "planner_input"))


def rebuilt_parts(
    recorded: JsonObject, universe: Universe, issue: JsonObject, started_text: str, job_type: str
) -> JsonObject:
    """A planner input without its history: recorded parts where they have the right type, else built."""
    recorded = drop_non_finite({key: recorded[key] for key in _COPIED if key in recorded})
    return {
        "schema_version": INPUT_SCHEMA,
        "created_at": started_text,
        "universe_id": _recorded_or_built(recorded, "universe_id", str, universe.universe_id),
        "job_type": job_type,
        "universe_defaults": _recorded_or_built(recorded, "universe_defaults", dict, universe.defaults()),
        "issue": _recorded_or_built(recorded, "issue", dict, issue),
        "action_space": _recorded_or_built(recorded, "action_space", dict, action_space(universe.swarm_ids)),
        "system_state": _recorded_or_built(recorded, "system_state", dict, None),
    }


def _recorded_or_built(recorded: Mapping[str, Any], key: str, kind: type, built: object) -> object:
    value = recorded.get(key)
    return value if isinstance(value, kind) else built


def swarm_ids_of(planner_input: JsonObject) -> list[str] | None:
    """The swarms of a recorded action space; None where there is none of the right type."""
    space = planner_input.get("action_space")
    return texts(space.get("swarm_ids")) if isinstance(space, dict) else None


def row_tags(planner_input: JsonObject) -> list[str]:
    """The row's own tags, which its history is chosen by."""
    return texts(member(planner_input, "issue", "tags"))


def recorded_issue_id(planner_input: JsonObject) -> str | None:
    """The issue id that a recorded input names."""
    return text_or_none(member(planner_input, "issue", "issue_id"))
