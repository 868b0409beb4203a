"""How far the ends of epochs are, and the snapshots that were published of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from collectord.index import tables


@dataclass(frozen=True, slots=True)
class Seal:
    """How far the end of an epoch is: closing since, sealed at (None: not yet) and why then."""

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


def keep_seal(connection: Connection, seal: Seal) -> None:
    """Write how far the end of an epoch is."""
    values = {name: getattr(seal, name) for name in Seal.__dataclass_fields__}
    statement = upsert(tables.sealed_epochs).values(values)
    connection.execute(statement.on_conflict_do_update(index_elements=["key"], set_=values))


def drop_seals(connection: Connection, keys: Iterable[str]) -> None:
    """Forget that epochs are closing: what had ended them was undone."""
    for key in keys:
        connection.execute(tables.sealed_epochs.delete().where(tables.sealed_epochs.c.key == key))


def take_over(connection: Connection, key: str, former: Iterable[str]) -> None:
    """The snapshots of seals that an epoch had under other keys are its own from now on."""
    table = tables.epoch_snapshots
    for other in former:
        connection.execute(update(table).where(table.c.key == other).values(key=key))
        connection.execute(tables.sealed_epochs.delete().where(tables.sealed_epochs.c.key == other))


def seals(connection: Connection) -> dict[str, Seal]:
    """Key → every seal."""
    return {row.key: Seal(**row._mapping) for row in connection.execute(select(tables.sealed_epochs))}


def keep_epoch_snapshot(connection: Connection, snapshot: EpochSnapshot) -> None:
    """Note a snapshot of an epoch; the ones before it are superseded from then on.

    What arrives need not change a row: the same directory again only holds more than it did.
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
