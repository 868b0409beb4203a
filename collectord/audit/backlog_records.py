"""Beads records as issues of a backlog. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from collectord.audit.facts import BacklogIssue
from collectord.cyntra.beads import first_set, issue_attempts, issue_tags
from collectord.cyntra.deps import blockers, critical_path
from collectord.cyntra.jsonio import JsonObject
from collectord.cyntra.values import text_or_none

RISKS = ("low", "medium", "high", "critical")
SIZES = ("XS", "S", "M", "L", "XL")
DONE = frozenset({"done", "closed", "cancelled", "canceled", "wontfix"})
READY = frozenset({"open", "ready"})
DEFAULT_MAX_ATTEMPTS = 3
ESCALATED_TAG = "escalation"


def backlog_of(
    records: Mapping[str, JsonObject], edges: tuple[tuple[str, str], ...]
) -> tuple[BacklogIssue, ...]:
    """Every issue of the Beads file, with what holds it back now."""
    open_ids = frozenset(key for key, record in records.items() if _status(record) not in DONE)
    blocked_by = blockers(edges, open_ids)
    critical = critical_path(blocked_by, open_ids)
    return tuple(
        _issue(key, record, blocked_by.get(key, ()), key in critical) for key, record in records.items()
    )


def _issue(key: str, record: JsonObject, blocked_by: tuple[str, ...], critical: bool) -> BacklogIssue:
    most = record.get("dk_max_attempts")
    status = _status(record)
    tags = tuple(issue_tags(record))
    return BacklogIssue(
        issue_id=key,
        title=text_or_none(record.get("title")) or "",
        description=text_or_none(record.get("description")) or "",
        status=status,
        risk=_known(first_set(record, "dk_risk", "risk"), RISKS),
        size=_known(first_set(record, "dk_size", "size"), SIZES),
        hint=text_or_none(first_set(record, "dk_tool_hint", "tool_hint")),
        tags=tags,
        attempts=issue_attempts(record),
        max_attempts=DEFAULT_MAX_ATTEMPTS if most is None else int(most),
        escalated=status == "escalated" or bool(record.get("dk_escalated")) or ESCALATED_TAG in tags,
        speculate=bool(record.get("dk_speculate")),
        on_critical_path=critical,
        blocked_by=blocked_by,
    )


def _status(record: JsonObject) -> str:
    return (text_or_none(record.get("status")) or "open").lower()


def _known(value: object, allowed: tuple[str, ...]) -> str | None:
    return value if isinstance(value, str) and value in allowed else None


def is_ready(issue: BacklogIssue) -> bool:
    """Open or ready, nothing open before it, attempts left, not escalated."""
    left = issue.attempts < issue.max_attempts
    return issue.status in READY and not issue.blocked_by and left and not issue.escalated
