"""Rows of one index into another: only what proves itself, and everything derived is derived again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from sqlite3 import DatabaseError, OperationalError

from collectord.errors import IndexDamaged
from collectord.index import rows
from collectord.index.engine import IndexConnection
from collectord.index.rows import CODEC, pack, unpack
from collectord.index.statements import DbRow, insert, inserting, scalar
from collectord.index.tables import names_of_columns, names_of_tables, primary_key
from collectord.model import ARCHIVE, WORLD, FileRecord, OutcomeKind, Progress, Reading, Run
from collectord.repair.check import STATES, is_end_intact, is_environment_intact, is_issue_intact
from collectord.repair.salvage import Salvage

Key = tuple[str, str]
UNREADABLE = ""  # in place of the digest of a revision whose row cannot be read
MAX_ID = 2**53
# Rows that are brought up to date later: those of the source are newer than those of the target.
_MUTABLE = frozenset(
    {
        "environment_observations",
        "kernel_sessions",
        "sealed_epochs",
        "epoch_snapshots",
        "alerts",
        "snapshots",
    }
)


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


@dataclass(frozen=True, slots=True)
class Target:
    """The index that rows go into, in the caller's transaction, and the count of what was taken."""

    connection: IndexConnection
    done: Transplanted

    def insert(self, table: str, row: DbRow) -> bool:
        """Insert a row unless its key is there; whether the target now has such a row.

        A row that the table cannot hold is refused, which undoes nothing but its own statement. Raises
        OperationalError where the target cannot be written at all (a full disk).
        """
        keys = primary_key(table) if table in _MUTABLE else ()
        try:
            written = insert(self.connection, table, row, keys=keys)
        except OperationalError:
            raise
        except (DatabaseError, TypeError, ValueError, OverflowError):
            self.done.count(table, taken=False)
            return False
        if written:
            self.done.count(table, taken=True)
        return True


# (kind, name, dir_mtime_ns, files, bytes of an artifact) → the reading they gave
Derive = Callable[[str, str, int, Sequence[FileRecord], Callable[[str], bytes]], Reading]
# Bytes of an artifact that an archive on disk still has: (kind, name, sha256) → bytes or None
OnDisk = Callable[[str, str, str], bytes | None]


class ArchiveTransplant:
    """Belongs to one transplant; the target's ids are kept in maps, so that nothing is looked up twice.

    `moved` are archives by the id that they had in the source.
    """

    def __init__(self, source: Salvage, target: Target, derive: Derive, on_disk: OnDisk) -> None:
        self._source, self._target, self._derive, self._on_disk = source, target, derive, on_disk
        self._connection, self._done = target.connection, target.done
        listed = self._connection.execute("SELECT id, kind, name FROM archives")
        self._ids: dict[Key, int] = {(kind, name): row_id for row_id, kind, name in listed}
        self._taken_ids = set(self._ids.values())
        self._numbers: dict[int, dict[str, int]] = {}
        numbered = self._connection.execute("SELECT archive_id, digest, number FROM revisions")
        for archive, digest, number in numbered:
            self._numbers.setdefault(archive, {})[digest] = number
        self._next_revision = int(scalar(self._connection, "SELECT coalesce(max(id), 0) FROM revisions")) + 1
        self._runs: dict[object, DbRow] = {}
        self.moved: dict[object, int] = {}

    def artifacts(self) -> None:
        """Every artifact whose bytes have its digest."""
        for row in self._source.rows("artifacts"):
            try:
                raw = unpack(row["sha256"], row["codec"], row["data"])
            except (IndexDamaged, TypeError):
                self._done.count("artifacts", taken=False)
                continue
            self._target.insert("artifacts", {**row, "size": len(raw)})

    def archives(self, progress: Progress) -> None:
        """Archives with their revisions; one whose current revision is lost is read again from disk."""
        revisions = _grouped(filter(self._is_sound, self._source.rows("revisions")), "archive_id")
        self._runs = {row["revision_id"]: row for row in self._source.rows("runs")}
        files = _grouped(self._source.rows("revision_files"), "revision_id")
        for done, row in enumerate(self._source.rows("archives"), 1):
            progress(done, 0)
            if row["kind"] not in (ARCHIVE, WORLD) or row["state"] not in STATES:
                self._done.count("archives", taken=False)
                continue
            self._archive(row, revisions.get(row["id"], []), files)

    def _is_sound(self, revision: DbRow) -> bool:
        sound = all(isinstance(revision[name], int) for name in ("number", "dir_mtime_ns", "seen_ms"))
        if not sound:
            self._done.count("revisions", taken=False)
        return sound

    def _archive(self, row: DbRow, revisions: list[DbRow], files: dict[int, list[DbRow]]) -> None:
        key = (row["kind"], row["name"])
        known = self._ids.get(key)
        archive_id = known if known is not None else self._free_id(row["id"])
        values = {**row, "id": archive_id, "revision": None}
        if known is None and not self._target.insert("archives", values):
            return
        self._ids[key] = self.moved[row["id"]] = archive_id
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
        self._done.lost.append((*key, UNREADABLE))
        return None

    def _finish(self, key: Key, archive_id: int, row: DbRow, current: int | None, was_known: bool) -> None:
        """Point the archive to its current revision; without it, have it read again from disk."""
        lost = current is None and row["revision"] is not None
        values = {
            name: row[name] for name in ("state", "reason", "signature", "gone_ms", "tries", "changed_ms")
        }
        # It is the look's that gave the signature, and a damaged one would hide an edit.
        values["glance"] = None
        if not lost:
            values |= {"revision": current, "complete_ms": row["complete_ms"]}
        elif was_known:
            values = {"signature": None}
        else:
            values |= {"signature": None}
            self._done.arrivals[key] = (row["first_seen_ms"], row["complete_ms"])
        try:
            changes = ", ".join(f"{name} = :{name}" for name in values)
            statement = f"UPDATE archives SET {changes} WHERE id = :id"
            self._connection.execute(statement, {**values, "id": archive_id})
        except OperationalError:
            raise
        except (DatabaseError, OverflowError):
            self._done.count("archives", taken=False)

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
            self._done.lost.append((*key, str(row["digest"])))
            return None
        if _disagree(reading, self._runs.get(row["id"])):
            self._done.doubtful.append(
                f"{key[1]}: its times: either the pinned time of its directory or its stored run was damaged"
            )
        return self._add(archive_id, row, reading)

    def _add(self, archive_id: int, row: DbRow, reading: Reading) -> int:
        revision_id = self._next_revision
        self._next_revision += 1
        number = self._free_number(archive_id, row["number"])
        made = rows.revision_row(revision_id, archive_id, number, reading, row["seen_ms"])
        insert(self._connection, "revisions", made)
        if listed := rows.file_rows(revision_id, reading.files):
            self._connection.executemany(inserting("revision_files", listed[0]), listed)
        if reading.run is not None:
            insert(self._connection, "runs", rows.run_row(revision_id, reading.run))
            if reading.run.label is not None:
                insert(self._connection, "labels", rows.label_row(revision_id, reading.run.label))
            self._store_row(reading.run)
        self._numbers.setdefault(archive_id, {})[reading.digest] = number
        self._done.count("revisions", taken=True)
        return number

    def _store_row(self, run: Run) -> None:
        """Exports believe a kept row: the one derived now goes over one that is there."""
        for row in rows.kept_rows([run.row] if run.row else []):
            insert(self._connection, "kept_rows", row, keys=("key",))

    def _bytes(self, key: Key, sha256: str) -> bytes:
        """An artifact of the target, put there from the archive on disk where it is missing; or KeyError."""
        query = "SELECT codec, data FROM artifacts WHERE sha256 = ?"
        row = self._connection.execute(query, (sha256,)).fetchone()
        if row is not None:
            return unpack(sha256, *row)
        data = self._on_disk(*key, sha256)
        if data is None:
            raise KeyError(sha256)
        kept = {"sha256": sha256, "size": len(data), "codec": CODEC, "data": pack(data)}
        self._target.insert("artifacts", kept)
        self._done.from_disk += 1
        return data

    def _free_id(self, wanted: object) -> int:
        usable = isinstance(wanted, int) and 0 < wanted < MAX_ID and wanted not in self._taken_ids
        chosen = wanted if usable and isinstance(wanted, int) else max(self._taken_ids, default=0) + 1
        self._taken_ids.add(chosen)
        return chosen

    def _free_number(self, archive_id: int, wanted: object) -> int:
        taken = set(self._numbers.get(archive_id, {}).values())
        if isinstance(wanted, int) and 0 < wanted < MAX_ID and wanted not in taken:
            return wanted
        return max(taken, default=0) + 1


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
    "issue_revisions": lambda row: is_issue_intact(row["digest"], row["record"]),
    "environments": lambda row: is_environment_intact(row.__getitem__),
    "workcell_ends": lambda row: is_end_intact(row.__getitem__),
}


def transplant(
    source: Salvage,
    target: IndexConnection,
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
    for table in names_of_tables():
        if table not in _BY_HAND | _LEFT:
            for row in _proven(source, into, table):
                into.insert(table, row)
    return into.done


def _proven(source: Salvage, target: Target, table: str) -> Iterator[DbRow]:
    """Rows of a table that nothing is derived for, as far as they prove themselves."""
    proof = _PROOF.get(table, _needs_none)
    columns = set(names_of_columns(table))
    for row in source.rows(table):
        try:
            whole = proof(row)
        except (TypeError, ValueError, AttributeError):
            whole = False
        if whole:
            yield {name: value for name, value in row.items() if name in columns}
        else:
            target.done.count(table, taken=False)


def _quarantine(source: Salvage, target: Target, moved: dict[object, int]) -> None:
    """Why archives were not taken: they are not read again before they change."""
    for row in source.rows("quarantine"):
        if row["archive_id"] in moved:
            target.insert("quarantine", {**row, "archive_id": moved[row["archive_id"]]})
    in_it = "SELECT id FROM archives WHERE state = ?"
    statement = f"DELETE FROM quarantine WHERE archive_id NOT IN ({in_it})"
    target.connection.execute(statement, (OutcomeKind.QUARANTINED,))


def _issues(source: Salvage, target: Target) -> None:
    for row in _proven(source, target, "issue_revisions"):
        _issue(source, target, row)
    query = "SELECT issue_id, seen_ms FROM issue_revisions"
    there = {(issue, seen_ms) for issue, seen_ms in target.connection.execute(query)}
    # States that the source's index names and that are not in the target now.
    named = set(source.indexed_issues().values())
    target.done.lost_issues = sorted({issue for issue, _ in named - there if isinstance(issue, str)})


def _issue(source: Salvage, target: Target, row: DbRow) -> None:
    """A state of an issue; where another one has its id it goes to the end, one that is there stays."""
    query = "SELECT issue_id, digest FROM issue_revisions WHERE id = ?"
    found = target.connection.execute(query, (row["id"],)).fetchone()
    if found is not None and tuple(found) == (row["issue_id"], row["digest"]):
        return
    _, seen_ms = source.indexed_issues().get(row["id"], (None, row["seen_ms"]))
    if seen_ms != row["seen_ms"]:
        target.done.doubtful.append(f"issue {row['issue_id']}: when one of its states was first seen")
    target.insert(
        "issue_revisions", {column: row[column] for column in row if column != "id" or found is None}
    )


def _needs_none(_row: DbRow) -> bool:
    return True
