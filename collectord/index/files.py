"""The index as files: consistent copies, its write-ahead log, and putting another one in its place."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from collectord.errors import CollectordError, IndexDamaged
from collectord.index.engine import readable_errors
from collectord.system.durable import fsync_dir


def backup_file(source: Path, target: Path) -> None:
    """Copy an index file through SQLite's online backup, check the copy, and put it in place atomically."""
    partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
    try:
        with readable_errors(source):
            _copy(source, partial)
        partial.chmod(0o600)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    fsync_dir(target.parent)


def _copy(source: Path, partial: Path) -> None:
    uri = f"{source.as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as old, closing(sqlite3.connect(partial)) as new:
        old.backup(new)
        new.execute("PRAGMA journal_mode = DELETE")
        found = new.execute("PRAGMA integrity_check").fetchone()[0]
    if found != "ok":
        raise CollectordError(
            f"{source}: the copy did not pass its check ({found}); run `collectord db recover`"
        )
    with partial.open("rb+") as file:
        os.fsync(file.fileno())


_MAGIC = {0x377F0682: "<", 0x377F0683: ">"}
_HEADER, _FRAME_HEADER = 32, 24
_MASK = 0xFFFFFFFF
TORN_BY_POWER_CUT = 1


@dataclass(frozen=True, slots=True)
class LogState:
    """`commits` that a replay would take, `lost` ones behind the first frame that is not whole."""

    commits: int
    lost: int

    @property
    def damaged(self) -> bool:
        """Whether more is lost than the last transaction, which a power cut may tear."""
        return self.lost > TORN_BY_POWER_CUT


def log_path(index: Path) -> Path:
    """Where SQLite keeps the log of an index file."""
    return index.with_name(f"{index.name}-wal")


def require_whole_log(index: Path) -> None:
    """Raise IndexDamaged before SQLite forgets what is behind the damage. Nobody may have the index open."""
    state = examine_log(log_path(index))
    if state.damaged:
        raise IndexDamaged(
            f"{log_path(index)}: {state.lost} transactions come after a damaged part of the log and "
            "would be forgotten: run `collectord db recover`, which keeps the file"
        )


def examine_log(path: Path) -> LogState:
    """Read a log from its start; a missing or empty one is whole."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return LogState(0, 0)
    if not any(data[:_HEADER]) and len(data) <= _HEADER:
        return LogState(0, 0)
    order = _MAGIC.get(int.from_bytes(data[:4], "big"))
    page = int.from_bytes(data[8:12], "big") if len(data) >= _HEADER else 0
    sums = _checksum(order, data[:24], (0, 0)) if order and len(data) >= _HEADER else None
    if order is None or sums != struct.unpack(">2I", data[24:32]) or not 512 <= page <= 65536:
        # Without its header nothing in it can be told from what an earlier use of the file left behind.
        return LogState(0, TORN_BY_POWER_CUT + 1 if len(data) > _HEADER else 0)
    return _count(data, order, page, sums)


def _count(data: bytes, order: str, page: int, sums: tuple[int, int]) -> LogState:
    salts = data[16:24]
    commits = lost = 0
    whole = True
    for start in range(_HEADER, len(data) - _FRAME_HEADER - page + 1, _FRAME_HEADER + page):
        header = data[start : start + _FRAME_HEADER]
        if whole:
            body = data[start + _FRAME_HEADER : start + _FRAME_HEADER + page]
            sums = _checksum(order, body, _checksum(order, header[:8], sums))
            whole = header[8:16] == salts and sums == struct.unpack(">2I", header[16:24])
        ends_a_transaction = header[8:16] == salts and header[4:8] != b"\0\0\0\0"
        commits += whole and ends_a_transaction
        lost += not whole and ends_a_transaction
    return LogState(commits, lost)


def _checksum(order: str, data: bytes, sums: tuple[int, int]) -> tuple[int, int]:
    first, second = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & _MASK
        second = (second + odd + first) & _MASK
    return first, second


RECOVERED, REBUILT = "recovered", "rebuilt"
# How an index that was replaced is called, by what replaced it.
_ASIDE = {RECOVERED: "damaged", REBUILT: "replaced"}


def stamp_of_ms(now_ms: int) -> str:
    """A time as part of a file name: `20260131T235959Z`."""
    return datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")


def ready_path(index: Path, stamp: str, how: str = RECOVERED) -> Path:
    """Where a finished index waits to be put in place; being there means that it is whole."""
    return index.with_name(f"{index.name}.{how}-{stamp}")


def put_ready(made: Path, index: Path, stamp: str, how: str) -> None:
    """Let an index that was made beside the other one be the one to be put in place, once it is on disk."""
    made.chmod(0o600)
    with made.open("rb+") as file:
        os.fsync(file.fileno())
    made.rename(ready_path(index, stamp, how))
    fsync_dir(index.parent)


def finish_exchange(index: Path) -> tuple[Path, ...]:
    """Put a finished index in place and what was there aside; returns the files that are aside now.

    Safe to repeat: whoever was killed half way is finished by the next one. Nothing without a finished index.
    """
    waiting = [(how, path) for how in _ASIDE for path in sorted(index.parent.glob(f"{index.name}.{how}-*"))]
    if not waiting:
        return ()
    how, ready = waiting[-1]
    stamp = ready.name.removeprefix(f"{index.name}.{how}-")
    aside = index.with_name(f"{index.name}.{_ASIDE[how]}-{stamp}")
    if index.exists() and not aside.exists():
        _second_name(index, aside)
    log = log_path(index)
    # A log beside a file that it does not belong to would be replayed into it.
    if log.exists():
        log.replace(log_path(aside))
    index.with_name(f"{index.name}-shm").unlink(missing_ok=True)
    fsync_dir(index.parent)
    ready.replace(index)
    fsync_dir(index.parent)
    return tuple(path for path in (aside, log_path(aside)) if path.exists())


def _second_name(index: Path, aside: Path) -> None:
    with contextlib.suppress(OSError):
        os.link(index, aside)
        return
    import shutil

    # Only whole under its name: a killed copy would be taken for the old index and never made again.
    partial = aside.with_name(f".{aside.name}.partial")
    shutil.copyfile(index, partial)
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    partial.chmod(0o600)
    partial.rename(aside)
