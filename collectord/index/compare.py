"""Two index files held against each other, row by row under the names that rows have outside of an index."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collectord.index import tables
from collectord.index.engine import readable_errors

# What moves without anything having happened.
_VOLATILE = (
    *(
        "last_ingest_ms",
        "environment_last_look_ms",
        "disk_usage",
        "kernels",
        "missing archive",
        "missing world",
    ),
    *("backup_done_ms", "prune_done_ms", "usage_done_ms"),
)
_LASTING_INFO = f"WHERE key NOT IN {_VOLATILE} AND key NOT LIKE 'environment_last_look_ms %'"
_ARCHIVE = "JOIN {0}.archives a ON a.id = t.archive_id"
_REVISION = "JOIN {0}.revisions r ON r.id = t.revision_id JOIN {0}.archives a ON a.id = r.archive_id"
_OF_REVISION = ("a.kind", "a.name", "r.digest")


@dataclass(frozen=True, slots=True)
class Difference:
    """One row: `side` is `old` or `new` where only one file has it, `both` where `columns` differ."""

    table: str
    key: tuple[str, ...]
    side: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _View:
    """A table as both files can have it: its `keys` without row ids, then the columns held against.

    Of a cache only rows that both have are compared, as what they are unpacked.
    """

    table: str
    keys: Sequence[str]
    columns: Sequence[str]
    join: str = ""
    where: str = ""
    is_cache: bool = False

    def query(self, schema: str) -> str:
        shown = ", ".join([*self.keys, *self.columns])
        return f"SELECT {shown} FROM {schema}.{self.table} t {self.join.format(schema)} {self.where}"


def _views() -> list[_View]:
    # A look at an archive is no content (signature), nor is the place in a log that was read again.
    archive = ("state", "reason", "first_seen_ms", "complete_ms", "revision", "tries", "gone_ms IS NOT NULL")
    revision = ("number", "partial", "dir_mtime_ns", "seen_ms")
    end = ("type", "at_ms", "timed_out", "duration_ms")
    by_hand = [
        _View("index_info", ("t.key",), ("t.value",), where=_LASTING_INFO),
        _View("archives", ("t.kind", "t.name"), [f"t.{name}" for name in archive]),
        _View("artifacts", ("t.sha256",), ("t.size",)),
        _View("revisions", ("a.kind", "a.name", "t.digest"), [f"t.{name}" for name in revision], _ARCHIVE),
        _View("quarantine", ("a.kind", "a.name"), ("t.reason", "t.detail"), _ARCHIVE),
        _View("issue_revisions", ("t.issue_id", "t.seen_ms", "t.digest"), ("t.record",)),
        _View("workcell_ends", ("t.workcell_id", "t.digest"), [f"t.{name}" for name in end]),
        _View("kept_rows", ("hex(t.key)",), ("t.data",), is_cache=True),
        _of_revision("revision_files", (*_OF_REVISION, "t.name")),
        *(_of_revision(name, _OF_REVISION) for name in ("runs", "labels")),
    ]
    done = {view.table for view in by_hand} | {"sources", "daemon"}
    others = [table for table in tables.metadata.sorted_tables if table.name not in done]
    return by_hand + [
        _View(t.name, [f"t.{c.name}" for c in t.primary_key], [f"t.{c.name}" for c in t.columns])
        for t in others
    ]


def _of_revision(name: str, keys: Sequence[str]) -> _View:
    columns = [f"t.{c.name}" for c in tables.metadata.tables[name].columns if c.name != "revision_id"]
    return _View(name, keys, columns, _REVISION)


def compare_indexes(old: Path, new: Path) -> Iterator[Difference]:
    """Every row that differs, by table; both files have the newest schema and are written by nobody.

    Row ids, looks at archives and signs of life are not compared. Raises CollectordError.
    """
    with readable_errors(new), closing(sqlite3.connect(f"{new.as_uri()}?mode=ro", uri=True)) as connection:
        connection.execute("ATTACH ? AS old", (f"{old.as_uri()}?mode=ro",))
        for view in _views():
            yield from _differences(connection, view)


def _differences(connection: sqlite3.Connection, view: _View) -> Iterator[Difference]:
    if view.is_cache:
        yield from _differences_of_cache(connection, view)
        return
    before, after = view.query("old"), view.query("main")
    olds = _by_key(connection.execute(f"{before} EXCEPT {after}"), len(view.keys))
    news = _by_key(connection.execute(f"{after} EXCEPT {before}"), len(view.keys))
    for key in sorted({*olds, *news}):
        if key in olds and key in news:
            pairs = zip(view.columns, olds[key], news[key], strict=True)
            differing = tuple(_column(name) for name, old, new in pairs if old != new)
            yield Difference(view.table, key, "both", differing)
        else:
            yield Difference(view.table, key, "old" if key in olds else "new")


def _differences_of_cache(connection: sqlite3.Connection, view: _View) -> Iterator[Difference]:
    """Unpacked only where the packed bytes differ, which those of another zlib do of every row."""
    rows = connection.execute(
        f"SELECT hex(new.key), old.data, new.data FROM main.{view.table} new"
        f" JOIN old.{view.table} old ON old.key = new.key WHERE old.data != new.data ORDER BY new.key"
    )
    for key, old, new in rows:
        if _unpacked(old) != _unpacked(new):
            yield Difference(view.table, (key,), "both", ("data",))


def _unpacked(data: bytes) -> bytes:
    """What is damaged stands for itself."""
    try:
        return zlib.decompress(data)
    except zlib.error:
        return data


def _by_key(rows: sqlite3.Cursor, length: int) -> dict[tuple[str, ...], tuple[Any, ...]]:
    return {tuple(map(str, row[:length])): row[length:] for row in rows}


def _column(name: str) -> str:
    return name.removeprefix("t.").partition(" ")[0]


def count_rows(index: Path) -> dict[str, int]:
    """How many rows each table has that is compared."""
    with readable_errors(index), closing(sqlite3.connect(f"{index.as_uri()}?mode=ro", uri=True)) as found:
        names = [view.table for view in _views()]
        return {name: found.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}
