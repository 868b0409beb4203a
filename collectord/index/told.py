"""Every run of a current archive with its plan and its artifacts' digests: what an audit goes through."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select

from collectord.index import tables
from collectord.index.engine import readable_errors
from collectord.index.reader import IndexReader
from collectord.index.views import current_runs, told_of_a_run
from collectord.model import ARCHIVE

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
        return [dict(row._mapping) for row in reader.connection.execute(query)]


_FILES = (("manifest.json", "manifest"), ("proof.json", "proof"))


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
