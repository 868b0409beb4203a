"""What a manifest shows of the environment that its run had (CONTRACT.md section 5). Pure.

Everything is kept short: a manifest is untrusted, and its texts stand in the index once a run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from collectord.cyntra.jsonio import JsonObject, ascii_json
from collectord.cyntra.planner_input import recorded_input, swarm_ids_of
from collectord.cyntra.values import as_object, is_int, member, text_or_none, texts, unique
from collectord.model import Evidence, Situation

MAX_TEXT = 300
MAX_ITEMS = 64
GATES, TIMEOUT = "gates", "timeout"


def short(text: str) -> str:
    """The text, or its digest where it is long; two texts are equal exactly where this is."""
    if len(text) <= MAX_TEXT:
        return text
    return "sha256:" + sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def short_all(items: Iterable[str]) -> tuple[str, ...]:
    """Each text made short; one digest of them all where there are many."""
    listed = [short(item) for item in items]
    return tuple(listed) if len(listed) <= MAX_ITEMS else (short(ascii_json(listed)),)


def _short_or_none(value: object) -> str | None:
    text = text_or_none(value)
    return None if text is None else short(text)


def evidence_of(manifest: JsonObject, domain: str) -> Evidence:
    """The evidence in a manifest; `domain` is the run's (CONTRACT.md 6.1).

    An issue with gates of its own, an asset and a world do not show the environment's gates; a timeout
    that was overridden does not show the toolchain's.
    """
    recorded = recorded_input(manifest)
    config = member(manifest, "toolchain_config")
    swarms = swarm_ids_of(recorded)
    overridden = tuple(_overridden(manifest, domain))
    return Evidence(
        toolchain=_short_or_none(manifest.get("toolchain")),
        model=_short_or_none(member(config, "model")),
        prompt_genome_id=_short_or_none(member(config, "prompt_genome_id")),
        domain=domain,
        gates=None if GATES in overridden else _gates(manifest.get("quality_gates")),
        control_mode=_short_or_none(member(manifest, "control", "mode")),
        timeout_seconds=None if TIMEOUT in overridden else _timeout(manifest),
        universe_id=_short_or_none(recorded.get("universe_id")),
        universe_defaults=_defaults(recorded.get("universe_defaults")),
        swarm_ids=None if swarms is None else short_all(sorted(unique(swarms))),
        overridden=overridden,
    )


def _overridden(manifest: JsonObject, domain: str) -> Iterable[str]:
    if member(manifest, "issue", "dk_quality_gates") or domain != "code":
        yield GATES
    if member(manifest, "planner", "timeout_seconds_override") is not None:
        yield TIMEOUT


def _timeout(manifest: JsonObject) -> int | None:
    seconds = member(manifest, "planner", "executed_plan", "timeout_seconds_executed")
    whole = is_int(seconds) and not isinstance(seconds, bool) and 1 <= seconds < 2**63
    return seconds if whole else None


def _gates(value: object) -> tuple[tuple[str, str], ...] | None:
    commands = {name: gate for name, gate in as_object(value).items() if isinstance(gate, str)}
    if not commands or len(commands) > MAX_ITEMS:
        return None
    return tuple((short(name), short(command)) for name, command in sorted(commands.items()))


def _defaults(value: object) -> tuple[str | None, str | None] | None:
    if not isinstance(value, dict):
        return None
    return _short_or_none(value.get("swarm_id")), _short_or_none(value.get("objective_id"))


def situation_of(manifest: JsonObject) -> Situation:
    """What the run was dispatched for: from the recorded input where there is one, else from the issue."""
    recorded = recorded_input(manifest)
    issue = as_object(recorded.get("issue")) or as_object(manifest.get("issue"))
    available = member(recorded, "system_state", "available_toolchains")
    return Situation(
        job_type=short(str(manifest.get("job_type") or "code")),
        risk=_short_or_none(issue.get("dk_risk")),
        size=_short_or_none(issue.get("dk_size")),
        tool_hint=_short_or_none(issue.get("dk_tool_hint")),
        tags=short_all(sorted(unique(texts(issue.get("tags"))))),
        available_toolchains=short_all(sorted(texts(available))) if isinstance(available, list) else None,
    )


def evidence_json(evidence: Evidence) -> str:
    """Evidence as ASCII JSON; members that show nothing are left out."""
    shown = {name: getattr(evidence, name) for name in Evidence.__dataclass_fields__}
    return ascii_json({name: value for name, value in shown.items() if value is not None and value != ()})


def evidence_from(text: str) -> Evidence:
    """The evidence back from its JSON."""
    value = json.loads(text)
    return Evidence(**{name: _tupled(item) for name, item in value.items()})


def situation_json(situation: Situation) -> str:
    """A situation as ASCII JSON."""
    shown = {name: getattr(situation, name) for name in Situation.__dataclass_fields__}
    return ascii_json({name: value for name, value in shown.items() if value is not None and value != ()})


def situation_from(text: str) -> Situation:
    """The situation back from its JSON."""
    value = json.loads(text)
    return Situation(**{name: _tupled(item) for name, item in value.items()})


def _tupled(value: Any) -> Any:
    return tuple(_tupled(item) for item in value) if isinstance(value, list) else value
