"""Alerts: one row for each cause while it is open, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select, update

from collectord.index import tables
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


def note_moment(connection: Connection, cause: Cause, now_ms: int) -> list[Notice]:
    """Store an alert about one moment, which is resolved at once; no notice where it is stored already."""
    table = tables.alerts
    known = (table.c.event == cause.event) & (table.c.key == cause.key[:MAX_KEY])
    if connection.execute(select(table.c.id).where(known)).first() is not None:
        return []
    _open(connection, cause, now_ms, resolved_ms=now_ms)
    return [Notice(cause.event, cause.fields)]


def note_standing(
    connection: Connection, events: Collection[str], causes: Iterable[Cause], now_ms: int
) -> list[Notice]:
    """Make the alerts of some events those of the `causes` that there are now; returns what began and ended.

    The same cause stays one alert while it stands. One that is over already is noted once.
    """
    table = tables.alerts
    query = select(table).where(table.c.event.in_(events)).order_by(table.c.id)
    known = {(row.event, row.key): row for row in connection.execute(query)}
    notices: list[Notice] = []
    for cause in causes:
        row = known.pop((cause.event, cause.key[:MAX_KEY]), None)
        if row is not None and row.resolved_ms is None:
            notices += _go_on(connection, cause, row, now_ms)
        elif row is None or not cause.is_over:
            notices += _begin(connection, cause, now_ms)
    for row in known.values():
        notices += _resolve(connection, row, now_ms) if row.resolved_ms is None else []
    return notices


def _begin(connection: Connection, cause: Cause, now_ms: int) -> list[Notice]:
    _open(connection, cause, now_ms, resolved_ms=now_ms if cause.is_over else None)
    begun = [Notice(cause.event, cause.fields)]
    return [*begun, Notice(cause.event, cause.fields, is_resolved=True)] if cause.is_over else begun


def _go_on(connection: Connection, cause: Cause, row: Any, now_ms: int) -> list[Notice]:
    """An open alert whose cause is still there, perhaps with other fields, or has passed."""
    fields = ascii_json(cause.fields)
    if fields != row.fields:
        values = {"last_ms": now_ms, "fields": fields}
        connection.execute(update(tables.alerts).where(tables.alerts.c.id == row.id).values(values))
    return _resolve(connection, row, now_ms) if cause.is_over else []


def _open(connection: Connection, cause: Cause, now_ms: int, *, resolved_ms: int | None) -> None:
    values = {
        "event": cause.event,
        "key": cause.key[:MAX_KEY],
        "opened_ms": now_ms,
        "last_ms": now_ms,
        "resolved_ms": resolved_ms,
        "fields": ascii_json(cause.fields),
    }
    connection.execute(tables.alerts.insert(), values)


def _resolve(connection: Connection, row: Any, now_ms: int) -> list[Notice]:
    table = tables.alerts
    values = {"resolved_ms": now_ms, "last_ms": now_ms}
    connection.execute(update(table).where(table.c.id == row.id).values(values))
    return [Notice(row.event, json.loads(row.fields), is_resolved=True)]


def alerts(connection: Connection, *, since_ms: int | None = None) -> list[Alert]:
    """Every alert, the newest first; with `since_ms` those that are open or were at that time or later."""
    table = tables.alerts
    query = select(table).order_by(table.c.opened_ms.desc(), table.c.id.desc())
    if since_ms is not None:
        query = query.where(table.c.resolved_ms.is_(None) | (table.c.last_ms >= since_ms))
    return [_alert(row) for row in connection.execute(query)]


def unacknowledged_counts(connection: Connection) -> dict[str, int]:
    """Event → how many alerts of it are open and not acknowledged."""
    table = tables.alerts
    is_open = table.c.resolved_ms.is_(None) & table.c.acked_ms.is_(None)
    query = select(table.c.event, func.count()).where(is_open).group_by(table.c.event).order_by(table.c.event)
    return {row[0]: row[1] for row in connection.execute(query)}


def acknowledge(connection: Connection, ids: Collection[int] | None, now_ms: int) -> int:
    """Acknowledge alerts (None: all); returns how many were not acknowledged before."""
    table = tables.alerts
    statement = update(table).where(table.c.acked_ms.is_(None)).values(acked_ms=now_ms)
    if ids is not None:
        statement = statement.where(table.c.id.in_(ids))
    return connection.execute(statement).rowcount


def _alert(row: Any) -> Alert:
    return Alert(**{**row._mapping, "fields": json.loads(row.fields)})
