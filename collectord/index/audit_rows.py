"""Every run of a current archive, read in one go: what an audit goes through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select

from collectord.index import tables
from collectord.index.engine import readable_errors
from collectord.index.queries import current_runs, told_of_a_run
from collectord.index.reader import IndexReader
from collectord.index.rows import swarms_from
from collectord.model import ARCHIVE, IndexedRun, Label

DbRow = dict[str, Any]


def told_runs(reader: IndexReader) -> list[DbRow]:
    """In order of dispatch; `manifest` and `proof` are digests of artifacts, None where there are none."""
    a, r, label = tables.archives, tables.revisions, tables.labels
    plan = (label.c.explicit, label.c.swarm_id, label.c.max_candidates, label.c.timeout_seconds)
    files = [_file(name).label(column) for name, column in _FILES]
    query = select(a.c.name, a.c.complete_ms, r.c.digest, r.c.seen_ms, *told_of_a_run(), *plan, *files)
    query = query.select_from(current_runs(with_labels=True)).where(a.c.kind == ARCHIVE)
    query = query.order_by(tables.runs.c.started_ms, tables.runs.c.run_id, a.c.name)
    with readable_errors(reader.path):
        found = reader.connection.execute(query)
        names = list(found.keys())
        return [dict(zip(names, row, strict=True)) for row in found.all()]


MANIFEST = "manifest.json"
_FILES = ((MANIFEST, "manifest"), ("proof.json", "proof"))


def plain_runs(reader: IndexReader) -> list[IndexedRun]:
    """The run of every current archive by name, as `IndexReader.runs` gives it but for its artifacts.

    For who looks at all runs and builds few: nothing is parsed, and only the manifest's digest is told.
    """
    a, run, label = tables.archives, tables.runs, tables.labels
    columns = [a.c.kind, a.c.name, tables.revisions.c.digest, run.c.run_id, run.c.started_ms]
    columns += [run.c.finished_ms, a.c.complete_ms, run.c.duration_ms, run.c.input_state, run.c.hash_state]
    columns += [
        run.c.encodable,
        run.c.ends_in_event_log,
        run.c.job_type,
        run.c.domain,
        run.c.status,
        run.c.summary,
    ]
    columns.append(run.c.time_conflict)
    plan = (label.c.explicit, label.c.swarm_id, label.c.max_candidates, label.c.timeout_seconds)
    query = select(*columns, _file(MANIFEST), *plan, label.c.max_iterations, label.c.recorded_swarms)
    query = query.select_from(current_runs(with_labels=True)).where(a.c.kind == ARCHIVE).order_by(a.c.name)
    with readable_errors(reader.path):
        return [_plain_run(row) for row in reader.connection.execute(query).all()]


def _plain_run(row: Sequence[Any]) -> IndexedRun:
    # By place: to take so many values out of a row by name costs more than to fetch it.
    kind, name, digest, run_id, started_ms, finished_ms, complete_ms, duration_ms = row[:8]
    input_state, hash_state, encodable, in_event_log, job_type, domain, status, summary = row[8:16]
    conflict, manifest = row[16:18]
    artifacts = {} if manifest is None else {MANIFEST: manifest}
    return IndexedRun(
        kind,
        name,
        digest,
        run_id,
        started_ms,
        finished_ms,
        complete_ms,
        duration_ms,
        input_state,
        hash_state,
        bool(encodable),
        bool(in_event_log),
        job_type,
        domain,
        status,
        summary,
        _label(row[18:]),
        artifacts,
        conflict,
    )


def _label(row: Sequence[Any]) -> Label | None:
    explicit, swarm_id, candidates, seconds, iterations, swarms = row
    if explicit is None:
        return None
    offered = None if swarms is None else swarms_from(swarms)
    return Label(bool(explicit), swarm_id, candidates, seconds, iterations, offered)


def _file(name: str) -> Any:
    table = tables.revision_files
    of_run = (table.c.revision_id == tables.runs.c.revision_id) & (table.c.name == name)
    return select(table.c.sha256).where(of_run).scalar_subquery()


def ended_without_archive(reader: IndexReader) -> list[str]:
    """Workcells that the event log says have failed or timed out and whose archive was never seen."""
    end, a = tables.workcell_ends, tables.archives
    query = select(func.distinct(end.c.workcell_id)).where(
        end.c.workcell_id.not_in(select(a.c.name).where(a.c.kind == ARCHIVE))
    )
    with readable_errors(reader.path):
        return sorted(str(row[0]) for row in reader.connection.execute(query))
