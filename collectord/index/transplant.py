"""Rows of one index into another: only what proves itself, and everything derived is derived again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table, func, select, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.exc import DatabaseError

from collectord.errors import IndexDamaged
from collectord.index import rows, tables
from collectord.index.check import STATES, is_end_whole, is_environment_whole, is_issue_whole
from collectord.index.codec import CODEC, pack, unpack
from collectord.index.salvage import Salvage
from collectord.model import ARCHIVE, WORLD, FileRecord, Reading

DbRow = dict[str, Any]
Key = tuple[str, str]
UNREADABLE = ""  # in place of the digest of a revision whose row cannot be read
# (kind, name, dir_mtime_ns, files, bytes of an artifact) → the reading they gave
Derive = Callable[[str, str, int, Sequence[FileRecord], Callable[[str], bytes]], Reading]
# Bytes of an artifact that an archive on disk still has: (kind, name, sha256) → bytes or None
OnDisk = Callable[[str, str, str], bytes | None]

_BY_HAND = frozenset({"archives", "revisions", "revision_files", "artifacts", "runs", "labels"})
# The event log is read again from its start, a dead daemon's beat tells nothing.
_LEFT = frozenset({"sources", "daemon", "quarantine", "alembic_version"})
_PROOF: dict[str, Callable[[DbRow], bool]] = {
    "issue_revisions": lambda row: is_issue_whole(row["digest"], row["record"]),
    "environments": lambda row: is_environment_whole(row.__getitem__),
    "workcell_ends": lambda row: is_end_whole(row.__getitem__),
}
# Rows that are brought up to date later: those of the damaged file are newer than those of the backup.
_MUTABLE = frozenset({"environment_observations", "sealed_epochs", "epoch_snapshots", "alerts", "snapshots"})
_MAX_ID = 2**53


@dataclass
class Transplanted:
    """What was taken: rows by table. `lost` revisions are (kind, name, digest), `refused` rows by table.

    `from_disk` artifacts came from archives; `arrivals` are the times of archives whose revision is lost;
    `doubtful` are sentences about what was taken although two places in the source disagree about it.
    """

    taken: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    from_disk: int = 0
    lost: list[tuple[str, str, str]] = field(default_factory=list)
    arrivals: dict[Key, tuple[int, int | None]] = field(default_factory=dict)
    doubtful: list[str] = field(default_factory=list)
    lost_issues: list[str] = field(default_factory=list)

    def count(self, table: str, *, taken: bool) -> None:
        """One row more of a table, taken or refused."""
        counts = self.taken if taken else self.refused
        counts[table] = counts.get(table, 0) + 1


def transplant(source: Salvage, target: Connection, derive: Derive, on_disk: OnDisk) -> Transplanted:
    """Add to an index of the newest schema what `source` has and it has not, in the caller's transaction.

    Artifacts must have their digests, revisions all their artifacts (from the source, the target or an
    archive on disk) and the digest over them, records and events theirs. Ids stay where they are free.
    """
    work = _Work(source, target, derive, on_disk)
    work.artifacts()
    work.archives()
    for table in tables.metadata.sorted_tables:
        if table.name not in _BY_HAND | _LEFT:
            work.others(table)
    work.done.lost_issues = work.lost_issues()
    return work.done


class _Work:
    """One transplant; the target's ids are kept in maps, so that nothing is looked up twice."""

    def __init__(self, source: Salvage, target: Connection, derive: Derive, on_disk: OnDisk) -> None:
        self._source, self._target, self._derive, self._on_disk = source, target, derive, on_disk
        self.done = Transplanted()
        a, r = tables.archives, tables.revisions
        self._ids: dict[Key, int] = {
            (k, n): i for i, k, n in target.execute(select(a.c.id, a.c.kind, a.c.name))
        }
        self._taken_ids = set(self._ids.values())
        self._numbers: dict[int, dict[str, int]] = {}
        for archive, digest, number in target.execute(select(r.c.archive_id, r.c.digest, r.c.number)):
            self._numbers.setdefault(archive, {})[digest] = number
        self._next_revision = _next(target, r)
        self._runs: dict[object, DbRow] = {}

    def artifacts(self) -> None:
        """Every artifact whose bytes have its digest."""
        for row in self._source.rows("artifacts"):
            try:
                raw = unpack(row["sha256"], row["codec"], row["data"])
            except (IndexDamaged, TypeError):
                self.done.count("artifacts", taken=False)
                continue
            self._insert(tables.artifacts, {**row, "size": len(raw)})

    def archives(self) -> None:
        """Archives with their revisions; one whose current revision is lost is read again from disk."""
        revisions = _grouped(filter(self._is_sound, self._source.rows("revisions")), "archive_id")
        self._runs = {row["revision_id"]: row for row in self._source.rows("runs")}
        files = _grouped(self._source.rows("revision_files"), "revision_id")
        for row in self._source.rows("archives"):
            if row["kind"] not in (ARCHIVE, WORLD) or row["state"] not in STATES:
                self.done.count("archives", taken=False)
                continue
            self._archive(row, revisions.get(row["id"], []), files)

    def _is_sound(self, revision: DbRow) -> bool:
        sound = all(isinstance(revision[name], int) for name in ("number", "dir_mtime_ns", "seen_ms"))
        if not sound:
            self.done.count("revisions", taken=False)
        return sound

    def _archive(self, row: DbRow, revisions: list[DbRow], files: dict[int, list[DbRow]]) -> None:
        key = (row["kind"], row["name"])
        known = self._ids.get(key)
        archive_id = known if known is not None else self._free_id(row["id"])
        values = {**row, "id": archive_id, "revision": None}
        if known is None and not self._insert(tables.archives, values):
            return
        self._ids[key] = archive_id
        current = None
        for revision in sorted(revisions, key=lambda found: found["number"]):
            number = self._revision(key, archive_id, revision, files.get(revision["id"], []))
            current = number if revision["number"] == row["revision"] else current
        if row["revision"] not in (None, *(found["number"] for found in revisions)):
            current = self._unreadable(key, archive_id, row["revision"])
        self._finish(key, archive_id, row, current, known is not None)

    def _unreadable(self, key: Key, archive_id: int, number: int) -> int | None:
        """The current revision, of which no row can be read: the backup's of that number, else it is lost."""
        if number in self._numbers.get(archive_id, {}).values():
            return number
        self.done.lost.append((*key, UNREADABLE))
        return None

    def _finish(self, key: Key, archive_id: int, row: DbRow, current: int | None, was_known: bool) -> None:
        """Point the archive to its current revision; without it, have it read again from disk."""
        lost = current is None and row["revision"] is not None
        values = {
            name: row[name] for name in ("state", "reason", "signature", "gone_ms", "tries", "changed_ms")
        }
        if not lost:
            values |= {"revision": current, "complete_ms": row["complete_ms"]}
        elif was_known:
            values = {"signature": None}
        else:
            values |= {"signature": None}
            self.done.arrivals[key] = (row["first_seen_ms"], row["complete_ms"])
        try:
            with self._target.begin_nested():
                self._target.execute(update(tables.archives).filter_by(id=archive_id).values(values))
        except (DatabaseError, OverflowError):
            self.done.count("archives", taken=False)

    def _revision(self, key: Key, archive_id: int, row: DbRow, files: list[DbRow]) -> int | None:
        """The number of a revision in the target, there before or now; None if it is lost."""
        there = self._numbers.get(archive_id, {}).get(row["digest"])
        if there is not None:
            return there
        records = [FileRecord(f["name"], f["state"], f["sha256"], f["mtime_ns"], f["reason"]) for f in files]
        try:
            reading = self._derive(*key, row["dir_mtime_ns"], records, lambda sha: self._bytes(key, sha))
        except (KeyError, ValueError, TypeError, IndexDamaged):
            reading = None
        if reading is None or reading.digest != row["digest"]:
            self.done.lost.append((*key, str(row["digest"])))
            return None
        if _disagree(reading, self._runs.get(row["id"])):
            self.done.doubtful.append(
                f"{key[1]}: its times: either the pinned time of its directory or its stored run was damaged"
            )
        return self._add(archive_id, row, reading)

    def _add(self, archive_id: int, row: DbRow, reading: Reading) -> int:
        revision_id = self._next_revision
        self._next_revision += 1
        number = self._free_number(archive_id, row["number"])
        made = rows.revision_row(revision_id, archive_id, number, reading, row["seen_ms"])
        self._target.execute(tables.revisions.insert(), made)
        if kept := rows.file_rows(revision_id, reading.files):
            self._target.execute(tables.revision_files.insert(), kept)
        if reading.run is not None:
            self._target.execute(tables.runs.insert(), rows.run_row(revision_id, reading.run))
            if reading.run.label is not None:
                self._target.execute(tables.labels.insert(), rows.label_row(revision_id, reading.run.label))
        self._numbers.setdefault(archive_id, {})[reading.digest] = number
        self.done.count("revisions", taken=True)
        return number

    def _bytes(self, key: Key, sha256: str) -> bytes:
        """An artifact of the target, put there from the archive on disk where it is missing; or KeyError."""
        table = tables.artifacts
        row = self._target.execute(select(table.c.codec, table.c.data).filter_by(sha256=sha256)).one_or_none()
        if row is not None:
            return unpack(sha256, row.codec, row.data)
        data = self._on_disk(*key, sha256)
        if data is None:
            raise KeyError(sha256)
        self._insert(table, {"sha256": sha256, "size": len(data), "codec": CODEC, "data": pack(data)})
        self.done.from_disk += 1
        return data

    def others(self, table: Table) -> None:
        """Rows of a table that nothing is derived for; what the target has under the same key stays."""
        proof = _PROOF.get(table.name, _needs_none)
        columns = set(table.columns.keys())
        for row in self._source.rows(table.name):
            try:
                whole = proof(row)
            except (TypeError, ValueError, AttributeError):
                whole = False
            if not whole:
                self.done.count(table.name, taken=False)
                continue
            kept = {name: value for name, value in row.items() if name in columns}
            if table.name == "issue_revisions":
                self._issue(kept)
            else:
                self._insert(table, kept)

    def _issue(self, row: DbRow) -> None:
        """A state of an issue; where another one has its id it goes to the end, one that is there stays."""
        table = tables.issue_revisions
        found = self._target.execute(
            select(table.c.issue_id, table.c.digest).filter_by(id=row["id"])
        ).one_or_none()
        if found is not None and tuple(found) == (row["issue_id"], row["digest"]):
            return
        _, seen_ms = self._source.indexed_issues().get(row["id"], (None, row["seen_ms"]))
        if seen_ms != row["seen_ms"]:
            self.done.doubtful.append(f"issue {row['issue_id']}: when one of its states was first seen")
        self._insert(table, {column: row[column] for column in row if column != "id" or found is None})

    def lost_issues(self) -> list[str]:
        """Issues of which the source's index names a state that the target has not."""
        table = tables.issue_revisions
        query = select(table.c.issue_id, table.c.seen_ms)
        there = {(issue, seen_ms) for issue, seen_ms in self._target.execute(query)}
        named = set(self._source.indexed_issues().values())
        return sorted({issue for issue, _ in named - there if isinstance(issue, str)})

    def _insert(self, table: Table, row: DbRow) -> bool:
        """Insert a row unless its key is there; whether the target now has such a row."""
        try:
            with self._target.begin_nested():
                statement = upsert(table)
                if table.name in _MUTABLE:
                    keys = [column.name for column in table.primary_key]
                    newest = statement.on_conflict_do_update(index_elements=keys, set_=row)
                else:
                    newest = statement.on_conflict_do_nothing()
                done = self._target.execute(newest, row)
        except (DatabaseError, TypeError, ValueError, OverflowError):
            self.done.count(table.name, taken=False)
            return False
        if done.rowcount:
            self.done.count(table.name, taken=True)
        return True

    def _free_id(self, wanted: object) -> int:
        usable = isinstance(wanted, int) and 0 < wanted < _MAX_ID and wanted not in self._taken_ids
        chosen = wanted if usable and isinstance(wanted, int) else max(self._taken_ids, default=0) + 1
        self._taken_ids.add(chosen)
        return chosen

    def _free_number(self, archive_id: int, wanted: object) -> int:
        taken = set(self._numbers.get(archive_id, {}).values())
        if isinstance(wanted, int) and 0 < wanted < _MAX_ID and wanted not in taken:
            return wanted
        return max(taken, default=0) + 1


def _needs_none(_row: DbRow) -> bool:
    return True


def _next(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.coalesce(func.max(table.c.id), 0))).scalar_one()) + 1


def _grouped(found: Iterable[DbRow], column: str) -> dict[int, list[DbRow]]:
    groups: dict[int, list[DbRow]] = {}
    for row in found:
        groups.setdefault(row[column], []).append(row)
    return groups


def _disagree(reading: Reading, stored: DbRow | None) -> bool:
    """Whether a stored run that can be read dates itself otherwise than what was derived now."""
    if stored is None or reading.run is None:
        return False
    derived = rows.run_row(0, reading.run)
    return any(derived[name] != stored[name] for name in ("started_ms", "builder_summary"))
