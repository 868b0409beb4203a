"""Which environments there were, when each was seen, and cuts by hand."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, literal, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from collectord.cyntra.jsonio import ascii_json
from collectord.index import tables
from collectord.index.codec import db_text
from collectord.index.writer import info, put_info
from collectord.model import GIT, Environment, EnvironmentObservation

LAST_LOOK = "environment_last_look_ms"
POLICY = "policy"


def keep_environment(connection: Connection, environment: Environment, now_ms: int) -> None:
    """Keep an environment under its fingerprint; one that is there already stays as it was first seen."""
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


def keep_observation(connection: Connection, observation: EnvironmentObservation) -> None:
    """Note that an environment was seen; it must be kept already."""
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
    """Every observation in the order in which they were noted."""
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


def note_last_look(connection: Connection, at_ms: int, launch: str | None = None) -> None:
    """Remember a look."""
    put_info(connection, _last_look_key(launch), str(at_ms))


def _last_look_key(launch: str | None) -> str:
    return LAST_LOOK if launch is None else f"{LAST_LOOK} {db_text(launch)}"


def rename_environment(connection: Connection, before: str, environment: Environment, now_ms: int) -> None:
    """What was seen under one fingerprint is another one to a newer normaliser; nothing else changed."""
    keep_environment(connection, environment, now_ms)
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


def forget_observations(connection: Connection, source: str) -> None:
    """Drop every observation of one source, to note them anew."""
    table = tables.environment_observations
    connection.execute(table.delete().where(table.c.source == source))


def known_fingerprint(connection: Connection, launch: str | None = None) -> str | None:
    """What the last look at the repo itself saw, for a kernel with that command."""
    table = tables.environment_observations
    same = table.c.launch.is_(None) if launch is None else table.c.launch == db_text(launch)
    looks = select(table.c.fingerprint).where(table.c.source != GIT, same)
    return connection.execute(looks.order_by(table.c.id.desc()).limit(1)).scalar()


def keep_cut(connection: Connection, at_ms: int, why: str) -> None:
    """Note a cut by hand."""
    connection.execute(tables.epoch_cuts.insert(), {"at_ms": at_ms, "why": db_text(why)})


def cuts(connection: Connection) -> list[tuple[int, str]]:
    """(at_ms, why) of every cut by hand, in order."""
    table = tables.epoch_cuts
    query = select(table.c.at_ms, table.c.why).order_by(table.c.at_ms, table.c.id)
    return [(row.at_ms, row.why) for row in connection.execute(query)]
