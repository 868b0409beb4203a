"""What a manifest shows of the environment and the action of its run (CONTRACT.md section 5). Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

from collectord.kernel.dispatch import explicit_plan
from collectord.kernel.jsonio import JsonObject, ascii_json
from collectord.kernel.planner_input import recorded_input, swarm_ids_of
from collectord.kernel.policy.feasible import Executed, IssueText
from collectord.kernel.values import as_object, is_int, member, text_or_none, texts, unique
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
    shown = evidence._asdict()
    return ascii_json({name: value for name, value in shown.items() if value is not None and value != ()})


def evidence_from(text: str) -> Evidence:
    """The evidence back from its JSON."""
    value = json.loads(text)
    return Evidence(**{name: _tupled(item) for name, item in value.items()})


def situation_json(situation: Situation) -> str:
    """A situation as ASCII JSON."""
    shown = situation._asdict()
    return ascii_json({name: value for name, value in shown.items() if value is not None and value != ()})


def situation_from(text: str) -> Situation:
    """The situation back from its JSON."""
    value = json.loads(text)
    return Situation(**{name: _tupled(item) for name, item in value.items()})


def _tupled(value: Any) -> Any:
    return tuple(_tupled(item) for item in value) if isinstance(value, list) else value


# The text of an action that is not known; no text at all stands for one that was not looked for yet.
UNKNOWN = "null"
MAX_TITLE, MAX_DESCRIPTION = 500, 4000


def executed_of(manifest: JsonObject) -> Executed | None:
    """The executed action; None without an explicit plan, and where its issue is not known well enough."""
    plan, recorded = explicit_plan(manifest), recorded_input(manifest)
    issue = {**_known(manifest.get("issue")), **_known(recorded.get("issue"))}
    risk, size = issue.get("dk_risk"), issue.get("dk_size")
    tags = texts(issue.get("tags"))
    if plan is None or not _is_short(plan.swarm_id) or not _is_short(risk) or not _is_short(size):
        return None
    if len(tags) > MAX_ITEMS or not all(map(_is_short, tags)):
        return None
    hint = text_or_none(issue.get("dk_tool_hint"))
    return Executed(
        swarm_id=plan.swarm_id,
        candidates=plan.max_candidates,
        toolchain=_short(manifest.get("toolchain")),
        risk=str(risk),
        size=str(size),
        tool_hint=None if hint is None else hint[:MAX_TEXT],
        tags=tuple(tags),
        available=_available(member(recorded, "system_state", "available_toolchains")),
    )


def _known(issue: object) -> JsonObject:
    return {name: value for name, value in as_object(issue).items() if value is not None}


def _is_short(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_TEXT


def _short(value: object) -> str | None:
    return str(value) if _is_short(value) else None


def _available(value: object) -> tuple[str, ...] | None:
    if not isinstance(value, list) or len(value) > MAX_ITEMS or not all(map(_is_short, value)):
        return None
    return tuple(sorted(value))


def issue_text_of(manifest: JsonObject) -> IssueText:
    """Title and description; the kernel takes one that is null for an empty one."""
    issue, recorded = as_object(manifest.get("issue")), as_object(recorded_input(manifest).get("issue"))
    title = _text(issue if "title" in issue else recorded, "title", MAX_TITLE)
    return IssueText(title, _text(issue, "description", MAX_DESCRIPTION))


def _text(issue: Mapping[str, Any], name: str, limit: int) -> str | None:
    if name not in issue:
        return None
    value = "" if issue[name] is None else issue[name]
    return value if isinstance(value, str) and len(value) <= limit else None


def executed_json(executed: Executed | None) -> str:
    """As ASCII JSON; what is not known is left out."""
    if executed is None:
        return UNKNOWN
    given = executed._asdict()
    return ascii_json({name: value for name, value in given.items() if value is not None})


def executed_from(text: str) -> Executed:
    """The action back from its JSON, which is not UNKNOWN."""
    value = json.loads(text)
    members: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in value.items()}
    return Executed(**members)


def issue_text_json(text: IssueText) -> str | None:
    """As ASCII JSON, None where nothing is known."""
    return None if text == IssueText() else ascii_json([text.title, text.description])


def issue_text_from(text: str | None) -> IssueText:
    """The texts back from their JSON."""
    return IssueText() if text is None else IssueText(*json.loads(text))
