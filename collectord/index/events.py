"""Workcell ends from the kernel's event log, and how far the log has been read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert as upsert

from collectord.cyntra.events import WorkcellEnd
from collectord.cyntra.jsonio import ascii_json
from collectord.index import tables
from collectord.index.codec import db_int, db_text, text_digest


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
    kept = {"stamp": stamp, "position": position}
    connection.execute(statement.on_conflict_do_update(index_elements=["path"], set_=kept))
