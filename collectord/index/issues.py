"""Beads records over time: each changed record is kept with the time it was first seen."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping

from sqlalchemy import Connection, case, func, select

from collectord.cyntra.jsonio import JsonObject, ascii_json
from collectord.index import tables
from collectord.index.codec import db_text, text_digest
from collectord.model import IssueRevision

ASKS = "dk_speculate"


def record_issues(connection: Connection, issues: Mapping[str, JsonObject], now_ms: int) -> int:
    """Keep every record that differs from the last one known of its issue; returns how many.

    A record that is missing from the file is not a change: the kernel rewrites the file in place, and
    what is read meanwhile may be cut short.
    """
    latest = _latest_digests(connection)
    changed = [
        {"issue_id": _key(issue_id), "seen_ms": now_ms, "digest": digest, "record": text}
        for issue_id, record in issues.items()
        if latest.get(_key(issue_id)) != (digest := text_digest(text := ascii_json(record)))
    ]
    if changed:
        connection.execute(tables.issue_revisions.insert(), changed)
    return len(changed)


def _key(issue_id: str) -> str:
    # NUL is the one character of an encodable text that SQLite's functions cut at.
    return issue_id.replace("\0", "\\x00")


def _latest_digests(connection: Connection) -> dict[str, str]:
    table = tables.issue_revisions
    newest = select(func.max(table.c.id)).group_by(table.c.issue_id)
    query = select(table.c.issue_id, table.c.digest).where(table.c.id.in_(newest))
    return {row.issue_id: row.digest for row in connection.execute(query)}


def issue_history(
    connection: Connection, only: Collection[str] | None = None
) -> dict[str, list[IssueRevision]]:
    """Issue id → its revisions in the order in which they were seen; with `only` of a few hundred issues."""
    table = tables.issue_revisions
    found: dict[str, list[IssueRevision]] = {}
    query = select(table.c.issue_id, table.c.seen_ms, table.c.record).order_by(table.c.id)
    if only is not None:
        query = query.where(table.c.issue_id.in_([db_text(issue_id) for issue_id in sorted(only)]))
    for issue_id, seen_ms, record in connection.execute(query):
        found.setdefault(issue_id, []).append(IssueRevision(issue_id, seen_ms, json.loads(record)))
    return found


def issues_asking(connection: Connection, after_id: int) -> Iterator[tuple[int, str, bool]]:
    """(row id, issue id, whether it asks to speculate) of each record that was kept after a row."""
    table = tables.issue_revisions
    mentions = table.c.record.like(f'%"{ASKS}":%')
    query = select(table.c.id, table.c.issue_id, case((mentions, table.c.record)))
    for row_id, issue_id, record in connection.execute(
        query.where(table.c.id > after_id).order_by(table.c.id)
    ):
        yield row_id, issue_id, record is not None and bool(json.loads(record).get(ASKS))
