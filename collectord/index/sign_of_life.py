"""The daemon's sign of life: one row, so that a reader can tell alive from dead."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from collectord.index.engine import IndexConnection
from collectord.index.statements import insert
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


def beat(connection: IndexConnection, heartbeat: Heartbeat) -> None:
    """Write the sign of life over the one before."""
    values = {
        "id": _ONLY,
        "pid": heartbeat.pid,
        "started_ms": heartbeat.started_ms,
        "beat_ms": heartbeat.beat_ms,
        "stopped_ms": heartbeat.stopped_ms,
        "state": ascii_json(heartbeat.state),
    }
    insert(connection, "daemon", values, keys=("id",))


def last_beat(connection: IndexConnection) -> Heartbeat | None:
    """The last sign of life; None if no daemon ever ran on this index."""
    query = "SELECT pid, started_ms, beat_ms, stopped_ms, state FROM daemon WHERE id = ?"
    row = connection.execute(query, (_ONLY,)).fetchone()
    if row is None:
        return None
    return Heartbeat(**{**dict(row), "state": json.loads(row["state"])})
