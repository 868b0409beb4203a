"""The processes of the kernel over time, and what is known of those that run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, case, select, update

from collectord.cyntra.jsonio import ascii_json
from collectord.index import tables
from collectord.index.codec import db_text
from collectord.index.writer import info, put_info
from collectord.model import KernelSession, Launch

# Between two looks at one process its start can come out a little differently: the clocks are read one
# after the other, and a wall clock is set now and then.
SAME_START_MS = 2000
KERNELS = "kernels"
JsonObject = dict[str, Any]


def kernel_sessions(connection: Connection) -> list[KernelSession]:
    """Every process of the kernel that was ever seen, in the order in which they started."""
    table = tables.kernel_sessions
    query = select(table).order_by(table.c.started_ms, table.c.pid, table.c.id)
    return [_session(row) for row in connection.execute(query)]


def _session(row: Any) -> KernelSession:
    launch = Launch(row.config, row.universe, bool(row.speculate))
    seen = row.first_seen_ms, row.last_seen_ms, row.gone_ms
    return KernelSession(row.pid, row.started_ms, launch, row.max_concurrent, *seen)


def note_kernels(
    connection: Connection, seen: Sequence[KernelSession], at_ms: int, before_ms: int | None = None
) -> bool:
    """Note which kernels a look saw; whether one began or ended since the look that was noted before.

    `before_ms` is when the same eyes looked before, and still saw all that had not ended by then. A kernel
    that was taken for gone and is seen again was never gone.
    """
    table = tables.kernel_sessions
    changed, running = False, []
    for session in seen:
        row_id = _row_of(connection, session)
        running.append(_insert(connection, session) if row_id is None else row_id)
        changed = changed or row_id is None
    values: dict[str, Any] = {"last_seen_ms": at_ms, "gone_ms": None}
    was_gone = table.c.id.in_(running) & table.c.gone_ms.is_not(None)
    changed = bool(connection.execute(update(table).where(was_gone).values(values)).rowcount) or changed
    connection.execute(update(table).where(table.c.id.in_(running)).values(values))
    ended = table.c.gone_ms.is_(None) & table.c.id.not_in(running)
    last_ms = case((table.c.last_seen_ms < (before_ms or 0), before_ms), else_=table.c.last_seen_ms)
    gone = update(table).where(ended).values(gone_ms=at_ms, last_seen_ms=last_ms)
    return bool(connection.execute(gone).rowcount) or changed


def _row_of(connection: Connection, session: KernelSession) -> int | None:
    table = tables.kernel_sessions
    near = (session.started_ms - SAME_START_MS, session.started_ms + SAME_START_MS)
    same = (table.c.pid == session.pid) & table.c.started_ms.between(*near)
    return connection.execute(select(table.c.id).where(same).order_by(table.c.id.desc())).scalar()


def _insert(connection: Connection, session: KernelSession) -> int:
    values = {
        "pid": session.pid,
        "started_ms": session.started_ms,
        "config": db_text(session.launch.config),
        "universe": db_text(session.launch.universe),
        "speculate": int(session.launch.speculate),
        "max_concurrent": session.max_concurrent,
        "first_seen_ms": session.first_seen_ms,
        "last_seen_ms": session.last_seen_ms,
        "gone_ms": session.gone_ms,
    }
    key = connection.execute(tables.kernel_sessions.insert(), values).inserted_primary_key
    assert key is not None
    return int(key[0])


def keep_kernel_states(connection: Connection, states: Sequence[JsonObject]) -> None:
    """Keep what was found of the kernels that run, for who has no time to find it again."""
    put_info(connection, KERNELS, ascii_json(list(states)))


def kernel_states(connection: Connection) -> list[JsonObject]:
    """What was kept last of the kernels that run."""
    found: list[JsonObject] = json.loads(info(connection, KERNELS) or "[]")
    return found
