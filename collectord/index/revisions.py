"""Revisions as they are stored, with everything that was derived from them, for whoever derives it again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, func, select

from collectord.index import tables
from collectord.model import ARCHIVE, FileRecord

DbRow = dict[str, Any]
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class StoredRevision:
    """One revision; `run` and `label` are its rows as they stand, None where there is none."""

    id: int
    kind: str
    name: str
    number: int
    digest: str
    partial: str | None
    dir_mtime_ns: int
    seen_ms: int
    files: tuple[FileRecord, ...]
    run: DbRow | None
    label: DbRow | None


def count_revisions(connection: Connection) -> int:
    """How many revisions there are, current and superseded."""
    return int(connection.execute(select(func.count()).select_from(tables.revisions)).scalar_one())


def revision_keys(connection: Connection) -> set[tuple[str, str, str]]:
    """(kind, name, digest) of every revision."""
    a, r = tables.archives, tables.revisions
    return {tuple(row) for row in connection.execute(select(a.c.kind, a.c.name, r.c.digest).join_from(r, a))}


def stored_revisions(connection: Connection) -> Iterator[StoredRevision]:
    """Every revision, current and superseded, in the order in which they were stored."""
    last = int(connection.execute(select(func.coalesce(func.max(tables.revisions.c.id), 0))).scalar_one())
    for start in range(0, last + 1, _CHUNK):
        yield from _chunk(connection, start, start + _CHUNK - 1)


def _chunk(connection: Connection, first: int, last: int) -> Iterator[StoredRevision]:
    a, r, f = tables.archives, tables.revisions, tables.revision_files
    runs, labels = (_by_revision(connection, t, first, last) for t in (tables.runs, tables.labels))
    files: dict[int, list[FileRecord]] = {}
    for row in connection.execute(select(f).where(f.c.revision_id.between(first, last)).order_by(f.c.name)):
        record = FileRecord(row.name, row.state, row.sha256, row.mtime_ns, row.reason)
        files.setdefault(row.revision_id, []).append(record)
    found = select(r, a.c.kind, a.c.name).join_from(r, a).where(r.c.id.between(first, last)).order_by(r.c.id)
    for row in connection.execute(found):
        yield StoredRevision(
            row.id,
            row.kind,
            row.name,
            row.number,
            row.digest,
            row.partial,
            row.dir_mtime_ns,
            row.seen_ms,
            tuple(files.get(row.id, ())),
            runs.get(row.id),
            labels.get(row.id),
        )


def _by_revision(connection: Connection, table: Table, first: int, last: int) -> dict[int, DbRow]:
    query = select(table).where(table.c.revision_id.between(first, last))
    return {row.revision_id: dict(row._mapping) for row in connection.execute(query)}


@dataclass(frozen=True, slots=True)
class StoredArchive:
    """One revision of a directory, as far as it can be written out again."""

    kind: str
    name: str
    dir_mtime_ns: int
    files: tuple[FileRecord, ...]


class CurrentFiles:
    """The core files of current revisions of archives, asked for by name."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of(self, name: str) -> dict[str, str]:
        """File → sha256 of the current revision of an archive; empty where it has none."""
        found = next(stored_archives(self._connection, name), None)
        return {f.name: f.sha256 for f in found.files if f.sha256 is not None} if found else {}


def stored_archives(
    connection: Connection, name: str | None = None, kind: str | None = ARCHIVE, number: int | None = None
) -> Iterator[StoredArchive]:
    """Revisions by kind and name, of all archives or one: the current ones, or those with that number.

    Of both kinds where `kind` is None.
    """
    a, r, f = tables.archives, tables.revisions, tables.revision_files
    current = (r.c.archive_id == a.c.id) & (r.c.number == (a.c.revision if number is None else number))
    query = select(a.c.kind, a.c.name, r.c.id, r.c.dir_mtime_ns).select_from(a.join(r, current))
    if name is not None:
        query = query.where(a.c.name == name)
    if kind is not None:
        query = query.where(a.c.kind == kind)
    for row in connection.execute(query.order_by(a.c.kind, a.c.name)).all():
        files = connection.execute(select(f).where(f.c.revision_id == row.id).order_by(f.c.name))
        records = tuple(FileRecord(x.name, x.state, x.sha256, x.mtime_ns, x.reason) for x in files)
        yield StoredArchive(row.kind, row.name, row.dir_mtime_ns, records)
