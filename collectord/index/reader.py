"""Reading the index: beside the daemon, at any time, without a way to write."""

from __future__ import annotations

import marshal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Table, func, select

from collectord.index import rows, tables
from collectord.index.engine import open_engine, readable_errors
from collectord.index.rows import unpack
from collectord.index.schema import require_current
from collectord.index.writer import info, known_query
from collectord.model import ARCHIVE, FileRecord, IndexedRun, Known

Revisions = Mapping[tuple[str, str], str]
_BATCH = 512


class IndexReader:
    """One consistent view of the index: everything is read inside one transaction."""

    def __init__(self, path: Path) -> None:
        """Open an index that is there and current; raises IndexMissing, IndexTooOld or IndexTooNew."""
        require_current(path)
        self.path = path
        self._engine = open_engine(path, read_only=True)
        with readable_errors(path):
            self.connection: Connection = self._engine.connect()
            self.connection.begin()

    def close(self) -> None:
        """End the view."""
        self.connection.close()
        self._engine.dispose()

    def __enter__(self) -> IndexReader:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def known(self) -> list[Known]:
        """Every directory that was ever seen, by kind and name."""
        query = known_query().order_by(tables.archives.c.kind, tables.archives.c.name)
        with readable_errors(self.path):
            return [rows.known_from(row) for row in self.connection.execute(query)]

    def info(self, key: str) -> str | None:
        """A value of index_info."""
        with readable_errors(self.path):
            return info(self.connection, key)

    def runs(self, *, builder: bool = False, only: Revisions | None = None) -> Iterator[IndexedRun]:
        """The run of every current revision, by kind and name, whether its archive is still there or gone.

        With `builder` the runs that the kernel's own builder makes a summary of, with that summary. With
        `only` the runs of exactly those revisions, current or not; one the index does not have is missing.
        """
        shown = tables.runs.c.builder_summary if builder else tables.runs.c.summary
        with readable_errors(self.path):
            artifacts = self._artifacts_by_revision()
            found = self.connection.execute(_runs_query(shown, current=only is None))
            for row in chain.from_iterable(found.partitions(_BATCH)):
                if only is None or only.get((row.kind, row.name)) == row.digest:
                    yield rows.indexed_run_from(row, artifacts.get(row.revision_id, {}))

    def run_of(self, kind: str, name: str, *, builder: bool = False) -> IndexedRun | None:
        """The run of one directory, as `runs` gives it."""
        shown = tables.runs.c.builder_summary if builder else tables.runs.c.summary
        query = _runs_query(shown, current=True).where(
            tables.archives.c.kind == kind, tables.archives.c.name == name
        )
        with readable_errors(self.path):
            row = self.connection.execute(query).one_or_none()
            if row is None:
                return None
            of_revision = tables.revision_files.c.revision_id == row.revision_id
            return rows.indexed_run_from(row, self._artifacts_by_revision(of_revision)[row.revision_id])

    def _artifacts_by_revision(self, *where: ColumnElement[bool]) -> dict[int, dict[str, str]]:
        table = tables.revision_files
        found: dict[int, dict[str, str]] = {}
        query = select(table.c.revision_id, table.c.name, table.c.sha256).where(table.c.sha256.is_not(None))
        for revision_id, name, digest in self.connection.execute(query.where(*where)):
            found.setdefault(revision_id, {})[name] = digest
        return found

    def artifact(self, digest: str) -> bytes:
        """The bytes of an artifact, checked against its digest; raises IndexDamaged, KeyError if unknown."""
        table = tables.artifacts
        with readable_errors(self.path):
            query = select(table.c.codec, table.c.data).filter_by(sha256=digest)
            row = self.connection.execute(query).one_or_none()
        if row is None:
            raise KeyError(digest)
        return unpack(digest, row.codec, row.data)

    def artifacts(self, digests: Sequence[str]) -> dict[str, bytes]:
        """The bytes of several artifacts at once."""
        table = tables.artifacts
        query = select(table.c.sha256, table.c.codec, table.c.data).where(table.c.sha256.in_(digests))
        with readable_errors(self.path):
            return {
                row.sha256: unpack(row.sha256, row.codec, row.data) for row in self.connection.execute(query)
            }

    def kept_rows(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The packed rows of those keys that have one."""
        table = tables.kept_rows
        query = select(table.c.key, table.c.data).where(table.c.key.in_(keys))
        with readable_errors(self.path):
            return {row.key: row.data for row in self.connection.execute(query)}


def _runs_query(shown: ColumnElement[Any], *, current: bool) -> Any:
    a, r, run, label = tables.archives, tables.revisions, tables.runs, tables.labels
    columns = (
        a.c.kind,
        a.c.name,
        a.c.complete_ms,
        r.c.digest,
        run.c.revision_id,
        run.c.finished_ms,
        run.c.ends_in_event_log,
        run.c.input_state,
        run.c.hash_state,
        run.c.encodable,
        run.c.time_conflict,
        shown.label("shown"),
        label.c.explicit,
        label.c.swarm_id,
        label.c.max_candidates,
        label.c.timeout_seconds,
        label.c.max_iterations,
        label.c.recorded_swarms,
    )
    query = select(*columns).select_from(tables.runs_joined(current=current, with_labels=True))
    return query.where(shown.is_not(None)).order_by(a.c.kind, a.c.name)


_DIGEST_BATCH = 256
# Without references between values: the same rows give the same bytes, in half the time of repr.
_MARSHAL = 2
# Looks at a directory that changed nothing in it are not content.
_OF_ARCHIVES = ("id", "kind", "name", "revision", "complete_ms", "gone_ms")
_Columns = Sequence[Column[Any]]


def content_digest(connection: Connection) -> str:
    """sha256 hex; the same digest means the same runs, labels, issues and ends, to the last column.

    The digest of a revision stands for its files. Row ids are in, so two indexes are never alike.
    """
    digest = sha256()
    for columns in _parts():
        query = select(*columns).order_by(*columns[0].table.primary_key)
        # The driver's own rows: SQLAlchemy's cost as much as all the rest.
        cursor = connection.connection.cursor()
        cursor.execute(str(query))
        while batch := cursor.fetchmany(_DIGEST_BATCH):
            digest.update(marshal.dumps(list(batch), _MARSHAL))
        digest.update(b"\0")
    return digest.hexdigest()


def _parts() -> list[_Columns]:
    issues = tables.issue_revisions.c
    return [
        [tables.archives.c[name] for name in _OF_ARCHIVES],
        list(tables.revisions.c),
        list(tables.runs.c),
        list(tables.labels.c),
        [issues.id, issues.issue_id, issues.seen_ms, issues.digest],
        list(tables.workcell_ends.c),
    ]


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
