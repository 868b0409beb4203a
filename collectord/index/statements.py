"""SQL that several modules need: runs with their archives, and statements made of column names.

Names of tables and columns stand in SQL as `tables` declares them; values are always parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from collectord.index.engine import IndexConnection

DbRow = dict[str, Any]
# The columns of a run in order, but for the JSON that is most of it and that nobody lists or flattens.
TYPED_COLUMNS_OF_A_RUN = (
    "revision_id",
    "run_id",
    "issue_id",
    "job_type",
    "domain",
    "status",
    "toolchain",
    "model",
    "prompt_genome_id",
    "started_ms",
    "started_source",
    "finished_ms",
    "duration_ms",
    "cost_usd",
    "tokens_used",
    "has_proof",
    "has_rollout",
    "ends_in_event_log",
    "input_state",
    "hash_state",
    "encodable",
    "time_conflict",
)
JSON_OF_A_RUN = frozenset(
    {"summary", "builder_summary", "evidence", "situation", "executed", "issue_text", "artifact_facts"}
)
# Archives and worlds `a` with their revisions `r` and runs `run`: of every revision, or of the current ones.
EVERY_RUN = (
    "archives a JOIN revisions r ON r.archive_id = a.id {} JOIN runs run ON run.revision_id = r.id".format
)
RUNS = EVERY_RUN("AND r.number = a.revision")
ALL_RUNS = EVERY_RUN("")
# The current ones as `RUNS`, for who takes the first few in order of time: SQLite keeps the order of a CROSS
# JOIN, and would else look at all archives and sort their runs.
RUNS_BY_TIME = (
    "runs run CROSS JOIN revisions r ON r.id = run.revision_id"
    " CROSS JOIN archives a ON a.id = r.archive_id AND a.revision = r.number"
)
WITH_LABELS = " LEFT JOIN labels label ON label.revision_id = r.id"
PLAN = "label.explicit, label.swarm_id, label.max_candidates, label.timeout_seconds"

# Every directory, as the parts of a `Known`.
KNOWN = "SELECT kind, name, state, reason, signature, revision, gone_ms, tries, glance FROM archives"


def _columns_of_a_run() -> str:
    """The columns of a run; one that left no proof ends as the event log says, as in a dataset."""
    of_it = "workcell_ends e WHERE e.workcell_id = a.name AND e.timed_out = 1"
    timed_out = f"run.ends_in_event_log = 1 AND EXISTS (SELECT * FROM {of_it})"
    lasted = f"(SELECT e.duration_ms FROM {of_it} ORDER BY e.position LIMIT 1)"
    finished = f"CASE WHEN {lasted} > 0 THEN run.started_ms + {lasted} END"
    joined = {"status": "'timeout'", "duration_ms": lasted, "finished_ms": finished}
    return ", ".join(
        f"CASE WHEN {timed_out} THEN {joined[name]} ELSE run.{name} END AS {name}"
        if name in joined
        else f"run.{name}"
        for name in TYPED_COLUMNS_OF_A_RUN
    )


COLUMNS_OF_A_RUN = _columns_of_a_run()


def marks(values: Sequence[object]) -> str:
    """A place for each of some values, for `IN (…)`."""
    return ", ".join("?" * len(values))


def inserting(table: str, columns: Iterable[str], *, keys: Sequence[str] | None = None) -> str:
    """An INSERT with named parameters.

    A row that is there already is an error; with `keys`, the columns of its key, the new one is written over
    it, and with no key in them the old one stays.
    """
    names = list(columns)
    places = ", ".join(f":{name}" for name in names)
    statement = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})"
    if keys is None:
        return statement
    if not keys:
        return f"{statement} ON CONFLICT DO NOTHING"
    changes = ", ".join(f"{name} = excluded.{name}" for name in names)
    return f"{statement} ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changes}"


def insert(
    connection: IndexConnection, table: str, row: Mapping[str, Any], *, keys: Sequence[str] | None = None
) -> int:
    """Write one row as `inserting` says; returns how many rows were written."""
    return connection.execute(inserting(table, row, keys=keys), row).rowcount


def dicts(connection: IndexConnection, query: str, values: Sequence[object] = ()) -> list[DbRow]:
    """The rows of a query as dictionaries."""
    return [dict(row) for row in connection.execute(query, values)]


def scalar(connection: IndexConnection, query: str, values: Sequence[object] = ()) -> Any:
    """The first column of the first row of a query; None where there is no row."""
    row = connection.execute(query, values).fetchone()
    return None if row is None else row[0]
