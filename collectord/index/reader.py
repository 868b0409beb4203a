"""Reading the index: beside the daemon, at any time, without a way to write."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, func, select

from collectord.index import rows, tables
from collectord.index.codec import unpack
from collectord.index.engine import open_engine, readable_errors
from collectord.index.schema import require_current
from collectord.index.writer import info, known_query
from collectord.model import IndexedRun, Known

DbRow = dict[str, Any]
Revisions = Mapping[tuple[str, str], str]


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
            for row in self.connection.execute(_runs_query(shown, current=only is None)):
                if only is None or only.get((row.kind, row.name)) == row.digest:
                    yield rows.indexed_run_from(row, artifacts.get(row.revision_id, {}))

    def _artifacts_by_revision(self) -> dict[int, dict[str, str]]:
        table = tables.revision_files
        found: dict[int, dict[str, str]] = {}
        query = select(table.c.revision_id, table.c.name, table.c.sha256).where(table.c.sha256.is_not(None))
        for revision_id, name, digest in self.connection.execute(query):
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

    def counts(self) -> dict[str, int]:
        """Archives by state, and `gone` for those that are no longer there."""
        a = tables.archives
        query = select(a.c.state, func.count().label("n")).filter_by(kind="archive").group_by(a.c.state)
        gone = select(func.count()).select_from(a).where(a.c.kind == "archive", a.c.gone_ms.is_not(None))
        with readable_errors(self.path):
            counts = {row.state: row.n for row in self.connection.execute(query)}
            return {**counts, "gone": self.connection.execute(gone).scalar_one()}

    def count_runs(self) -> int:
        """Runs of current revisions."""
        return self._count(_current_runs())

    def count_plans(self) -> int:
        """Runs of current revisions with an explicit executed plan."""
        explicit = tables.labels.c.explicit == 1
        joined = _current_runs().join(tables.labels, tables.labels.c.revision_id == tables.runs.c.revision_id)
        return self._count(joined, explicit)

    def count_issues(self) -> int:
        """Issues that were ever seen in Beads."""
        query = select(func.count(func.distinct(tables.issue_revisions.c.issue_id)))
        with readable_errors(self.path):
            return int(self.connection.execute(query).scalar_one())

    def _count(self, joined: FromClause, *where: ColumnElement[bool]) -> int:
        with readable_errors(self.path):
            return int(
                self.connection.execute(select(func.count()).select_from(joined).where(*where)).scalar_one()
            )

    def list_runs(self, *, since_ms: int | None, wanted: Mapping[str, str | None], limit: int) -> list[DbRow]:
        """Runs of current archives with their plans, the newest first; `wanted` are column → value."""
        a, run, label = tables.archives, tables.runs, tables.labels
        joined = _current_runs().outerjoin(label, label.c.revision_id == run.c.revision_id)
        shown = [c for c in run.c if c.name not in ("summary", "builder_summary", "revision_id")]
        plan = [label.c.explicit, label.c.swarm_id, label.c.max_candidates, label.c.timeout_seconds]
        query = select(a.c.name, a.c.state, a.c.gone_ms, *shown, *plan).select_from(joined)
        query = query.where(a.c.kind == "archive")
        for column, value in wanted.items():
            if value is not None:
                query = query.where((label.c if column == "swarm_id" else run.c)[column] == value)
        if since_ms is not None:
            query = query.where(run.c.started_ms >= since_ms)
        query = query.order_by(run.c.started_ms.desc(), a.c.name).limit(limit)
        with readable_errors(self.path):
            return [dict(row._mapping) for row in self.connection.execute(query)]

    def archive_of_run(self, run_id: str) -> DbRow | None:
        """The archive whose current run has that id; the first by name if several have."""
        query = select(tables.archives.c.name).select_from(_current_runs())
        query = query.where(tables.archives.c.kind == "archive", tables.runs.c.run_id == run_id)
        with readable_errors(self.path):
            name = self.connection.execute(query.order_by(tables.archives.c.name)).scalar()
        return self.archive(name) if name is not None else None

    def archive(self, name: str) -> DbRow | None:
        """Everything the index holds of one archive, for a person; None if it was never seen."""
        with readable_errors(self.path):
            found = self.connection.execute(
                select(tables.archives).filter_by(kind="archive", name=name)
            ).one_or_none()
            if found is None:
                return None
            return {**found._mapping, "revisions": self._revisions(found.id)}

    def _revisions(self, archive_id: int) -> list[DbRow]:
        r = tables.revisions
        found = self.connection.execute(select(r).filter_by(archive_id=archive_id).order_by(r.c.number))
        return [{**row._mapping, **self._revision_parts(row.id)} for row in found.all()]

    def _revision_parts(self, revision_id: int) -> DbRow:
        one = {"revision_id": revision_id}
        f, a = tables.revision_files, tables.artifacts
        sized = select(f, a.c.size).select_from(f.outerjoin(a, a.c.sha256 == f.c.sha256))
        files = self.connection.execute(sized.where(f.c.revision_id == revision_id).order_by(f.c.name)).all()
        run = self.connection.execute(select(tables.runs).filter_by(**one)).one_or_none()
        label = self.connection.execute(select(tables.labels).filter_by(**one)).one_or_none()
        return {
            "files": [dict(row._mapping) for row in files],
            "run": None if run is None else dict(run._mapping),
            "label": None if label is None else _label_view(label),
        }

    def quarantined(self) -> list[DbRow]:
        """Every archive in quarantine with its reason."""
        q, a = tables.quarantine, tables.archives
        query = select(a.c.kind, a.c.name, a.c.tries, q).join_from(q, a).order_by(a.c.kind, a.c.name)
        with readable_errors(self.path):
            return [dict(row._mapping) for row in self.connection.execute(query)]


def _label_view(row: Any) -> DbRow:
    swarms = row.recorded_swarms
    return {**row._mapping, "recorded_swarms": None if swarms is None else json.loads(swarms)}


def _current_runs() -> Any:
    a, r, run = tables.archives, tables.revisions, tables.runs
    current = (r.c.archive_id == a.c.id) & (r.c.number == a.c.revision)
    return a.join(r, current).join(run, run.c.revision_id == r.c.id)


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
