"""What the index holds of runs in typed columns, fetched a few at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, select

from collectord.index import tables
from collectord.model import IndexedRun

_BATCH = 512
# JSON that is most of a row, and whoever asks here has what it needs of it.
_UNTYPED = frozenset({"summary", "builder_summary", "evidence", "executed", "issue_text"})
Facts = dict[str, Any]


def facts_of(connection: Connection, runs: Sequence[IndexedRun]) -> Iterator[Facts]:
    """The typed columns of each run, its revision's `partial`, its plan as `plan_*`; in the order given."""
    for start in range(0, len(runs), _BATCH):
        batch = runs[start : start + _BATCH]
        found = _fetch(connection, batch)
        for run in batch:
            yield found[run.kind, run.name, run.digest]


def _fetch(connection: Connection, runs: Sequence[IndexedRun]) -> dict[tuple[str, str, str], Facts]:
    found = {}
    for kind in {run.kind for run in runs}:
        names = [run.name for run in runs if run.kind == kind]
        for row in connection.execute(_query(kind, names)):
            found[row.kind, row.name, row.digest] = dict(row._mapping)
    return found


def _query(kind: str, names: Sequence[str]) -> Any:
    a, r, run, label = tables.archives, tables.revisions, tables.runs, tables.labels
    joined = (
        a.join(r, r.c.archive_id == a.c.id)
        .join(run, run.c.revision_id == r.c.id)
        .outerjoin(label, label.c.revision_id == r.c.id)
    )
    typed = [column for column in run.c if column.name not in _UNTYPED]
    plan = [
        column.label(f"plan_{column.name}")
        for column in label.c
        if column.name not in ("revision_id", "recorded_swarms")
    ]
    query = select(a.c.kind, a.c.name, r.c.digest, r.c.partial, *typed, *plan).select_from(joined)
    return query.where(a.c.kind == kind, a.c.name.in_(names))
