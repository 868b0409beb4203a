"""Alerts: one row for each cause while it is open, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, update

from collectord.cyntra.jsonio import ascii_json
from collectord.index import tables
from collectord.model import Alert

MAX_KEY = 500


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that is so now: `event` and `key` name it, `fields` tell of it."""

    event: str
    key: str
    fields: dict[str, Any]


def note(connection: Connection, cause: Cause, now_ms: int, *, lasting: bool = True) -> bool:
    """Keep a cause; returns whether it is new. What does not last is over at once and never repeats."""
    table = tables.alerts
    same = (table.c.event == cause.event) & (table.c.key == cause.key[:MAX_KEY])
    known = same & table.c.resolved_ms.is_(None) if lasting else same
    values = {"last_ms": now_ms, "fields": ascii_json(cause.fields)}
    found = connection.execute(select(table.c.id, table.c.fields).where(known)).first()
    if found is not None:
        if lasting and found.fields != values["fields"]:
            connection.execute(update(table).where(table.c.id == found.id).values(values))
        return False
    named = {"event": cause.event, "key": cause.key[:MAX_KEY], "opened_ms": now_ms}
    connection.execute(table.insert(), {**named, **values, "resolved_ms": None if lasting else now_ms})
    return True


def resolve(connection: Connection, event: str, standing: Collection[str], now_ms: int) -> list[Alert]:
    """End every open alert of an event whose key stands no longer; returns those."""
    table = tables.alerts
    query = select(table).where(table.c.event == event, table.c.resolved_ms.is_(None)).order_by(table.c.id)
    kept = {key[:MAX_KEY] for key in standing}
    over = [_alert(row) for row in connection.execute(query) if row.key not in kept]
    for alert in over:
        connection.execute(update(table).where(table.c.id == alert.id).values(resolved_ms=now_ms))
    return over


def alerts(connection: Connection, *, since_ms: int | None = None) -> list[Alert]:
    """Every alert, the newest first; with `since_ms` those that are open or were at that time or later."""
    table = tables.alerts
    query = select(table).order_by(table.c.opened_ms.desc(), table.c.id.desc())
    if since_ms is not None:
        query = query.where(table.c.resolved_ms.is_(None) | (table.c.last_ms >= since_ms))
    return [_alert(row) for row in connection.execute(query)]


def acknowledge(connection: Connection, ids: Collection[int] | None, now_ms: int) -> int:
    """Mark alerts as seen by a person (None: all); returns how many were not yet."""
    table = tables.alerts
    statement = update(table).where(table.c.acked_ms.is_(None)).values(acked_ms=now_ms)
    if ids is not None:
        statement = statement.where(table.c.id.in_(ids))
    return connection.execute(statement).rowcount


def _alert(row: Any) -> Alert:
    return Alert(**{**row._mapping, "fields": json.loads(row.fields)})
