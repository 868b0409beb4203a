"""What stood beside the archives: Beads records over time, and the ends of workcells from the event log."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict

from collectord.index.engine import IndexConnection
from collectord.index.rows import db_int, db_text, text_digest
from collectord.index.statements import insert, inserting, marks, scalar
from collectord.kernel.events import WorkcellEnd
from collectord.kernel.jsonio import JsonObject, ascii_json
from collectord.model import IssueRevision

ASKS = "dk_speculate"


def record_issues(connection: IndexConnection, issues: Mapping[str, JsonObject], now_ms: int) -> int:
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
        connection.executemany(inserting("issue_revisions", changed[0]), changed)
    return len(changed)


def _key(issue_id: str) -> str:
    # NUL is the one character of an encodable text that SQLite's functions cut at.
    return issue_id.replace("\0", "\\x00")


def _latest_digests(connection: IndexConnection) -> dict[str, str]:
    newest = "SELECT max(id) FROM issue_revisions GROUP BY issue_id"
    query = f"SELECT issue_id, digest FROM issue_revisions WHERE id IN ({newest})"
    return dict(connection.execute(query).fetchall())


def issue_history(
    connection: IndexConnection, only: Collection[str] | None = None
) -> dict[str, list[IssueRevision]]:
    """Issue id → its revisions in the order in which they were seen; with `only` of a few hundred issues."""
    found: dict[str, list[IssueRevision]] = {}
    wanted = [db_text(issue_id) for issue_id in sorted(only or ())]
    where = "" if only is None else f"WHERE issue_id IN ({marks(wanted)})"
    query = f"SELECT issue_id, seen_ms, record FROM issue_revisions {where} ORDER BY id"
    for issue_id, seen_ms, record in connection.execute(query, wanted):
        found.setdefault(issue_id, []).append(IssueRevision(issue_id, seen_ms, json.loads(record)))
    return found


def issues_asking(connection: IndexConnection, after_id: int) -> Iterator[tuple[int, str, bool]]:
    """(row id, issue id, whether it asks to speculate) of each record that was kept after a row."""
    return _asking(connection, "id > ?", after_id)


def may_ask(connection: IndexConnection, issue_id: str | None) -> bool | None:
    """Whether one issue may ask to speculate: None, it may or not; False where Beads never said so."""
    said = [asks for _, _, asks in _asking(connection, "issue_id = ?", issue_id)]
    return False if said and not any(said) else None


def _asking(connection: IndexConnection, where: str, value: object) -> Iterator[tuple[int, str, bool]]:
    shown = "id, issue_id, CASE WHEN record LIKE ? THEN record END"
    query = f"SELECT {shown} FROM issue_revisions WHERE {where} ORDER BY id"
    for row_id, issue_id, record in connection.execute(query, (f'%"{ASKS}":%', value)):
        yield row_id, issue_id, record is not None and bool(json.loads(record).get(ASKS))


def record_ends(connection: IndexConnection, ends: Sequence[tuple[int, WorkcellEnd]]) -> None:
    """Keep events with their position in the log; one that is known already is not kept twice."""
    rows = [_row(position, end) for position, end in ends]
    if rows:
        connection.executemany(inserting("workcell_ends", rows[0], keys=()), rows)


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


def count_ends(connection: IndexConnection) -> int:
    """How many ends of workcells the event log told; they are added and never edited."""
    return int(scalar(connection, "SELECT count(*) FROM workcell_ends"))


def timeouts(connection: IndexConnection) -> dict[str, WorkcellEnd]:
    """Workcell id → the first event in the log that says it timed out."""
    shown = "workcell_id, type, at_ms, duration_ms"
    query = f"SELECT {shown} FROM workcell_ends WHERE timed_out = 1 ORDER BY position DESC"
    return {
        workcell_id: WorkcellEnd(workcell_id, kind, at_ms, True, duration_ms)
        for workcell_id, kind, at_ms, duration_ms in connection.execute(query)
    }


def read_position(connection: IndexConnection, path: str) -> tuple[str, int]:
    """(stamp, position) up to which a source file was read; ("", 0) at first."""
    row = connection.execute("SELECT stamp, position FROM sources WHERE path = ?", (path,)).fetchone()
    return (row["stamp"], row["position"]) if row else ("", 0)


def set_position(connection: IndexConnection, path: str, stamp: str, position: int) -> None:
    """Remember how far a source file was read."""
    insert(connection, "sources", {"path": path, "stamp": stamp, "position": position}, keys=("path",))
