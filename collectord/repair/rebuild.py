"""A new index made from what the old one and the archives hold, compared with it, and put in its place."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collectord.index.engine import readable_errors
from collectord.index.files import REBUILT, backup_file, finish_exchange, put_ready, stamp_of_ms
from collectord.index.opening import now_ms
from collectord.index.tables import names_of_columns, names_of_tables, primary_key
from collectord.index.writer import IndexWriter
from collectord.model import Progress
from collectord.repair.backups import REBUILDING, scratch_folder
from collectord.repair.recover import archives_on_disk, fill_from, forget_derived, ingest_into
from collectord.repair.salvage import Salvage
from collectord.system.durable import ensure_private_dir
from collectord.system.lock import StateLock, holder

if TYPE_CHECKING:
    from collectord.config import Settings
    from collectord.repair.merge import Transplanted


# What moves without anything having happened.
_VOLATILE = (
    *(
        "last_ingest_ms",
        "environment_last_look_ms",
        "disk_usage",
        "kernels",
        "evaluated_inputs",
        "passes",
        "missing archive",
        "missing world",
    ),
    *("backup_done_ms", "prune_done_ms", "usage_done_ms", "push_done_ms"),
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
    others = [table for table in names_of_tables() if table not in done]
    return by_hand + [_View(t, _shown(primary_key(t)), _shown(names_of_columns(t))) for t in others]


def _shown(columns: Iterable[str]) -> list[str]:
    return [f"t.{name}" for name in columns]


def _of_revision(name: str, keys: Sequence[str]) -> _View:
    columns = _shown(column for column in names_of_columns(name) if column != "revision_id")
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


# What nobody can derive again: a row of these that only the old index has must not go away with it.
WITNESSED = frozenset(
    {
        *("archives", "revisions", "artifacts", "issue_revisions", "workcell_ends", "index_info"),
        *("environments", "environment_observations", "epoch_cuts", "sealed_epochs", "epoch_snapshots"),
        *("alerts", "snapshots"),
    }
)


@dataclass
class Rebuilt:
    """What the new index has and how it differs; `lost` differences are why it may not replace the old one.

    `counts` are rows by table in the new index, `from_disk` artifacts that only an archive still had.
    `beside`: another process writes the index, so archives were only asked for bytes that it lacks.
    """

    differences: list[Difference] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    from_disk: int = 0
    ingested: dict[str, int] = field(default_factory=dict)
    beside: bool = False
    replaced: bool = False
    aside: tuple[Path, ...] = ()

    @property
    def lost(self) -> list[Difference]:
        """Rows that the new index should have and has not."""
        return [one for one in self.differences if one.side == "old" and one.table in WITNESSED]


def rebuild(
    settings: Settings, *, replace: bool = False, progress: Progress = lambda _done, _total: None
) -> Rebuilt:
    """Derive everything again into a new index and compare; with `replace` put it in place if it differs.

    Without `replace` nothing of the old index changes, and whoever writes it goes on. Raises LockHeld, and
    CollectordError where the old index is damaged. Killed at any moment it leaves the old one or the new one.
    """
    from collectord.index.schema import require_current

    require_current(settings.index_path)
    ensure_private_dir(settings.state_dir)
    with ExitStack() as held:
        if replace:
            held.enter_context(StateLock.acquire(settings.lock_path, "collectord db rebuild --replace"))
            finish_exchange(settings.index_path)
            _merge_log(settings.index_path)
        beside = not replace and holder(settings.lock_path) is not None
        return _rebuild(settings, Rebuilt(beside=beside), replace, progress)


def _merge_log(index: Path) -> None:
    """Bring the log into the index: moved apart, they would be another index for a moment."""
    IndexWriter(index).close()


def _rebuild(settings: Settings, done: Rebuilt, replace: bool, progress: Progress) -> Rebuilt:
    with scratch_folder(settings.state_dir, REBUILDING, "collectord db rebuild") as scratch:
        old, new = scratch / "old.sqlite3", scratch / "new.sqlite3"
        backup_file(settings.index_path, old)
        taken = _fill(settings, old, new, progress)
        done.from_disk = taken.from_disk
        if not done.beside:
            done.ingested = dict(ingest_into(settings, new, taken).outcomes)
        done.differences = list(compare_indexes(old, new))
        done.counts = count_rows(new)
        if replace and done.differences and not done.lost:
            forget_derived(settings)
            put_ready(new, settings.index_path, stamp_of_ms(now_ms()), REBUILT)
            done.aside = finish_exchange(settings.index_path)
            done.replaced = True
    return done


def _fill(settings: Settings, old: Path, new: Path, progress: Progress) -> Transplanted:
    """A new index with all that the old one witnessed, and everything derived anew."""
    from collectord.index.schema import upgrade

    upgrade(new)
    copies = old.parent / "copies"
    copies.mkdir()
    with Salvage(old, copies) as source, archives_on_disk(settings) as disk:
        return fill_from(source, new, disk, progress)
