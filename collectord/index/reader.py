"""Reading the index: beside the daemon, at any time, without a way to write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from collectord.index import rows, tables
from collectord.index.codec import unpack
from collectord.index.engine import open_engine, readable_errors
from collectord.index.schema import require_current
from collectord.index.writer import info, known_query
from collectord.model import IndexedRun, Known

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
    of_archive = r.c.archive_id == a.c.id
    joined = (
        a.join(r, of_archive & (r.c.number == a.c.revision) if current else of_archive)
        .join(run, run.c.revision_id == r.c.id)
        .outerjoin(label, label.c.revision_id == r.c.id)
    )
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
    query = select(*columns).select_from(joined).where(shown.is_not(None))
    return query.order_by(a.c.kind, a.c.name)
