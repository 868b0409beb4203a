"""Reading the index: beside the daemon, at any time, without a way to write."""

from __future__ import annotations

import marshal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from collectord.index import rows
from collectord.index.engine import IndexConnection, connect, readable_errors
from collectord.index.info import info
from collectord.index.rows import unpack
from collectord.index.schema import require_current
from collectord.index.statements import (
    ALL_RUNS,
    JSON_OF_A_RUN,
    KNOWN,
    PLAN,
    RUNS,
    TYPED_COLUMNS_OF_A_RUN,
    WITH_LABELS,
    DbRow,
    marks,
    scalar,
)
from collectord.model import ARCHIVE, FileRecord, IndexedRun, Known

Revisions = Mapping[tuple[str, str], str]


class IndexReader:
    """One consistent view of the index: everything is read inside one transaction."""

    def __init__(self, path: Path) -> None:
        """Open an index that is there and current; raises IndexMissing, IndexTooOld or IndexTooNew."""
        require_current(path)
        self.path = path
        with readable_errors(path):
            self.connection: IndexConnection = connect(path, read_only=True)
            self.connection.execute("BEGIN")

    def close(self) -> None:
        """End the view."""
        self.connection.close()

    def __enter__(self) -> IndexReader:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def known(self) -> list[Known]:
        """Every directory that was ever seen, by kind and name."""
        with readable_errors(self.path):
            found = self.connection.execute(f"{KNOWN} ORDER BY kind, name")
            return [rows.known_from(*row) for row in found]

    def info(self, key: str) -> str | None:
        """A value of index_info."""
        with readable_errors(self.path):
            return info(self.connection, key)

    def runs(self, *, builder: bool = False, only: Revisions | None = None) -> Iterator[IndexedRun]:
        """The run of every current revision, by kind and name, whether its archive is still there or gone.

        With `builder` the runs that the kernel's own builder makes a summary of, with that summary. With
        `only` the runs of exactly those revisions, current or not; one the index does not have is missing.
        """
        with readable_errors(self.path):
            artifacts = self._artifacts_by_revision()
            query = _runs_query(builder, current=only is None)
            for row in self.connection.execute(f"{query} ORDER BY a.kind, a.name"):
                if only is None or only.get((row["kind"], row["name"])) == row["digest"]:
                    yield rows.indexed_run_from(row, artifacts.get(row["revision_id"], {}))

    def run_of(self, kind: str, name: str, *, builder: bool = False) -> IndexedRun | None:
        """The run of one directory, as `runs` gives it."""
        query = f"{_runs_query(builder, current=True)} AND a.kind = ? AND a.name = ?"
        with readable_errors(self.path):
            row = self.connection.execute(query, (kind, name)).fetchone()
            if row is None:
                return None
            revision_id = row["revision_id"]
            return rows.indexed_run_from(row, self._artifacts_by_revision(revision_id)[revision_id])

    def _artifacts_by_revision(self, only: int | None = None) -> dict[int, dict[str, str]]:
        found: dict[int, dict[str, str]] = {}
        query = "SELECT revision_id, name, sha256 FROM revision_files WHERE sha256 IS NOT NULL"
        asked = (query,) if only is None else (f"{query} AND revision_id = ?", (only,))
        for revision_id, name, digest in self.connection.execute(*asked):
            found.setdefault(revision_id, {})[name] = digest
        return found

    def artifact(self, digest: str) -> bytes:
        """The bytes of an artifact, checked against its digest; raises IndexDamaged, KeyError if unknown."""
        return self.artifacts([digest])[digest]

    def artifacts(self, digests: Sequence[str]) -> dict[str, bytes]:
        """The bytes of several artifacts at once."""
        query = f"SELECT sha256, codec, data FROM artifacts WHERE sha256 IN ({marks(digests)})"
        with readable_errors(self.path):
            return {row[0]: unpack(*row) for row in self.connection.execute(query, digests)}

    def kept_rows(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The packed rows of those keys that have one."""
        query = f"SELECT key, data FROM kept_rows WHERE key IN ({marks(keys)})"
        with readable_errors(self.path):
            return dict(self.connection.execute(query, keys).fetchall())


def _runs_query(builder: bool, *, current: bool) -> str:
    shown = "run.builder_summary" if builder else "run.summary"
    columns = (
        "a.kind, a.name, a.complete_ms, r.digest, run.revision_id, run.finished_ms, run.ends_in_event_log"
    )
    states = "run.input_state, run.hash_state, run.encodable, run.time_conflict"
    plan = f"{PLAN}, label.max_iterations, label.recorded_swarms"
    joined = f"{RUNS if current else ALL_RUNS} {WITH_LABELS}"
    return f"SELECT {columns}, {states}, {shown} AS shown, {plan} FROM {joined} WHERE {shown} IS NOT NULL"


_DIGEST_BATCH = 256
# Without references between values: the same rows give the same bytes, in half the time of repr.
_MARSHAL = 2
# What no dataset shows, and what is filled in later for the runs of an older index.
NO_CONTENT = frozenset({"artifact_facts"})
# Looks at a directory that changed nothing in it are not content.
_CONTENT = (
    "SELECT id, kind, name, revision, complete_ms, gone_ms FROM archives ORDER BY id",
    "SELECT * FROM revisions ORDER BY id",
    f"SELECT {', '.join([*TYPED_COLUMNS_OF_A_RUN, *sorted(JSON_OF_A_RUN - NO_CONTENT)])} FROM runs"
    " ORDER BY revision_id",
    "SELECT * FROM labels ORDER BY revision_id",
    "SELECT id, issue_id, seen_ms, digest FROM issue_revisions ORDER BY id",
    "SELECT * FROM workcell_ends ORDER BY workcell_id, digest",
)


def content_digest(connection: IndexConnection) -> str:
    """sha256 hex; the same digest means the same runs, labels, issues and ends, to the last column.

    The digest of a revision stands for its files. Row ids are in, so two indexes are never alike.
    """
    digest = sha256()
    cursor = connection.cursor()
    cursor.row_factory = None
    for query in _CONTENT:
        cursor.execute(query)
        while batch := cursor.fetchmany(_DIGEST_BATCH):
            digest.update(marshal.dumps(batch, _MARSHAL))
        digest.update(b"\0")
    return digest.hexdigest()


_CHUNK = 500
_FILE = "f.name, f.state, f.sha256, f.mtime_ns, f.reason"


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


def count_revisions(connection: IndexConnection) -> int:
    """How many revisions there are, current and superseded."""
    return int(scalar(connection, "SELECT count(*) FROM revisions"))


def revision_keys(connection: IndexConnection) -> set[tuple[str, str, str]]:
    """(kind, name, digest) of every revision."""
    query = "SELECT a.kind, a.name, r.digest FROM revisions r JOIN archives a ON a.id = r.archive_id"
    return {(kind, name, digest) for kind, name, digest in connection.execute(query)}


def looked_at(connection: IndexConnection) -> set[tuple[str, str]]:
    """(kind, name) of every directory that has the signature of a look and a current revision."""
    query = (
        "SELECT a.kind, a.name FROM archives a JOIN revisions r ON r.archive_id = a.id"
        " AND r.number = a.revision WHERE a.signature <> ''"
    )
    return {(kind, name) for kind, name in connection.execute(query)}


def stored_revisions(connection: IndexConnection) -> Iterator[StoredRevision]:
    """Every revision, current and superseded, in the order in which they were stored."""
    last = int(scalar(connection, "SELECT coalesce(max(id), 0) FROM revisions"))
    for start in range(0, last + 1, _CHUNK):
        yield from _chunk(connection, start, start + _CHUNK - 1)


def _chunk(connection: IndexConnection, first: int, last: int) -> Iterator[StoredRevision]:
    runs, labels = (_by_revision(connection, table, first, last) for table in ("runs", "labels"))
    files: dict[int, list[FileRecord]] = {}
    of_these = f"SELECT revision_id, {_FILE} FROM revision_files f WHERE revision_id BETWEEN ? AND ?"
    for revision_id, *record in connection.execute(f"{of_these} ORDER BY f.name", (first, last)):
        files.setdefault(revision_id, []).append(FileRecord(*record))
    found = (
        "SELECT r.id, a.kind, a.name, r.number, r.digest, r.partial, r.dir_mtime_ns, r.seen_ms"
        " FROM revisions r JOIN archives a ON a.id = r.archive_id WHERE r.id BETWEEN ? AND ? ORDER BY r.id"
    )
    for row in connection.execute(found, (first, last)):
        key = row["id"]
        of_it = {"files": tuple(files.get(key, ())), "run": runs.get(key), "label": labels.get(key)}
        yield StoredRevision(**{**dict(row), **of_it})


def _by_revision(connection: IndexConnection, table: str, first: int, last: int) -> dict[int, DbRow]:
    query = f"SELECT * FROM {table} WHERE revision_id BETWEEN ? AND ?"
    return {row["revision_id"]: dict(row) for row in connection.execute(query, (first, last))}


@dataclass(frozen=True, slots=True)
class StoredArchive:
    """One revision of a directory, as far as it can be written out again."""

    kind: str
    name: str
    dir_mtime_ns: int
    files: tuple[FileRecord, ...]


class CurrentFiles:
    """The core files of current revisions of archives, asked for by name."""

    def __init__(self, connection: IndexConnection) -> None:
        self._connection = connection

    def of(self, name: str) -> dict[str, str]:
        """File → sha256 of the current revision of an archive; empty where it has none."""
        found = next(stored_archives(self._connection, name), None)
        return {f.name: f.sha256 for f in found.files if f.sha256 is not None} if found else {}


def stored_archives(
    connection: IndexConnection,
    name: str | None = None,
    kind: str | None = ARCHIVE,
    number: int | None = None,
) -> Iterator[StoredArchive]:
    """Revisions by kind and name, of all archives or one: the current ones, or those with that number.

    Of both kinds where `kind` is None.
    """
    asked = {"a.kind = ?": kind, "a.name = ?": name, "r.number = ?": number}
    wanted = {term: value for term, value in asked.items() if value is not None}
    where = [*wanted, *(["r.number = a.revision"] if number is None else [])]
    query = (
        "SELECT a.kind, a.name, r.id, r.dir_mtime_ns FROM archives a JOIN revisions r ON r.archive_id = a.id"
        f" WHERE {' AND '.join(where)} ORDER BY a.kind, a.name"
    )
    of_it = f"SELECT {_FILE} FROM revision_files f WHERE f.revision_id = ? ORDER BY f.name"
    for row in connection.execute(query, tuple(wanted.values())).fetchall():
        records = tuple(FileRecord(*file) for file in connection.execute(of_it, (row["id"],)))
        yield StoredArchive(row["kind"], row["name"], row["dir_mtime_ns"], records)
