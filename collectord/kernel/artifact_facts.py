"""What a manifest and a proof tell of a run beside its label and its environment, for the audit. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from collectord.kernel.beads import first_set
from collectord.kernel.failures import cause_of
from collectord.kernel.jsonio import JsonObject, ascii_json, canonical
from collectord.kernel.planner_input import ITERATIONS_BINS, recorded_input
from collectord.kernel.rows import nearest_bin
from collectord.kernel.values import as_object, capped, is_int, member, text_or_none, texts

Bin = int | str


class Asked(NamedTuple):
    """The action that a planner asked for, in its bins; "NA" for what it did not say."""

    swarm: str
    candidates: Bin
    minutes: Bin


class ArtifactFacts(NamedTuple):
    """What only the artifacts tell of a run; the same bytes always tell the same.

    `k0` is the hash of the whole input, `k1` that of the input without id, history, attempts and times.
    `cause` and `evidence` are set where a gate failed for a reason outside of the task.
    """

    risk: str | None = None
    size: str | None = None
    hint: str | None = None
    tags: tuple[str, ...] = ()
    k0: str | None = None
    k1: str | None = None
    iterations: Bin = "NA"
    requested: Asked | None = None
    fallback: str | None = None
    timeout_overridden: bool = False
    control: str | None = None
    fail_codes: tuple[str, ...] = ()
    failed_gates: tuple[str, ...] = ()
    gates: int = 0
    empty_gates: tuple[str, ...] = ()
    cause: str | None = None
    evidence: str | None = None
    diff_lines: int | None = None
    has_manifest: bool = True


# Raise it whenever the same bytes would tell something else: what was kept is then read again.
VERSION = 1
_KEY = 16
_MOST_CODES = 8
# A command that always passes: a gate of it says nothing.
_EMPTY_GATE = re.compile(r"true|:|exit 0|/bin/true|echo\b[^;&|]*")
# What tells one run of an issue from the next: left out of K1, so that equal situations meet.
_OF_THE_ISSUE = frozenset({"issue_id", "dk_attempts"})
_OF_THE_INPUT = frozenset({"created_at", "history"})
_OF_THE_STATE = frozenset({"hour_bucket"})


def artifact_facts_of(manifest: JsonObject, proof: JsonObject) -> ArtifactFacts:
    """What a manifest and a proof tell; absent ones are empty objects."""
    issue = member(manifest, "issue")
    given = recorded_input(manifest)
    shown = as_object(given.get("issue")) or as_object(issue)
    plan = member(manifest, "planner", "executed_plan")
    codes = _fail_codes(proof)
    cause = cause_of(proof, codes)
    return ArtifactFacts(
        risk=text_or_none(first_set(shown, "dk_risk", "risk")),
        size=text_or_none(first_set(shown, "dk_size", "size")),
        hint=text_or_none(first_set(shown, "dk_tool_hint", "tool_hint")),
        tags=tuple(texts(shown.get("tags"))),
        k0=_k0(manifest),
        k1=_digest(_situation(given)) if given else None,
        iterations=_bin(member(plan, "max_iterations_executed"), ITERATIONS_BINS),
        requested=_requested(manifest),
        fallback=_fallback(plan),
        timeout_overridden=member(manifest, "planner", "timeout_seconds_override") is not None,
        control=text_or_none(member(manifest, "control", "mode")),
        fail_codes=tuple(capped(code, 60) for code in codes[:_MOST_CODES]),
        failed_gates=_failed_gates(proof),
        gates=len(as_object(manifest.get("quality_gates"))),
        empty_gates=_empty_gates(manifest),
        cause=cause.cause if cause else None,
        evidence=cause.evidence if cause else None,
        diff_lines=_diff_lines(proof),
        has_manifest=bool(manifest),
    )


def _k0(manifest: JsonObject) -> str | None:
    said = member(manifest, "planner", "planner_action", "input_hash")
    return said[:_KEY] if isinstance(said, str) and said else None


def _situation(given: JsonObject) -> JsonObject:
    """The recorded input without id, history, attempts and times."""
    shown = {key: value for key, value in given.items() if key not in _OF_THE_INPUT}
    shown["issue"] = {k: v for k, v in as_object(given.get("issue")).items() if k not in _OF_THE_ISSUE}
    state = as_object(given.get("system_state"))
    shown["system_state"] = {k: v for k, v in state.items() if k not in _OF_THE_STATE}
    return shown


def _digest(value: JsonObject) -> str:
    return sha256(canonical(value).encode("utf-8", "surrogatepass")).hexdigest()[:_KEY]


def _requested(manifest: JsonObject) -> Asked | None:
    """What the planner asked for; None where it recorded no action of the right shape."""
    action = member(manifest, "planner", "planner_action")
    swarm = text_or_none(member(action, "swarm_id"))
    bins = as_object(member(action, "budgets"))
    if swarm is None:
        return None
    return Asked(swarm, _said(bins.get("max_candidates_bin")), _said(bins.get("max_minutes_bin")))


def _said(value: object) -> Bin:
    return int(value) if is_int(value) else "NA"


def _bin(value: object, bins: Sequence[int]) -> Bin:
    return nearest_bin(int(value) if is_int(value) else None, bins)


def _fallback(plan: object) -> str | None:
    if not member(plan, "fallback_applied"):
        return None
    return capped(text_or_none(member(plan, "fallback_reason")) or "no reason given", 80)


def _fail_codes(proof: JsonObject) -> list[str]:
    """Of every gate, then the blocking failures, then a code that a tool added later."""
    verification = as_object(proof.get("verification"))
    gates = as_object(verification.get("gates")).values()
    codes = [code for gate in gates for code in texts(member(gate, "fail_codes"))]
    codes += texts(verification.get("blocking_failures"))
    added = (
        proof.get("failure_code"),
        member(proof, "metadata", "failure_code"),
        verification.get("failure_code"),
    )
    return list(dict.fromkeys([*codes, *texts(list(added))]))


def _failed_gates(proof: JsonObject) -> tuple[str, ...]:
    gates = as_object(member(proof, "verification", "gates"))
    return tuple(
        capped(name, 40) for name, gate in gates.items() if isinstance(gate, dict) and not gate.get("passed")
    )


def _empty_gates(manifest: JsonObject) -> tuple[str, ...]:
    gates = as_object(manifest.get("quality_gates"))
    commands = {name: gate.get("command") if isinstance(gate, dict) else gate for name, gate in gates.items()}
    return tuple(
        capped(name, 40)
        for name, command in commands.items()
        if isinstance(command, str) and _EMPTY_GATE.fullmatch(command.strip())
    )


def _diff_lines(proof: JsonObject) -> int | None:
    stats = member(proof, "patch", "diff_stats")
    numbers = [member(stats, key) for key in ("insertions", "deletions")]
    whole = [int(n) for n in numbers if is_int(n)]
    return sum(whole) if len(whole) == len(numbers) else None


def artifact_facts_json(found: ArtifactFacts) -> str:
    """As an ASCII text, under the version of what found them."""
    return ascii_json([VERSION, *found])


def artifact_facts_from(text: str | None) -> ArtifactFacts | None:
    """From such a text; None where there is none, or another version wrote it."""
    values = json.loads(text) if text else None
    if not values or values[0] != VERSION:
        return None
    del values[0]
    for place in _TUPLES:
        values[place] = tuple(values[place])
    if values[_REQUESTED] is not None:
        values[_REQUESTED] = Asked(*values[_REQUESTED])
    return ArtifactFacts(*values)


_REQUESTED = ArtifactFacts._fields.index("requested")
_OF_MANY = ("tags", "fail_codes", "failed_gates", "empty_gates")
_TUPLES = tuple(map(ArtifactFacts._fields.index, _OF_MANY))
