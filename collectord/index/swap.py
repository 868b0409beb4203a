"""Putting a finished index in the place of another one, so that a crash at any step loses neither."""

from __future__ import annotations

import contextlib
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from collectord.fs import fsync_dir
from collectord.index.wal import log_path

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
    # Only whole under its name: a killed copy would be taken for the old index and never made again.
    partial = aside.with_name(f".{aside.name}.partial")
    shutil.copyfile(index, partial)
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    partial.chmod(0o600)
    partial.rename(aside)
