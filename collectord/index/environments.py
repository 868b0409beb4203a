"""Environments and when each was seen, the kernel's processes, cuts by hand, and the seals of epochs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, case, literal, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from collectord.index import tables
from collectord.index.rows import db_text
from collectord.index.writer import info, put_info
from collectord.kernel.jsonio import JsonObject, ascii_json
from collectord.model import GIT, Environment, EnvironmentObservation, KernelSession, Launch

LAST_LOOK = "environment_last_look_ms"
POLICY = "policy"


def store_environment(connection: Connection, environment: Environment, now_ms: int) -> None:
    """Store an environment under its fingerprint; one that is stored already is not changed."""
    values = {
        "fingerprint": environment.fingerprint,
        "normaliser": environment.normaliser,
        "digests": ascii_json(environment.digests),
        "components": ascii_json(environment.components),
        "unrecognised": ascii_json(list(environment.unrecognised)),
        "first_seen_ms": now_ms,
    }
    connection.execute(upsert(tables.environments).values(values).on_conflict_do_nothing())


def environments(connection: Connection) -> dict[str, Environment]:
    """Fingerprint → every environment that was read from policy files."""
    return {row.fingerprint: _environment(row) for row in connection.execute(select(tables.environments))}


def _environment(row: Any) -> Environment:
    return Environment(
        fingerprint=row.fingerprint,
        origin=POLICY,
        normaliser=row.normaliser,
        digests=json.loads(row.digests),
        components=json.loads(row.components),
        unrecognised=tuple(json.loads(row.unrecognised)),
    )


def store_observation(connection: Connection, observation: EnvironmentObservation) -> None:
    """Store that an environment was seen; the environment itself must be stored before."""
    values = {
        "fingerprint": observation.fingerprint,
        "source": observation.source,
        "since_ms": observation.since_ms,
        "seen_ms": observation.seen_ms,
        "previous_ms": observation.previous_ms,
        "commit_id": observation.commit,
        "launch": db_text(observation.launch),
    }
    connection.execute(tables.environment_observations.insert(), values)


def observations(connection: Connection) -> list[EnvironmentObservation]:
    """Every observation in the order in which it was stored."""
    table = tables.environment_observations
    return [
        EnvironmentObservation(
            row.fingerprint,
            row.source,
            row.since_ms,
            row.seen_ms,
            row.previous_ms,
            row.commit_id,
            row.launch,
        )
        for row in connection.execute(select(table).order_by(table.c.id))
    ]


def last_look_ms(connection: Connection, launch: str | None = None) -> int | None:
    """When the repo itself was looked at last, for a kernel with that command, and could be read."""
    value = info(connection, _last_look_key(launch))
    return None if value is None else int(value)


def store_last_look(connection: Connection, at_ms: int, launch: str | None = None) -> None:
    """Store when the repo itself was looked at, for a kernel with that command."""
    put_info(connection, _last_look_key(launch), str(at_ms))


def _last_look_key(launch: str | None) -> str:
    return LAST_LOOK if launch is None else f"{LAST_LOOK} {db_text(launch)}"


def replace_fingerprint(connection: Connection, before: str, environment: Environment, now_ms: int) -> None:
    """Move observations and seals to `environment`, which a newer normaliser makes of the same files."""
    store_environment(connection, environment, now_ms)
    table = tables.environment_observations
    renamed = update(table).where(table.c.fingerprint == before).values(fingerprint=environment.fingerprint)
    connection.execute(renamed)
    seals = tables.sealed_epochs
    for (key,) in connection.execute(select(seals.c.key).where(seals.c.key.startswith(f"{before}@"))).all():
        _rename_seal(connection, key, key.replace(before, environment.fingerprint, 1))


def _rename_seal(connection: Connection, before: str, after: str) -> None:
    seals, snapshots = tables.sealed_epochs, tables.epoch_snapshots
    columns = [column for column in seals.c if column.name != "key"]
    copied = select(literal(after).label("key"), *columns).where(seals.c.key == before)
    connection.execute(seals.insert().from_select(["key", *(c.name for c in columns)], copied))
    connection.execute(update(snapshots).where(snapshots.c.key == before).values(key=after))
    connection.execute(seals.delete().where(seals.c.key == before))


def drop_observations(connection: Connection, source: str) -> None:
    """Delete every observation of one source, before they are stored again."""
    table = tables.environment_observations
    connection.execute(table.delete().where(table.c.source == source))


def known_fingerprint(connection: Connection, launch: str | None = None) -> str | None:
    """The fingerprint that the last look at the repo itself saw, for a kernel with that command."""
    table = tables.environment_observations
    same = table.c.launch.is_(None) if launch is None else table.c.launch == db_text(launch)
    looks = select(table.c.fingerprint).where(table.c.source != GIT, same)
    return connection.execute(looks.order_by(table.c.id.desc()).limit(1)).scalar()


def store_cut(connection: Connection, at_ms: int, why: str) -> None:
    """Store a cut by hand."""
    connection.execute(tables.epoch_cuts.insert(), {"at_ms": at_ms, "why": db_text(why)})


def cuts(connection: Connection) -> list[tuple[int, str]]:
    """(at_ms, why) of every cut by hand, in order."""
    table = tables.epoch_cuts
    query = select(table.c.at_ms, table.c.why).order_by(table.c.at_ms, table.c.id)
    return [(row.at_ms, row.why) for row in connection.execute(query)]


# Between two looks at one process its start can come out a little differently: the clocks are read one
# after the other, and a wall clock is set now and then.
SAME_START_MS = 2000
KERNELS = "kernels"


def kernel_sessions(connection: Connection) -> list[KernelSession]:
    """Every process of the kernel that was ever seen, in the order in which they started."""
    table = tables.kernel_sessions
    query = select(table).order_by(table.c.started_ms, table.c.pid, table.c.id)
    return [_session(row) for row in connection.execute(query)]


def _session(row: Any) -> KernelSession:
    launch = Launch(row.config, row.universe, bool(row.speculate))
    seen = row.first_seen_ms, row.last_seen_ms, row.gone_ms
    return KernelSession(row.pid, row.started_ms, launch, row.max_concurrent, *seen)


def store_kernel_look(
    connection: Connection, seen: Sequence[KernelSession], at_ms: int, before_ms: int | None = None
) -> bool:
    """Store which kernels a look at `at_ms` saw; returns whether one began or ended since the look before.

    `before_ms` is when the same process looked last; a kernel that is gone now was still there then. One
    that counted as gone and is seen again was never gone.
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


def store_kernel_states(connection: Connection, states: Sequence[JsonObject]) -> None:
    """Store the state of each running kernel, for readers that cannot wait until it is found again."""
    put_info(connection, KERNELS, ascii_json(list(states)))


def kernel_states(connection: Connection) -> list[JsonObject]:
    """The state of each running kernel as it was stored last."""
    found: list[JsonObject] = json.loads(info(connection, KERNELS) or "[]")
    return found


@dataclass(frozen=True, slots=True)
class Seal:
    """The end of an epoch: closing since `closing_ms`, sealed at `sealed_ms` (None: not yet) and why."""

    key: str
    number: int
    closing_ms: int
    sealed_ms: int | None
    why_sealed: str | None


def has_closing(connection: Connection) -> bool:
    """Whether an epoch is closing and not sealed yet."""
    table = tables.sealed_epochs
    return connection.execute(select(table.c.key).where(table.c.sealed_ms.is_(None))).first() is not None


@dataclass(frozen=True, slots=True)
class EpochSnapshot:
    """A published snapshot of a sealed epoch; `content` is the digest of the runs that it was made of."""

    key: str
    path: str
    dataset_hash: str
    content: str
    published_ms: int
    superseded_ms: int | None


def store_seal(connection: Connection, seal: Seal) -> None:
    """Store the seal of an epoch, over the one before."""
    values = {name: getattr(seal, name) for name in Seal.__dataclass_fields__}
    statement = upsert(tables.sealed_epochs).values(values)
    connection.execute(statement.on_conflict_do_update(index_elements=["key"], set_=values))


def drop_seals(connection: Connection, keys: Iterable[str]) -> None:
    """Delete the seals of epochs that have not ended after all."""
    for key in keys:
        connection.execute(tables.sealed_epochs.delete().where(tables.sealed_epochs.c.key == key))


def merge_seals(connection: Connection, key: str, former: Iterable[str]) -> None:
    """Give an epoch the snapshots that it had under `former` keys, and delete the seals of those."""
    table = tables.epoch_snapshots
    for other in former:
        connection.execute(update(table).where(table.c.key == other).values(key=key))
        connection.execute(tables.sealed_epochs.delete().where(tables.sealed_epochs.c.key == other))


def seals(connection: Connection) -> dict[str, Seal]:
    """Key → every seal."""
    return {row.key: Seal(**row._mapping) for row in connection.execute(select(tables.sealed_epochs))}


def store_epoch_snapshot(connection: Connection, snapshot: EpochSnapshot) -> None:
    """Store a snapshot of an epoch; the ones before it are superseded from then on.

    The same directory again only gets another `content`: runs that arrived changed no row of it.
    """
    table = tables.epoch_snapshots
    older = (table.c.key == snapshot.key) & table.c.superseded_ms.is_(None)
    same = older & (table.c.path == snapshot.path)
    if connection.execute(update(table).where(same).values(content=snapshot.content)).rowcount:
        return
    connection.execute(update(table).where(older).values(superseded_ms=snapshot.published_ms))
    values = {name: getattr(snapshot, name) for name in EpochSnapshot.__dataclass_fields__}
    connection.execute(table.insert(), values)


def epoch_snapshots(connection: Connection) -> dict[str, list[EpochSnapshot]]:
    """Key → the snapshots of an epoch, the newest last."""
    found: dict[str, list[EpochSnapshot]] = {}
    table = tables.epoch_snapshots
    for row in connection.execute(select(table).order_by(table.c.id)):
        values = {name: row._mapping[name] for name in EpochSnapshot.__dataclass_fields__}
        found.setdefault(row.key, []).append(EpochSnapshot(**values))
    return found
