"""Beads issues as the kernel reads them (CONTRACT.md section 4). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from collectord.cyntra.jsonio import JsonObject, is_encodable, loads

_INT_FIELDS = ("dk_attempts", "dk_max_attempts", "dk_required_reviewers", "dk_estimated_tokens")


def parse_issues(text: str) -> dict[str, JsonObject]:
    """Issue id → raw record, the last record of an id winning, in order of first appearance.

    Skipped as the kernel skips them: blank lines, lines that are not JSON objects, records whose
    integers do not convert, empty ids. A record that cannot be written as UTF-8 is skipped too.
    """
    issues: dict[str, JsonObject] = {}
    for record in _records(text):
        issue_id = _issue_id(record)
        if issue_id and _integers_convert(record) and is_encodable(record):
            issues[issue_id] = record
    return issues


def _records(text: str) -> Iterator[JsonObject]:
    for line in text.splitlines():
        if not line.strip():
            continue
        try:
            value = loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            yield value


def _issue_id(record: JsonObject) -> str:
    raw = record.get("id")
    return "" if raw is None else str(raw)


def _integers_convert(record: JsonObject) -> bool:
    try:
        for field in _INT_FIELDS:
            int(record.get(field, 0))
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def issue_attempts(record: JsonObject) -> int:
    """`dk_attempts` as the kernel converts it; the record passed `parse_issues`."""
    return int(record.get("dk_attempts", 0))


def issue_tags(record: JsonObject) -> list[str]:
    """The tags that are strings and not blank."""
    tags = record.get("tags")
    return [t for t in tags if isinstance(t, str) and t.strip()] if isinstance(tags, list) else []


def first_set(record: JsonObject, *names: str) -> Any:
    """The first of the named fields that is neither missing nor empty."""
    for name in names:
        if value := record.get(name):
            return value
    return None
