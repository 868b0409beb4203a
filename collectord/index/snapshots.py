"""Published snapshots, as the index remembers them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert as upsert

from collectord.index import tables
from collectord.index.engine import open_engine, readable_errors
from collectord.index.rows import db_text
from collectord.kernel.jsonio import ascii_json


@dataclass(frozen=True, slots=True)
class SnapshotRecord:
    """One published dataset; `path` is absolute."""

    path: str
    profile: str
    options: dict[str, object]
    dataset_hash: str
    runs_digest: str
    example_count: int
    published_ms: int


def record_of(path: Path, document: Mapping[str, Any]) -> SnapshotRecord:
    """The record of a directory with that snapshot.json; raises OSError, KeyError for what is none."""
    return SnapshotRecord(
        path=str(path.absolute()),
        profile=document["profile"],
        options=document["options"],
        dataset_hash=document["dataset_hash"],
        runs_digest=document["runs_digest"],
        example_count=document["example_count"],
        published_ms=path.stat().st_mtime_ns // 1_000_000,
    )


def register_snapshot(index: Path, record: SnapshotRecord) -> None:
    """Remember a published snapshot. The caller holds the state lock."""
    engine = open_engine(index, read_only=False)
    with readable_errors(index), engine.begin() as connection:
        store_snapshot(connection, record)
    engine.dispose()


def store_snapshot(connection: Connection, record: SnapshotRecord) -> None:
    """Write one record; a path that is known already is brought up to date."""
    values = {
        "path": db_text(record.path),
        "profile": record.profile,
        "options": ascii_json(record.options),
        "dataset_hash": record.dataset_hash,
        "runs_digest": record.runs_digest,
        "example_count": record.example_count,
        "published_ms": record.published_ms,
    }
    statement = upsert(tables.snapshots).values(values)
    connection.execute(statement.on_conflict_do_update(index_elements=["path"], set_=values))


def known_snapshots(connection: Connection) -> list[dict[str, object]]:
    """Every remembered snapshot, the newest first."""
    table = tables.snapshots
    query = select(table).order_by(table.c.published_ms.desc(), table.c.path.desc())
    return [dict(row._mapping) for row in connection.execute(query)]
