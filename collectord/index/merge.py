"""Rows of one index into another: only what proves itself, and everything derived is derived again."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sqlalchemy import Connection, Table, select

from collectord.index import tables
from collectord.index.check import is_end_whole, is_environment_whole, is_issue_whole
from collectord.index.merge_archives import ArchiveTransplant, Derive, OnDisk, Progress
from collectord.index.merge_target import DbRow, Target, Transplanted
from collectord.index.salvage import Salvage
from collectord.model import OutcomeKind

_BY_HAND = frozenset(
    {
        "archives",
        "revisions",
        "revision_files",
        "artifacts",
        "runs",
        "labels",
        "quarantine",
        "issue_revisions",
    }
)
# The event log is read again from its start, a dead daemon's beat tells nothing, rows are computed again.
_LEFT = frozenset({"sources", "daemon", "kept_rows", "alembic_version"})
_PROOF: dict[str, Callable[[DbRow], bool]] = {
    "issue_revisions": lambda row: is_issue_whole(row["digest"], row["record"]),
    "environments": lambda row: is_environment_whole(row.__getitem__),
    "workcell_ends": lambda row: is_end_whole(row.__getitem__),
}


def transplant(
    source: Salvage,
    target: Connection,
    derive: Derive,
    on_disk: OnDisk,
    progress: Progress = lambda _done, _total: None,
) -> Transplanted:
    """Add to an index of the newest schema what `source` has and it has not, in the caller's transaction.

    Artifacts must have their digests, revisions all their artifacts (from the source, the target or an
    archive on disk) and the digest over them, records and events theirs. Ids stay where they are free.
    """
    into = Target(target, Transplanted())
    archives = ArchiveTransplant(source, into, derive, on_disk)
    archives.artifacts()
    archives.archives(progress)
    _quarantine(source, into, archives.moved)
    _issues(source, into)
    for table in tables.metadata.sorted_tables:
        if table.name not in _BY_HAND | _LEFT:
            for row in _proven(source, into, table):
                into.insert(table, row)
    return into.done


def _proven(source: Salvage, target: Target, table: Table) -> Iterator[DbRow]:
    """Rows of a table that nothing is derived for, as far as they prove themselves."""
    proof = _PROOF.get(table.name, _needs_none)
    columns = set(table.columns.keys())
    for row in source.rows(table.name):
        try:
            whole = proof(row)
        except (TypeError, ValueError, AttributeError):
            whole = False
        if whole:
            yield {name: value for name, value in row.items() if name in columns}
        else:
            target.done.count(table.name, taken=False)


def _quarantine(source: Salvage, target: Target, moved: dict[object, int]) -> None:
    """Why archives were not taken: they are not read again before they change."""
    a, table = tables.archives, tables.quarantine
    for row in source.rows(table.name):
        if row["archive_id"] in moved:
            target.insert(table, {**row, "archive_id": moved[row["archive_id"]]})
    in_it = select(a.c.id).filter_by(state=str(OutcomeKind.QUARANTINED))
    target.connection.execute(table.delete().where(table.c.archive_id.not_in(in_it)))


def _issues(source: Salvage, target: Target) -> None:
    for row in _proven(source, target, tables.issue_revisions):
        _issue(source, target, row)
    table = tables.issue_revisions
    query = select(table.c.issue_id, table.c.seen_ms)
    there = {(issue, seen_ms) for issue, seen_ms in target.connection.execute(query)}
    # States that the source's index names and that are not in the target now.
    named = set(source.indexed_issues().values())
    target.done.lost_issues = sorted({issue for issue, _ in named - there if isinstance(issue, str)})


def _issue(source: Salvage, target: Target, row: DbRow) -> None:
    """A state of an issue; where another one has its id it goes to the end, one that is there stays."""
    table = tables.issue_revisions
    query = select(table.c.issue_id, table.c.digest).filter_by(id=row["id"])
    found = target.connection.execute(query).one_or_none()
    if found is not None and tuple(found) == (row["issue_id"], row["digest"]):
        return
    _, seen_ms = source.indexed_issues().get(row["id"], (None, row["seen_ms"]))
    if seen_ms != row["seen_ms"]:
        target.done.doubtful.append(f"issue {row['issue_id']}: when one of its states was first seen")
    target.insert(table, {column: row[column] for column in row if column != "id" or found is None})


def _needs_none(_row: DbRow) -> bool:
    return True
