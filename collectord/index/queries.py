"""What people and programs ask the index for beside datasets: counts, lists, and all about one archive."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from collectord.index.engine import readable_errors
from collectord.index.reader import IndexReader
from collectord.index.rows import db_int, db_text
from collectord.index.statements import (
    ALL_RUNS,
    COLUMNS_OF_A_RUN,
    PLAN,
    RUNS,
    RUNS_BY_TIME,
    WITH_LABELS,
    DbRow,
    dicts,
    scalar,
)
from collectord.model import ARCHIVE, OutcomeKind

if TYPE_CHECKING:
    from collectord.index.writer import IndexWriter, KnownKey


@dataclass(frozen=True, slots=True)
class Totals:
    """`archives` by state, each once: those that are no longer there count as `gone` alone.

    `plans` are runs with an explicit plan.

    `time_conflicts` counts runs whose times contradict each other, by how they do. `outcomes` has how many
    `runs` ended with each `status` under each plan (`swarm_id`, `max_candidates`; null without).
    """

    archives: dict[str, int]
    runs: int
    plans: int
    issues: int
    time_conflicts: dict[str, int]
    outcomes: list[DbRow]


def totals(reader: IndexReader) -> Totals:
    """Counts over everything that is current."""
    c = reader.connection
    there = f"FROM archives WHERE kind = '{ARCHIVE}' AND gone_ms IS"
    kinds = _kinds_of_runs(reader)
    conflicts: Counter[str] = Counter()
    for one in kinds:
        if one["time_conflict"] is not None:
            conflicts[one["time_conflict"]] += one["runs"]
    with readable_errors(reader.path):
        states = dict(c.execute(f"SELECT state, count(*) {there} NULL GROUP BY state").fetchall())
        return Totals(
            archives={**states, "gone": scalar(c, f"SELECT count(*) {there} NOT NULL")},
            runs=sum(one["runs"] for one in kinds),
            plans=sum(one["runs"] for one in kinds if one["explicit"] == 1),
            issues=scalar(c, "SELECT count(DISTINCT issue_id) FROM issue_revisions"),
            time_conflicts=dict(sorted(conflicts.items())),
            outcomes=_outcomes(kinds),
        )


def _kinds_of_runs(reader: IndexReader) -> list[DbRow]:
    """How many `runs` are alike in all that is counted: one pass, as rows of runs are large."""
    columns = "run.status, label.swarm_id, label.max_candidates, label.explicit, run.time_conflict"
    counted = f"SELECT {columns}, count(*) AS runs FROM {RUNS} {WITH_LABELS}"
    return _all(reader, f"{counted} GROUP BY {columns} ORDER BY {columns}")


def _outcomes(kinds: Iterable[DbRow]) -> list[DbRow]:
    """The same by status and plan alone, in their order."""
    found: Counter[tuple[str, str | None, int | None]] = Counter()
    for one in kinds:
        found[one["status"], one["swarm_id"], one["max_candidates"]] += one["runs"]
    return [
        {"status": status, "swarm_id": swarm_id, "max_candidates": candidates, "runs": count}
        for (status, swarm_id, candidates), count in found.items()
    ]


def dispatched_since(reader: IndexReader, since_ms: int) -> list[int]:
    """When each run that was dispatched since then was, in milliseconds."""
    with readable_errors(reader.path):
        query = f"SELECT run.started_ms FROM {RUNS} WHERE run.started_ms >= ?"
        return [started_ms for (started_ms,) in reader.connection.execute(query, (since_ms,))]


def names_there(reader: IndexReader) -> set[str]:
    """The names of the archives that the index holds to be there."""
    there = f"kind = '{ARCHIVE}' AND gone_ms IS NULL"
    cursor = reader.connection.cursor()
    cursor.row_factory = None
    with readable_errors(reader.path):
        return {name for (name,) in cursor.execute(f"SELECT name FROM archives WHERE {there}")}


def newest_mtime_ms(reader: IndexReader) -> int | None:
    """The youngest time of change that an archive had when it was read; None without one."""
    with readable_errors(reader.path):
        newest = scalar(reader.connection, "SELECT max(dir_mtime_ns) FROM revisions")
    return None if newest is None else int(newest) // 1_000_000


def needing_attention(reader: IndexReader) -> list[DbRow]:
    """Archives that are there and not whole or not taken, with the reason, by name."""
    wanted = f"kind = '{ARCHIVE}' AND gone_ms IS NULL AND state IN (?, ?)"
    query = f"SELECT name, state, reason FROM archives WHERE {wanted} ORDER BY name"
    return _all(reader, query, (OutcomeKind.PARTIAL, OutcomeKind.QUARANTINED))


def list_runs(
    reader: IndexReader, *, since_ms: int | None, wanted: Mapping[str, str | None], limit: int
) -> list[DbRow]:
    """Runs of current archives with their plans, the newest first; `wanted` are column → value."""
    asked = {name: db_text(value) for name, value in wanted.items() if value is not None}
    # By the columns of the answer: the status is the one that is shown, not the stored one.
    where = [f"{name} = ?" for name in asked]
    values: list[object] = list(asked.values())
    if since_ms is not None:
        where.append("started_ms >= ?")
        values.append(db_int(since_ms) or 0)
    columns = f"a.name, a.state, a.gone_ms, {COLUMNS_OF_A_RUN}, {PLAN}"
    found = f"SELECT {columns} FROM {RUNS_BY_TIME} {WITH_LABELS} WHERE a.kind = '{ARCHIVE}'"
    if where:
        found = f"SELECT * FROM ({found}) WHERE {' AND '.join(where)}"
    return _all(reader, f"{found} ORDER BY started_ms DESC, name LIMIT ?", (*values, limit))


def directories_of_run(reader: IndexReader, run_id: str) -> list[tuple[str, str]]:
    """(kind, name) of every directory whose current run has that id, archives first."""
    query = f"SELECT a.kind, a.name FROM {RUNS} WHERE run.run_id = ? ORDER BY a.kind, a.name"
    return [(row["kind"], row["name"]) for row in _all(reader, query, (db_text(run_id),))]


def newest_of_issue(reader: IndexReader, issue_id: str) -> str | None:
    """The name of the archive of the newest run of an issue."""
    where = f"run.issue_id = ? AND a.kind = '{ARCHIVE}'"
    query = f"SELECT a.name FROM {RUNS} WHERE {where} ORDER BY run.started_ms DESC, a.name LIMIT 1"
    found = _all(reader, query, (db_text(issue_id),))
    return str(found[0]["name"]) if found else None


def directory(reader: IndexReader, kind: str, name: str) -> DbRow | None:
    """Everything the index holds of one directory, with its `revisions`; None if it was never seen."""
    found = _all(reader, "SELECT * FROM archives WHERE kind = ? AND name = ?", (kind, db_text(name)))
    if not found:
        return None
    query = "SELECT * FROM revisions WHERE archive_id = ? ORDER BY number"
    revisions = _all(reader, query, (found[0]["id"],))
    return {**found[0], "revisions": [{**row, **_parts(reader, row["id"])} for row in revisions]}


def _parts(reader: IndexReader, revision_id: int) -> DbRow:
    files = (
        "SELECT f.name, f.state, f.sha256, f.mtime_ns, f.reason, artifact.size FROM revision_files f"
        " LEFT JOIN artifacts artifact ON artifact.sha256 = f.sha256 WHERE f.revision_id = ? ORDER BY f.name"
    )
    of_it = (revision_id,)
    runs = _all(reader, f"SELECT {COLUMNS_OF_A_RUN} FROM {ALL_RUNS} WHERE run.revision_id = ?", of_it)
    labels = _all(reader, "SELECT * FROM labels WHERE revision_id = ?", of_it)
    return {
        "files": _all(reader, files, of_it),
        "run": runs[0] if runs else None,
        "label": _label(labels[0]) if labels else None,
    }


def _label(row: DbRow) -> DbRow:
    swarms = row["recorded_swarms"]
    return {**row, "recorded_swarms": None if swarms is None else json.loads(swarms)}


def quarantined(reader: IndexReader) -> list[DbRow]:
    """Every directory in quarantine with its reason."""
    of = "FROM quarantine q JOIN archives a ON a.id = q.archive_id ORDER BY a.kind, a.name"
    return _all(reader, f"SELECT a.kind, a.name, a.tries, q.* {of}")


def _all(reader: IndexReader, query: str, values: Sequence[object] = ()) -> list[DbRow]:
    with readable_errors(reader.path):
        return dicts(reader.connection, query, values)


def set_arrivals(writer: IndexWriter, arrivals: Mapping[KnownKey, tuple[int, int | None]]) -> None:
    """Give archives back when they were first seen and first complete: histories may depend on it."""
    seen = "UPDATE archives SET first_seen_ms = ? WHERE kind = ? AND name = ?"
    complete = "UPDATE archives SET complete_ms = ? WHERE kind = ? AND name = ? AND complete_ms IS NOT NULL"
    with writer.transaction() as connection:
        for key, (seen_ms, complete_ms) in arrivals.items():
            connection.execute(seen, (seen_ms, *key))
            if complete_ms is not None:
                connection.execute(complete, (complete_ms, *key))


def requeue(writer: IndexWriter, names: Collection[str] | None = None) -> list[KnownKey]:
    """Have directories in quarantine read again at the next look, all of them for None; returns which.

    It forgets what they looked like and how often they were tried.
    """
    quarantined = [key for key, known in writer.known.items() if known.state == OutcomeKind.QUARANTINED]
    keys = [key for key in quarantined if names is None or key[1] in names]
    found = [(key, writer.known[key]._replace(signature=None, tries=0)) for key in keys]
    with writer.transaction() as connection:
        connection.executemany(
            "UPDATE archives SET signature = NULL, tries = 0 WHERE kind = ? AND name = ?", keys
        )
    writer.known.update(found)
    return keys
