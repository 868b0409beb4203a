"""What stood beside the archives: Beads records over time, and the ends of workcells from the event log."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict

from sqlalchemy import Connection, case, func, select
from sqlalchemy.dialects.sqlite import insert as upsert

from collectord.index import tables
from collectord.index.rows import db_int, db_text, text_digest
from collectord.kernel.events import WorkcellEnd
from collectord.kernel.jsonio import JsonObject, ascii_json
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


def record_ends(connection: Connection, ends: Sequence[tuple[int, WorkcellEnd]]) -> None:
    """Keep events with their position in the log; one that is known already is not kept twice."""
    rows = [_row(position, end) for position, end in ends]
    if rows:
        connection.execute(upsert(tables.workcell_ends).on_conflict_do_nothing(), rows)


def _row(position: int, end: WorkcellEnd) -> dict[str, object]:
    return {
        "workcell_id": db_text(end.workcell_id),
        "digest": text_digest(ascii_json(asdict(end))),
        "position": position,
        "type": end.type,
        "at_ms": db_int(end.at_ms),
        "timed_out": int(end.timed_out),
        "duration_ms": db_int(end.duration_ms) or 0,
    }


def timeouts(connection: Connection) -> dict[str, WorkcellEnd]:
    """Workcell id → the first event in the log that says it timed out."""
    table = tables.workcell_ends
    query = select(table).where(table.c.timed_out == 1).order_by(table.c.position.desc())
    return {
        row.workcell_id: WorkcellEnd(row.workcell_id, row.type, row.at_ms, True, row.duration_ms)
        for row in connection.execute(query)
    }


def read_position(connection: Connection, path: str) -> tuple[str, int]:
    """(stamp, position) up to which a source file was read; ("", 0) at first."""
    row = connection.execute(select(tables.sources).filter_by(path=path)).one_or_none()
    return (row.stamp, row.position) if row else ("", 0)


def set_position(connection: Connection, path: str, stamp: str, position: int) -> None:
    """Remember how far a source file was read."""
    statement = upsert(tables.sources).values(path=path, stamp=stamp, position=position)
    values = {"stamp": stamp, "position": position}
    connection.execute(statement.on_conflict_do_update(index_elements=["path"], set_=values))
