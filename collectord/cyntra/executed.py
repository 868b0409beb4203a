"""What a manifest records of the action that was executed, and of the issue that it was for. Pure.

It stands in the index once a run, so it is kept short: a text that is too long counts as not known.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from collectord.cyntra.dispatch import explicit_plan
from collectord.cyntra.evidence import MAX_ITEMS, MAX_TEXT
from collectord.cyntra.jsonio import JsonObject, ascii_json
from collectord.cyntra.planner_input import recorded_input
from collectord.cyntra.policy.feasible import Executed, IssueText
from collectord.cyntra.values import as_object, member, text_or_none, texts

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
    given = {name: getattr(executed, name) for name in Executed.__dataclass_fields__}
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
