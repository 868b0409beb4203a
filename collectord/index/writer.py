"""The single writer of the index. Only the thread that holds the state lock may own one."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, func, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from collectord.index import rows, tables
from collectord.index.engine import open_engine, readable_errors
from collectord.index.files import require_whole_log
from collectord.index.schema import upgrade
from collectord.model import CoreFile, KeptRow, Known, Outcome, OutcomeKind, Reading

DbRow = dict[str, Any]
KnownKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Seen:
    """A directory that was looked at and not read into a revision: ignored, quarantined or only touched.

    `tries` counts the tries that failed for this.
    """

    kind: str
    name: str
    outcome: OutcomeKind
    signature: str | None
    reason: str | None = None
    detail: str | None = None
    tries: int = 1


@dataclass(frozen=True, slots=True)
class Gone:
    """A directory that is believed to be gone."""

    kind: str
    name: str


Change = Reading | Seen | Gone


class IndexWriter:
    """Applies changes to the index, one transaction a call, and remembers what the index knows."""

    def __init__(self, path: Path) -> None:
        """Open the index file, making or upgrading it first; raises IndexTooNew, IndexDamaged."""
        self.path = path
        require_whole_log(path)
        self.upgraded = upgrade(path)
        self._engine = open_engine(path, read_only=False)
        with readable_errors(path):
            self._connection = self._engine.connect()
            with self._connection.begin():
                archive_ids, self.known = _load_known(self._connection)
                next_archive = _next_id(self._connection, tables.archives)
                self._ids = _Ids(archive_ids, next_archive, _next_id(self._connection, tables.revisions))

    def close(self) -> None:
        """Close the connection; the last one to close checkpoints the log."""
        self._connection.close()
        self._engine.dispose()

    def first_ingest_ms(self, now_ms: int) -> int:
        """When the first ingest into this index began; set by the first call."""
        with readable_errors(self.path), self._connection.begin():
            self._connection.execute(
                upsert(tables.index_info)
                .values(key="first_ingest_ms", value=str(now_ms))
                .on_conflict_do_nothing()
            )
            return int(info(self._connection, "first_ingest_ms") or now_ms)

    def apply(self, changes: Sequence[Change], *, now_ms: int, first_ingest_ms: int) -> list[Outcome]:
        """Apply changes to distinct directories in one transaction; durable when this returns.

        `complete_ms` of an archive that was already there at the first ingest is its pinned mtime.
        """
        plan = _Plan(self.known, self._ids, now_ms, first_ingest_ms)
        with readable_errors(self.path), self._connection.begin():
            outcomes = [plan.add(self._connection, change) for change in changes]
            plan.write(self._connection)
        self.known.update(plan.known)
        self._ids.archives.update(plan.archive_ids)
        self._ids = _Ids(self._ids.archives, plan.next_archive, plan.next_revision)
        return outcomes

    def info(self, key: str) -> str | None:
        """A value of index_info."""
        with self.transaction() as connection:
            return info(connection, key)

    def set_info(self, key: str, value: str) -> None:
        """Write a value of index_info."""
        with self.transaction() as connection:
            put_info(connection, key, value)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A write transaction for the smaller stores (`issues`, `events`, `snapshots`)."""
        with readable_errors(self.path), self._connection.begin():
            yield self._connection


def info(connection: Connection, key: str) -> str | None:
    """A value of index_info."""
    return connection.execute(select(tables.index_info.c.value).filter_by(key=key)).scalar()


def put_info(connection: Connection, key: str, value: str) -> None:
    """Write a value of index_info in a transaction that is open."""
    statement = upsert(tables.index_info).values(key=key, value=value)
    connection.execute(statement.on_conflict_do_update(index_elements=["key"], set_={"value": value}))


def _next_id(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.coalesce(func.max(table.c.id), 0))).scalar_one()) + 1


def _load_known(connection: Connection) -> tuple[dict[KnownKey, int], dict[KnownKey, Known]]:
    ids, known = {}, {}
    for row in connection.execute(known_query()):
        key = (sys.intern(row.kind), row.name)
        ids[key], known[key] = row.id, rows.known_from(row)
    return ids, known


def known_query() -> Any:
    """Every directory with the digest of its current revision."""
    a, r = tables.archives, tables.revisions
    current = (r.c.archive_id == a.c.id) & (r.c.number == a.c.revision)
    return select(a, r.c.digest).select_from(a.outerjoin(r, current))


@dataclass(frozen=True, slots=True)
class _Ids:
    """Primary keys: of the archives that there are, and the next ones."""

    archives: dict[KnownKey, int]
    next_archive: int
    next_revision: int


class _Plan:
    """The rows of one transaction, collected first so that each table is written in one go."""

    def __init__(self, known: Mapping[KnownKey, Known], ids: _Ids, now_ms: int, first_ingest_ms: int) -> None:
        self._old, self._old_ids = known, ids.archives
        self.next_archive, self.next_revision = ids.next_archive, ids.next_revision
        self._now, self._first_ingest = now_ms, first_ingest_ms
        self.known: dict[KnownKey, Known] = {}
        self.archive_ids: dict[KnownKey, int] = {}
        self._inserts: dict[str, list[DbRow]] = {}
        self._files: list[CoreFile] = []
        self._rows: list[KeptRow] = []
        self._updates: list[tuple[int, DbRow]] = []
        self._left_quarantine: list[int] = []

    def add(self, connection: Connection, change: Change) -> Outcome:
        known = self._old.get((change.kind, change.name))
        if isinstance(change, Gone):
            return self._add_gone(change, known)
        if isinstance(change, Seen):
            return self._add_seen(change, known)
        return self._add_reading(connection, change, known)

    def _add_gone(self, change: Gone, known: Known | None) -> Outcome:
        assert known is not None
        self._store(replace(known, gone_ms=self._now), {"gone_ms": self._now})
        return Outcome(change.name, OutcomeKind.VANISHED, "gone")

    def _add_seen(self, seen: Seen, known: Known | None) -> Outcome:
        touched = seen.outcome is OutcomeKind.UNCHANGED and known is not None
        before = known or Known(seen.kind, seen.name, "", None, None, None, None, None, 0)
        state = before.state if touched else str(seen.outcome)
        reason = before.reason if touched else seen.reason
        tries = before.tries + seen.tries if seen.outcome is OutcomeKind.QUARANTINED else 0
        after = replace(
            before, state=state, reason=reason, signature=seen.signature, gone_ms=None, tries=tries
        )
        archive_id = self._store(after, _archive_values(after))
        if seen.outcome is OutcomeKind.QUARANTINED:
            self._quarantine(archive_id, seen)
        elif before.state == OutcomeKind.QUARANTINED and not touched:
            self._left_quarantine.append(archive_id)
        return Outcome(seen.name, seen.outcome, reason, after.revision)

    def _quarantine(self, archive_id: int, seen: Seen) -> None:
        self._insert(
            "quarantine",
            {
                "archive_id": archive_id,
                "reason": seen.reason or "unknown",
                "detail": seen.detail,
                "first_ms": self._now,
                "last_ms": self._now,
            },
        )

    def _add_reading(self, connection: Connection, reading: Reading, known: Known | None) -> Outcome:
        state = OutcomeKind.PARTIAL if reading.partial else OutcomeKind.INDEXED
        same = known is not None and known.digest == reading.digest and known.state == state
        number = known.revision if known is not None and known.digest == reading.digest else None
        old_id = self._old_ids.get((reading.kind, reading.name))
        # After a recovery an archive may have revisions of which none is the current one.
        if number is None and old_id is not None:
            number = _existing_revision(connection, old_id, reading.digest)
        is_new = number is None
        number = number if number is not None else _next_number(connection, old_id)
        after = Known(
            reading.kind,
            reading.name,
            str(state),
            reading.partial,
            reading.signature,
            number,
            reading.digest,
            None,
            0,
        )
        values = _archive_values(after)
        if not same:
            values["changed_ms"] = self._now
        if known is None or known.revision is None:
            values["complete_ms"] = self._complete_ms(reading)
        archive_id = self._store(after, values)
        if known is not None and known.state == OutcomeKind.QUARANTINED:
            self._left_quarantine.append(archive_id)
        if is_new:
            self._add_revision(archive_id, number, reading)
        return Outcome(reading.name, OutcomeKind.UNCHANGED if same else state, reading.partial, number)

    def _complete_ms(self, reading: Reading) -> int:
        pinned_ms = reading.dir_mtime_ns // 1_000_000
        return pinned_ms if pinned_ms <= self._first_ingest else self._now

    def _add_revision(self, archive_id: int, number: int, reading: Reading) -> None:
        revision_id = self.next_revision
        self.next_revision += 1
        self._insert("revisions", rows.revision_row(revision_id, archive_id, number, reading, self._now))
        self._files.extend(reading.files)
        self._inserts.setdefault("revision_files", []).extend(rows.file_rows(revision_id, reading.files))
        if reading.run is not None:
            self._insert("runs", rows.run_row(revision_id, reading.run))
            if reading.run.row is not None:
                self._rows.append(reading.run.row)
            if reading.run.label is not None:
                self._insert("labels", rows.label_row(revision_id, reading.run.label))

    def _insert(self, table: str, row: DbRow) -> None:
        self._inserts.setdefault(table, []).append(row)

    def _store(self, after: Known, values: DbRow) -> int:
        key = (after.kind, after.name)
        self.known[key] = after
        archive_id = self._old_ids.get(key)
        if archive_id is not None:
            self._updates.append((archive_id, values))
            return archive_id
        archive_id = self.archive_ids[key] = self.next_archive
        self.next_archive += 1
        defaults = {"first_seen_ms": self._now, "changed_ms": self._now, "complete_ms": None}
        self._insert("archives", {"id": archive_id, **defaults, **values})
        return archive_id

    def write(self, connection: Connection) -> None:
        self._inserts["artifacts"] = rows.artifact_rows(self._files)
        self._inserts["kept_rows"] = rows.kept_rows(self._rows)
        for name in ("archives", "revisions", "artifacts", "revision_files", "runs", "labels", "kept_rows"):
            if batch := self._inserts.get(name):
                _insert(connection, tables.metadata.tables[name], batch)
        for archive_id, values in self._updates:
            connection.execute(
                update(tables.archives).where(tables.archives.c.id == archive_id).values(values)
            )
        _write_quarantine(connection, self._inserts.get("quarantine", ()), self._left_quarantine)


def _insert(connection: Connection, table: Table, batch: Sequence[DbRow]) -> None:
    statement = upsert(table)
    if table in (tables.artifacts, tables.kept_rows):
        # Two archives can carry the same bytes; nothing else may meet a row that is there.
        statement = statement.on_conflict_do_nothing()
    compiled = statement.compile(dialect=connection.dialect, column_keys=list(batch[0]))
    assert compiled.positiontup is not None
    # Straight to the driver: making parameters of thousands of rows costs as much as writing them.
    values = itemgetter(*compiled.positiontup)
    connection.exec_driver_sql(str(compiled), [values(row) for row in batch])


def _archive_values(known: Known) -> DbRow:
    return {
        "kind": known.kind,
        "name": known.name,
        "state": known.state,
        "reason": known.reason,
        "signature": known.signature,
        "revision": known.revision,
        "gone_ms": known.gone_ms,
        "tries": known.tries,
    }


def _existing_revision(connection: Connection, archive_id: int, digest: str) -> int | None:
    return connection.execute(
        select(tables.revisions.c.number).filter_by(archive_id=archive_id, digest=digest)
    ).scalar()


def _next_number(connection: Connection, archive_id: int | None) -> int:
    if archive_id is None:
        return 1
    newest = select(func.max(tables.revisions.c.number)).filter_by(archive_id=archive_id)
    return int(connection.execute(newest).scalar_one() or 0) + 1


def _write_quarantine(connection: Connection, entered: Iterable[DbRow], left: Iterable[int]) -> None:
    table = tables.quarantine
    for row in entered:
        statement = upsert(table).values(row)
        values = {"reason": row["reason"], "detail": row["detail"], "last_ms": row["last_ms"]}
        connection.execute(statement.on_conflict_do_update(index_elements=["archive_id"], set_=values))
    for archive_id in left:
        connection.execute(table.delete().where(table.c.archive_id == archive_id))
