"""The single writer of the index. Only the thread that holds the state lock may own one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from collectord.index import rows
from collectord.index.engine import IndexConnection, connect, readable_errors, transaction
from collectord.index.files import require_whole_log
from collectord.index.info import info, put_info
from collectord.index.schema import upgrade
from collectord.index.statements import KNOWN, DbRow, insert, inserting, scalar
from collectord.model import CoreFile, KeptRow, Known, Outcome, OutcomeKind, Reading

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
        with readable_errors(path):
            self._connection = connect(path, read_only=False)
            with transaction(self._connection) as connection:
                self.known = _load_known(connection)
                self._next = _NextIds(_next_id(connection, "archives"), _next_id(connection, "revisions"))

    def close(self) -> None:
        """Close the connection; the last one to close checkpoints the log."""
        self._connection.close()

    def first_ingest_ms(self, now_ms: int) -> int:
        """When the first ingest into this index began; set by the first call."""
        first = {"key": "first_ingest_ms", "value": str(now_ms)}
        with self.transaction() as connection:
            insert(connection, "index_info", first, keys=())
            return int(info(connection, "first_ingest_ms") or now_ms)

    def apply(self, changes: Sequence[Change], *, now_ms: int, first_ingest_ms: int) -> list[Outcome]:
        """Apply changes to distinct directories in one transaction; durable when this returns.

        `complete_ms` of an archive that was already there at the first ingest is its pinned mtime.
        """
        with self.transaction() as connection:
            plan = _Plan(connection, self.known, self._next, now_ms, first_ingest_ms)
            outcomes = [plan.add(change) for change in changes]
            plan.write()
        self.known.update(plan.known)
        self._next = plan.next
        return outcomes

    def note_glances(self, glances: Mapping[KnownKey, str]) -> None:
        """Remember what a look showed of directories that are as the index has them."""
        rows = [(glance, *key) for key, glance in glances.items()]
        with self.transaction() as connection:
            connection.executemany("UPDATE archives SET glance = ? WHERE kind = ? AND name = ?", rows)
        self.known.update((key, self.known[key]._replace(glance=glance)) for key, glance in glances.items())

    def info(self, key: str) -> str | None:
        """A value of index_info."""
        with self.transaction() as connection:
            return info(connection, key)

    def set_info(self, key: str, value: str) -> None:
        """Write a value of index_info."""
        with self.transaction() as connection:
            put_info(connection, key, value)

    @contextmanager
    def transaction(self) -> Iterator[IndexConnection]:
        """A write transaction for the smaller stores (`issues`, `events`, `snapshots`)."""
        with readable_errors(self.path), transaction(self._connection) as connection:
            yield connection


def _next_id(connection: IndexConnection, table: str) -> int:
    return int(scalar(connection, f"SELECT coalesce(max(id), 0) FROM {table}")) + 1


def _load_known(connection: IndexConnection) -> dict[KnownKey, Known]:
    found = (rows.known_from(*row) for row in connection.execute(KNOWN))
    return {(known.kind, known.name): known for known in found}


class _NextIds(NamedTuple):
    """The next primary keys."""

    archive: int
    revision: int


class _Plan:
    """The rows of one transaction, collected first so that each table is written in one go."""

    def __init__(
        self,
        connection: IndexConnection,
        known: Mapping[KnownKey, Known],
        next_ids: _NextIds,
        now_ms: int,
        first_ingest_ms: int,
    ) -> None:
        self._connection, self._old, self.next = connection, known, next_ids
        self._now, self._first_ingest = now_ms, first_ingest_ms
        self.known: dict[KnownKey, Known] = {}
        self._inserts: dict[str, list[DbRow]] = {}
        self._files: list[CoreFile] = []
        self._rows: list[KeptRow] = []
        self._updates: list[tuple[int, DbRow]] = []
        self._left_quarantine: list[int] = []

    def add(self, change: Change) -> Outcome:
        known = self._old.get((change.kind, change.name))
        if isinstance(change, Gone):
            return self._add_gone(change, known)
        if isinstance(change, Seen):
            return self._add_seen(change, known)
        return self._add_reading(change, known)

    def _add_gone(self, change: Gone, known: Known | None) -> Outcome:
        assert known is not None
        self._store(known._replace(gone_ms=self._now), {"gone_ms": self._now})
        return Outcome(change.name, OutcomeKind.VANISHED, "gone")

    def _add_seen(self, seen: Seen, known: Known | None) -> Outcome:
        touched = seen.outcome is OutcomeKind.UNCHANGED and known is not None
        before = known or Known(seen.kind, seen.name, "", None, None, None, None, 0)
        state = before.state if touched else str(seen.outcome)
        reason = before.reason if touched else seen.reason
        tries = before.tries + seen.tries if seen.outcome is OutcomeKind.QUARANTINED else 0
        after = before._replace(
            state=state,
            reason=reason,
            signature=seen.signature,
            gone_ms=None,
            tries=tries,
            glance=None,
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

    def _add_reading(self, reading: Reading, known: Known | None) -> Outcome:
        state = OutcomeKind.PARTIAL if reading.partial else OutcomeKind.INDEXED
        old_id = self._archive_id((reading.kind, reading.name))
        found = None if old_id is None else _existing_revision(self._connection, old_id, reading.digest)
        number = _next_number(self._connection, old_id) if found is None else found
        # After a recovery an archive may have revisions of which none is the current one.
        is_current = found is not None and known is not None and known.revision == found
        same = is_current and known is not None and known.state == state
        after = rows.known_from(
            reading.kind,
            reading.name,
            str(state),
            reading.partial,
            reading.signature,
            number,
            None,
            0,
            reading.glance,
        )
        values = _archive_values(after)
        if not same:
            values["changed_ms"] = self._now
        if known is None or known.revision is None:
            values["complete_ms"] = self._complete_ms(reading)
        archive_id = self._store(after, values)
        if known is not None and known.state == OutcomeKind.QUARANTINED:
            self._left_quarantine.append(archive_id)
        if found is None:
            self._add_revision(archive_id, number, reading)
        return Outcome(reading.name, OutcomeKind.UNCHANGED if same else state, reading.partial, number)

    def _complete_ms(self, reading: Reading) -> int:
        pinned_ms = reading.dir_mtime_ns // 1_000_000
        return pinned_ms if pinned_ms <= self._first_ingest else self._now

    def _add_revision(self, archive_id: int, number: int, reading: Reading) -> None:
        revision_id = self.next.revision
        self.next = self.next._replace(revision=revision_id + 1)
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
        archive_id = self._archive_id(key)
        if archive_id is not None:
            self._updates.append((archive_id, values))
            return archive_id
        archive_id = self.next.archive
        self.next = self.next._replace(archive=archive_id + 1)
        defaults = {"first_seen_ms": self._now, "changed_ms": self._now, "complete_ms": None}
        self._insert("archives", {"id": archive_id, **defaults, **values})
        return archive_id

    def _archive_id(self, key: KnownKey) -> int | None:
        if key not in self._old:
            return None
        return int(scalar(self._connection, "SELECT id FROM archives WHERE kind = ? AND name = ?", key))

    def write(self) -> None:
        connection = self._connection
        self._inserts["artifacts"] = rows.artifact_rows(self._files)
        self._inserts["kept_rows"] = rows.kept_rows(self._rows)
        for name in ("archives", "revisions", "artifacts", "revision_files", "runs", "labels", "kept_rows"):
            if batch := self._inserts.get(name):
                _insert(connection, name, batch)
        for archive_id, values in self._updates:
            changes = ", ".join(f"{name} = :{name}" for name in values)
            connection.execute(f"UPDATE archives SET {changes} WHERE id = :id", {**values, "id": archive_id})
        _write_quarantine(connection, self._inserts.get("quarantine", ()), self._left_quarantine)


def _insert(connection: IndexConnection, table: str, batch: Sequence[DbRow]) -> None:
    # Two archives can carry the same bytes; nothing else may meet a row that is there.
    keys = () if table in ("artifacts", "kept_rows") else None
    connection.executemany(inserting(table, batch[0], keys=keys), batch)


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
        "glance": known.glance,
    }


def _existing_revision(connection: IndexConnection, archive_id: int, digest: str) -> int | None:
    query = "SELECT number FROM revisions WHERE archive_id = ? AND digest = ?"
    found: int | None = scalar(connection, query, (archive_id, digest))
    return found


def _next_number(connection: IndexConnection, archive_id: int | None) -> int:
    if archive_id is None:
        return 1
    newest = "SELECT max(number) FROM revisions WHERE archive_id = ?"
    return int(scalar(connection, newest, (archive_id,)) or 0) + 1


def _write_quarantine(connection: IndexConnection, entered: Iterable[DbRow], left: Iterable[int]) -> None:
    again = "reason = excluded.reason, detail = excluded.detail, last_ms = excluded.last_ms"
    for row in entered:
        statement = f"{inserting('quarantine', row)} ON CONFLICT (archive_id) DO UPDATE SET {again}"
        connection.execute(statement, row)
    for archive_id in left:
        connection.execute("DELETE FROM quarantine WHERE archive_id = ?", (archive_id,))
