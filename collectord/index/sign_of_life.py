"""The daemon's sign of life: one row, so that a reader can tell alive from dead."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert as upsert

from collectord.index import tables
from collectord.kernel.jsonio import ascii_json

_ONLY = 1


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The last sign of life; `stopped_ms` is set by an orderly stop, `state` is what the daemon saw then."""

    pid: int
    started_ms: int
    beat_ms: int
    stopped_ms: int | None
    state: dict[str, Any]


def beat(connection: Connection, heartbeat: Heartbeat) -> None:
    """Write the sign of life over the one before."""
    values = {
        "id": _ONLY,
        "pid": heartbeat.pid,
        "started_ms": heartbeat.started_ms,
        "beat_ms": heartbeat.beat_ms,
        "stopped_ms": heartbeat.stopped_ms,
        "state": ascii_json(heartbeat.state),
    }
    statement = upsert(tables.daemon).values(values)
    connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=values))


def last_beat(connection: Connection) -> Heartbeat | None:
    """The last sign of life; None if no daemon ever ran on this index."""
    row = connection.execute(select(tables.daemon).filter_by(id=_ONLY)).one_or_none()
    if row is None:
        return None
    return Heartbeat(row.pid, row.started_ms, row.beat_ms, row.stopped_ms, json.loads(row.state))
