"""Reading what can still be read of a damaged index: row by row, around the pages that cannot."""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from collectord.index.files import log_path

DbRow = dict[str, Any]
_ISSUE_INDEX = "ix_issue_revisions_issue_id_seen_ms"
# A row takes more room than this: a greater row id than fits into the file is damage, as ids are dense here.
_LEAST_ROW_BYTES = 8
# One bad page hides a hundred rows or so; where so many places fail, the table has no root any more.
# The second where the message of the first cannot be decoded: it cites the damaged schema.
UNREADABLE = (sqlite3.Error, UnicodeDecodeError)
_MOST_UNREADABLE = 50_000


class Salvage:
    """A copy of a damaged index file and its log, opened for reading; the originals are not touched.

    `unreadable` counts by table the places at which nothing could be read. Values are as the file gives
    them: whoever takes a row checks it.
    """

    def __init__(self, index: Path, scratch: Path) -> None:
        """Copies into `scratch`, a folder that the caller makes and removes; raises OSError."""
        self.unreadable: Counter[str] = Counter()
        self._issues: dict[int, tuple[str, int]] | None = None
        copy = scratch / index.name
        for source in (index, log_path(index)):
            if source.exists():
                shutil.copyfile(source, scratch / source.name)
        self._most_rows = copy.stat().st_size // _LEAST_ROW_BYTES if copy.exists() else 0
        self._connection = sqlite3.connect(copy, isolation_level=None)
        self._columns = self._read_schema()

    def close(self) -> None:
        """Close the copy."""
        self._connection.close()

    def __enter__(self) -> Salvage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def tables(self) -> frozenset[str]:
        """Tables that the file still knows; none where its first page is damaged."""
        return frozenset(self._columns)

    def _read_schema(self) -> dict[str, list[str]]:
        try:
            names = self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            return {
                name: [row[1] for row in self._connection.execute(f'PRAGMA table_info("{name}")')]
                for (name,) in names
            }
        except UNREADABLE:
            return {}

    def rows(self, table: str) -> Iterator[DbRow]:
        """Every row of a table that can be read, in the order in which they were written."""
        if table not in self._columns:
            return
        last = self._last_rowid(table)
        pending = [(1, last)] if last else []
        while pending and self.unreadable[table] < _MOST_UNREADABLE:
            low, high = pending.pop()
            try:
                query = f'SELECT rowid, * FROM "{table}" WHERE rowid BETWEEN ? AND ? ORDER BY rowid'
                for rowid, *values in self._connection.execute(query, (low, high)):
                    if rowid < low:  # damaged pages can lead in circles
                        raise sqlite3.DatabaseError("rows out of order")
                    low = rowid + 1
                    yield dict(zip(self._columns[table], values, strict=True))
            except UNREADABLE:
                if low >= high:
                    # Past the last one there may have been nothing any more; it is counted all the same.
                    self.unreadable[table] += 1
                else:
                    middle = (low + high) // 2
                    pending += [(middle + 1, high), (low, middle)]

    def names(self) -> set[tuple[str, str]]:
        """(kind, name) of every archive that the table or its index still names: what may be missing."""
        query = "SELECT kind, name FROM archives INDEXED BY sqlite_autoindex_archives_1"
        found = {(row["kind"], row["name"]) for row in self.rows("archives")}
        try:
            found.update(self._connection.execute(query))
        except UNREADABLE:
            self.unreadable["index of archives"] += 1
        return {(kind, name) for kind, name in found if isinstance(kind, str) and isinstance(name, str)}

    def indexed_issues(self) -> dict[int, tuple[str, int]]:
        """Row id → (issue, when it was seen) as the index of issue_revisions has it, where it can be read."""
        if self._issues is None:
            query = f"SELECT rowid, issue_id, seen_ms FROM issue_revisions INDEXED BY {_ISSUE_INDEX}"
            try:
                self._issues = {
                    rowid: (issue, seen) for rowid, issue, seen in self._connection.execute(query)
                }
            except UNREADABLE:
                self.unreadable["index of issue_revisions"] += 1
                self._issues = {}
        return self._issues

    def _last_rowid(self, table: str) -> int:
        """The greatest row id, from the table or from one of its indexes; 0 where nothing tells."""
        for source in (f'"{table}"', *self._indexed(table)):
            try:
                found = self._connection.execute(f"SELECT max(rowid) FROM {source}").fetchone()[0]
                return min(int(found or 0), self._most_rows)
            except (*UNREADABLE, ValueError, TypeError):
                continue
        self.unreadable[table] += 1
        return 0

    def _indexed(self, table: str) -> list[str]:
        try:
            listed = self._connection.execute(f'PRAGMA index_list("{table}")').fetchall()
        except UNREADABLE:
            return []
        return [f'"{table}" INDEXED BY "{row[1]}"' for row in listed]
