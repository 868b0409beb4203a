"""What people and programs ask the index for beside datasets: counts, lists, and all about one archive."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, and_, case, exists, func, select, update

from collectord.index import tables
from collectord.index.engine import readable_errors
from collectord.index.reader import IndexReader
from collectord.index.rows import db_int, db_text
from collectord.index.writer import IndexWriter, KnownKey
from collectord.model import ARCHIVE, OutcomeKind

DbRow = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Totals:
    """`archives` by state, each once: those that are no longer there count as `gone` alone.

    `plans` are runs with an explicit plan.

    `time_conflicts` counts runs whose times contradict each other, by how they do.
    """

    archives: dict[str, int]
    runs: int
    plans: int
    issues: int
    time_conflicts: dict[str, int]


def totals(reader: IndexReader) -> Totals:
    """Counts over everything that is current."""
    a, label = tables.archives, tables.labels
    by_state = (
        select(a.c.state, func.count().label("n")).filter_by(kind=ARCHIVE, gone_ms=None).group_by(a.c.state)
    )
    gone = _number(a, a.c.kind == ARCHIVE, a.c.gone_ms.is_not(None))
    plans = _number(tables.runs_joined(with_labels=True), label.c.explicit == 1)
    issues = select(func.count(func.distinct(tables.issue_revisions.c.issue_id)))
    with readable_errors(reader.path):
        states = {row.state: int(row.n) for row in reader.connection.execute(by_state)}
        queries = (gone, _number(tables.runs_joined()), plans, issues)
        counts = [int(reader.connection.execute(query).scalar_one()) for query in queries]
        conflicts = _time_conflicts(reader)
    gone_now, runs, with_plan, known_issues = counts
    return Totals({**states, "gone": gone_now}, runs, with_plan, known_issues, conflicts)


def _time_conflicts(reader: IndexReader) -> dict[str, int]:
    """How many runs have times that contradict each other, by how they do."""
    column = tables.runs.c.time_conflict
    query = select(column, func.count()).select_from(tables.runs_joined()).where(column.is_not(None))
    return {row[0]: int(row[1]) for row in reader.connection.execute(query.group_by(column).order_by(column))}


def _number(source: FromClause, *where: ColumnElement[bool]) -> Select[Any]:
    return select(func.count()).select_from(source).where(*where)


def runs_by_outcome(reader: IndexReader) -> list[DbRow]:
    """How many runs ended with each `status` under each plan (`swarm_id`, `max_candidates`; null without)."""
    run, label = tables.runs, tables.labels
    columns = (run.c.status, label.c.swarm_id, label.c.max_candidates)
    query = select(*columns, func.count().label("runs")).select_from(tables.runs_joined(with_labels=True))
    return _all(reader, query.group_by(*columns).order_by(*columns))


def dispatched_since(reader: IndexReader, since_ms: int) -> list[int]:
    """When each run that was dispatched since then was, in milliseconds."""
    started = tables.runs.c.started_ms
    with readable_errors(reader.path):
        query = select(started).select_from(tables.runs_joined()).where(started >= since_ms)
        return [int(row[0]) for row in reader.connection.execute(query)]


def needing_attention(reader: IndexReader) -> list[DbRow]:
    """Archives that are there and not whole or not taken, with the reason, by name."""
    a = tables.archives
    wanted = a.c.state.in_([OutcomeKind.PARTIAL, OutcomeKind.QUARANTINED])
    query = select(a.c.name, a.c.state, a.c.reason).filter_by(kind=ARCHIVE, gone_ms=None).where(wanted)
    return _all(reader, query.order_by(a.c.name))


def list_runs(
    reader: IndexReader, *, since_ms: int | None, wanted: Mapping[str, str | None], limit: int
) -> list[DbRow]:
    """Runs of current archives with their plans, the newest first; `wanted` are column → value."""
    a, label = tables.archives, tables.labels
    columns = {c.name: c for c in (*columns_of_a_run(), label.c.swarm_id)}
    plan = (label.c.explicit, label.c.swarm_id, label.c.max_candidates, label.c.timeout_seconds)
    query = select(a.c.name, a.c.state, a.c.gone_ms, *columns_of_a_run(), *plan)
    query = query.select_from(tables.runs_joined(with_labels=True)).where(a.c.kind == ARCHIVE)
    for name, value in wanted.items():
        if value is not None:
            query = query.where(columns[name] == db_text(value))
    if since_ms is not None:
        query = query.where(tables.runs.c.started_ms >= (db_int(since_ms) or 0))
    return _all(reader, query.order_by(tables.runs.c.started_ms.desc(), a.c.name).limit(limit))


def directories_of_run(reader: IndexReader, run_id: str) -> list[tuple[str, str]]:
    """(kind, name) of every directory whose current run has that id, archives first."""
    a = tables.archives
    query = select(a.c.kind, a.c.name).select_from(tables.runs_joined())
    query = query.where(tables.runs.c.run_id == db_text(run_id)).order_by(a.c.kind, a.c.name)
    return [(row["kind"], row["name"]) for row in _all(reader, query)]


def newest_of_issue(reader: IndexReader, issue_id: str) -> str | None:
    """The name of the archive of the newest run of an issue."""
    a, run = tables.archives, tables.runs
    query = select(a.c.name).select_from(tables.runs_joined())
    query = query.where(run.c.issue_id == db_text(issue_id), a.c.kind == ARCHIVE)
    found = _all(reader, query.order_by(run.c.started_ms.desc(), a.c.name).limit(1))
    return str(found[0]["name"]) if found else None


def directory(reader: IndexReader, kind: str, name: str) -> DbRow | None:
    """Everything the index holds of one directory, with its `revisions`; None if it was never seen."""
    a, r = tables.archives, tables.revisions
    found = _all(reader, select(a).where(a.c.kind == kind, a.c.name == db_text(name)))
    if not found:
        return None
    query = select(r).filter_by(archive_id=found[0]["id"]).order_by(r.c.number)
    revisions = [{**row, **_parts(reader, row["id"])} for row in _all(reader, query)]
    return {**found[0], "revisions": revisions}


def _parts(reader: IndexReader, revision_id: int) -> DbRow:
    f, artifact, run = tables.revision_files, tables.artifacts, tables.runs
    columns = (f.c.name, f.c.state, f.c.sha256, f.c.mtime_ns, f.c.reason, artifact.c.size)
    files = select(*columns).select_from(f.outerjoin(artifact, artifact.c.sha256 == f.c.sha256))
    run_columns = (
        select(*columns_of_a_run())
        .select_from(tables.runs_joined(current=False))
        .where(run.c.revision_id == revision_id)
    )
    runs = _all(reader, run_columns)
    labels = _all(reader, select(tables.labels).filter_by(revision_id=revision_id))
    return {
        "files": _all(reader, files.where(f.c.revision_id == revision_id).order_by(f.c.name)),
        "run": runs[0] if runs else None,
        "label": _label(labels[0]) if labels else None,
    }


def _label(row: DbRow) -> DbRow:
    swarms = row["recorded_swarms"]
    return {**row, "recorded_swarms": None if swarms is None else json.loads(swarms)}


def quarantined(reader: IndexReader) -> list[DbRow]:
    """Every directory in quarantine with its reason."""
    q, a = tables.quarantine, tables.archives
    query = select(a.c.kind, a.c.name, a.c.tries, q).join_from(q, a).order_by(a.c.kind, a.c.name)
    return _all(reader, query)


def _all(reader: IndexReader, query: Any) -> list[DbRow]:
    with readable_errors(reader.path):
        return [dict(row._mapping) for row in reader.connection.execute(query)]


def columns_of_a_run() -> list[ColumnElement[Any]]:
    """The columns of a run; one that left no proof ends as the event log says, as in a dataset."""
    run, end, a = tables.runs, tables.workcell_ends, tables.archives
    of_it = and_(end.c.workcell_id == a.c.name, end.c.timed_out == 1)
    timed_out = and_(run.c.ends_in_event_log == 1, exists().where(of_it))
    lasted = select(end.c.duration_ms).where(of_it).order_by(end.c.position).limit(1).scalar_subquery()
    finished = case((lasted > 0, run.c.started_ms + lasted), else_=None)
    joined = {
        "status": case((timed_out, "timeout"), else_=run.c.status),
        "duration_ms": case((timed_out, lasted), else_=run.c.duration_ms),
        "finished_ms": case((timed_out, finished), else_=run.c.finished_ms),
    }
    return [
        joined[c.name].label(c.name) if c.name in joined else c
        for c in run.c
        if c.name not in tables.JSON_OF_A_RUN
    ]


def set_arrivals(writer: IndexWriter, arrivals: Mapping[KnownKey, tuple[int, int | None]]) -> None:
    """Give archives back when they were first seen and first complete: histories may depend on it."""
    a = tables.archives
    with writer.transaction() as connection:
        for (kind, name), (seen_ms, complete_ms) in arrivals.items():
            of_it = update(a).filter_by(kind=kind, name=name)
            connection.execute(of_it.values(first_seen_ms=seen_ms))
            if complete_ms is not None:
                connection.execute(of_it.where(a.c.complete_ms.is_not(None)).values(complete_ms=complete_ms))


def requeue(writer: IndexWriter, names: Collection[str] | None = None) -> list[KnownKey]:
    """Have directories in quarantine read again at the next look, all of them for None; returns which.

    It forgets what they looked like and how often they were tried.
    """
    quarantined = [key for key, known in writer.known.items() if known.state == OutcomeKind.QUARANTINED]
    keys = [key for key in quarantined if names is None or key[1] in names]
    forgotten: dict[str, object] = {"signature": None, "tries": 0}
    found = [(key, replace(writer.known[key], signature=None, tries=0)) for key in keys]
    with writer.transaction() as connection:
        for (kind, name), _ in found:
            connection.execute(update(tables.archives).filter_by(kind=kind, name=name).values(forgotten))
    writer.known.update(found)
    return keys
