"""Published snapshots, as the index remembers them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collectord.index.engine import IndexConnection, connect, readable_errors, transaction
from collectord.index.rows import db_text
from collectord.index.statements import dicts, insert
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
    with (
        readable_errors(index),
        closing(connect(index, read_only=False)) as connection,
        transaction(connection),
    ):
        store_snapshot(connection, record)


def store_snapshot(connection: IndexConnection, record: SnapshotRecord) -> None:
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
    insert(connection, "snapshots", values, keys=("path",))


def known_snapshots(connection: IndexConnection) -> list[dict[str, object]]:
    """Every remembered snapshot, the newest first."""
    return dicts(connection, "SELECT * FROM snapshots ORDER BY published_ms DESC, path DESC")
