"""Alerts: one row for each cause while it is open, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from collectord.index.engine import IndexConnection
from collectord.index.statements import insert, marks
from collectord.kernel.jsonio import ascii_json
from collectord.model import Alert

MAX_KEY = 500


@dataclass(frozen=True, slots=True)
class Cause:
    """A reason for an alert, identified by `event` and `key`; `is_over` if it has passed already."""

    event: str
    key: str
    fields: dict[str, Any]
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class Notice:
    """One line for the log: an alert began, or (`is_resolved`) it is over."""

    event: str
    fields: dict[str, Any]
    is_resolved: bool = False


def note_moment(connection: IndexConnection, cause: Cause, now_ms: int) -> list[Notice]:
    """Store an alert about one moment, which is resolved at once; no notice where it is stored already."""
    query = "SELECT 1 FROM alerts WHERE event = ? AND key = ?"
    if connection.execute(query, (cause.event, cause.key[:MAX_KEY])).fetchone() is not None:
        return []
    _open(connection, cause, now_ms, resolved_ms=now_ms)
    return [Notice(cause.event, cause.fields)]


def note_standing(
    connection: IndexConnection, events: Collection[str], causes: Iterable[Cause], now_ms: int
) -> list[Notice]:
    """Make the alerts of some events those of the `causes` that there are now; returns what began and ended.

    The same cause stays one alert while it stands. One that is over already is noted once.
    """
    wanted = sorted(events)
    query = f"SELECT * FROM alerts WHERE event IN ({marks(wanted)}) ORDER BY id"
    known = {(row["event"], row["key"]): row for row in connection.execute(query, wanted)}
    notices: list[Notice] = []
    for cause in causes:
        row = known.pop((cause.event, cause.key[:MAX_KEY]), None)
        if row is not None and row["resolved_ms"] is None:
            notices += _go_on(connection, cause, row, now_ms)
        elif row is None or not cause.is_over:
            notices += _begin(connection, cause, now_ms)
    for row in known.values():
        notices += _resolve(connection, row, now_ms) if row["resolved_ms"] is None else []
    return notices


def _begin(connection: IndexConnection, cause: Cause, now_ms: int) -> list[Notice]:
    _open(connection, cause, now_ms, resolved_ms=now_ms if cause.is_over else None)
    begun = [Notice(cause.event, cause.fields)]
    return [*begun, Notice(cause.event, cause.fields, is_resolved=True)] if cause.is_over else begun


def _go_on(connection: IndexConnection, cause: Cause, row: Any, now_ms: int) -> list[Notice]:
    """An open alert whose cause is still there, perhaps with other fields, or has passed."""
    fields = ascii_json(cause.fields)
    if fields != row["fields"]:
        update = "UPDATE alerts SET last_ms = ?, fields = ? WHERE id = ?"
        connection.execute(update, (now_ms, fields, row["id"]))
    return _resolve(connection, row, now_ms) if cause.is_over else []


def _open(connection: IndexConnection, cause: Cause, now_ms: int, *, resolved_ms: int | None) -> None:
    values = {
        "event": cause.event,
        "key": cause.key[:MAX_KEY],
        "opened_ms": now_ms,
        "last_ms": now_ms,
        "resolved_ms": resolved_ms,
        "fields": ascii_json(cause.fields),
    }
    insert(connection, "alerts", values)


def _resolve(connection: IndexConnection, row: Any, now_ms: int) -> list[Notice]:
    update = "UPDATE alerts SET resolved_ms = ?, last_ms = ? WHERE id = ?"
    connection.execute(update, (now_ms, now_ms, row["id"]))
    return [Notice(row["event"], json.loads(row["fields"]), is_resolved=True)]


def alerts(connection: IndexConnection, *, since_ms: int | None = None) -> list[Alert]:
    """Every alert, the newest first; with `since_ms` those that are open or were at that time or later."""
    recent = "" if since_ms is None else "WHERE resolved_ms IS NULL OR last_ms >= ?"
    query = f"SELECT * FROM alerts {recent} ORDER BY opened_ms DESC, id DESC"
    values = () if since_ms is None else (since_ms,)
    return [_alert(row) for row in connection.execute(query, values)]


def unacknowledged_counts(connection: IndexConnection) -> dict[str, int]:
    """Event → how many alerts of it are open and not acknowledged."""
    is_open = "resolved_ms IS NULL AND acked_ms IS NULL"
    query = f"SELECT event, count(*) FROM alerts WHERE {is_open} GROUP BY event ORDER BY event"
    return dict(connection.execute(query).fetchall())


def acknowledge(connection: IndexConnection, ids: Collection[int] | None, now_ms: int) -> int:
    """Acknowledge alerts (None: all); returns how many were not acknowledged before."""
    update = "UPDATE alerts SET acked_ms = ? WHERE acked_ms IS NULL"
    if ids is None:
        return connection.execute(update, (now_ms,)).rowcount
    wanted = sorted(ids)
    return connection.execute(f"{update} AND id IN ({marks(wanted)})", (now_ms, *wanted)).rowcount


def _alert(row: Any) -> Alert:
    return Alert(**{**dict(row), "fields": json.loads(row["fields"])})
