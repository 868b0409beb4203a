"""Archives of one index into another, with artifacts and revisions; what is derived is derived again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from sqlalchemy import Connection, Table, func, select, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.exc import DatabaseError, OperationalError

from collectord.errors import IndexDamaged
from collectord.index import rows, tables
from collectord.index.check import STATES
from collectord.index.codec import CODEC, pack, unpack
from collectord.index.merge_target import MAX_ID, UNREADABLE, DbRow, Key, Target
from collectord.index.salvage import Salvage
from collectord.model import ARCHIVE, WORLD, FileRecord, Reading, Run

# (kind, name, dir_mtime_ns, files, bytes of an artifact) → the reading they gave
Derive = Callable[[str, str, int, Sequence[FileRecord], Callable[[str], bytes]], Reading]
# Bytes of an artifact that an archive on disk still has: (kind, name, sha256) → bytes or None
OnDisk = Callable[[str, str, str], bytes | None]
Progress = Callable[[int, int], None]  # (archives done, 0: how many there are is not known)


class ArchiveTransplant:
    """Belongs to one transplant; the target's ids are kept in maps, so that nothing is looked up twice.

    `moved` are archives by the id that they had in the source.
    """

    def __init__(self, source: Salvage, target: Target, derive: Derive, on_disk: OnDisk) -> None:
        self._source, self._target, self._derive, self._on_disk = source, target, derive, on_disk
        self._connection, self._done = target.connection, target.done
        a, r = tables.archives, tables.revisions
        self._ids: dict[Key, int] = {
            (k, n): i for i, k, n in self._connection.execute(select(a.c.id, a.c.kind, a.c.name))
        }
        self._taken_ids = set(self._ids.values())
        self._numbers: dict[int, dict[str, int]] = {}
        for archive, digest, number in self._connection.execute(
            select(r.c.archive_id, r.c.digest, r.c.number)
        ):
            self._numbers.setdefault(archive, {})[digest] = number
        self._next_revision = _next(self._connection, r)
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
            self._target.insert(tables.artifacts, {**row, "size": len(raw)})

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
        if known is None and not self._target.insert(tables.archives, values):
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
        if not lost:
            values |= {"revision": current, "complete_ms": row["complete_ms"]}
        elif was_known:
            values = {"signature": None}
        else:
            values |= {"signature": None}
            self._done.arrivals[key] = (row["first_seen_ms"], row["complete_ms"])
        try:
            self._connection.execute(update(tables.archives).filter_by(id=archive_id).values(values))
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
        self._connection.execute(tables.revisions.insert(), made)
        if kept := rows.file_rows(revision_id, reading.files):
            self._connection.execute(tables.revision_files.insert(), kept)
        if reading.run is not None:
            self._connection.execute(tables.runs.insert(), rows.run_row(revision_id, reading.run))
            if reading.run.label is not None:
                self._connection.execute(
                    tables.labels.insert(), rows.label_row(revision_id, reading.run.label)
                )
            self._keep_row(reading.run)
        self._numbers.setdefault(archive_id, {})[reading.digest] = number
        self._done.count("revisions", taken=True)
        return number

    def _keep_row(self, run: Run) -> None:
        """Exports believe a kept row: the one derived now goes over one that is there."""
        for row in rows.kept_rows([run.row] if run.row else []):
            statement = upsert(tables.kept_rows).values(row)
            newest = statement.on_conflict_do_update(index_elements=["key"], set_={"data": row["data"]})
            self._connection.execute(newest)

    def _bytes(self, key: Key, sha256: str) -> bytes:
        """An artifact of the target, put there from the archive on disk where it is missing; or KeyError."""
        table = tables.artifacts
        row = self._connection.execute(
            select(table.c.codec, table.c.data).filter_by(sha256=sha256)
        ).one_or_none()
        if row is not None:
            return unpack(sha256, row.codec, row.data)
        data = self._on_disk(*key, sha256)
        if data is None:
            raise KeyError(sha256)
        self._target.insert(table, {"sha256": sha256, "size": len(data), "codec": CODEC, "data": pack(data)})
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
