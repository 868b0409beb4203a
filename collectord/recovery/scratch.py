"""Folders for what recoveries and rebuilds have not finished, and what killed ones left of them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from collectord.errors import LockHeld
from collectord.fs import StateLock

RECOVERING, REBUILDING = "recovering", "rebuilding"


@contextmanager
def scratch_folder(state_dir: Path, work: str, command: str) -> Iterator[Path]:
    """A folder beside the index, under the lock of such work; what killed ones left goes away with it.

    Raises LockHeld beside other work of the kind.
    """
    with StateLock.acquire(_lock(state_dir, work), command):
        _remove(state_dir, work)
        folder = Path(tempfile.mkdtemp(prefix=f".{work}-", dir=state_dir))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def scratch_folders(state_dir: Path) -> list[Path]:
    """All that is there, in use or left by somebody who was killed."""
    return [path for work in (RECOVERING, REBUILDING) for path in _folders(state_dir, work)]


def remove_scratch(state_dir: Path, command: str) -> None:
    """Remove what nobody uses any more, which the lock of its kind of work proves."""
    for work in (RECOVERING, REBUILDING):
        if _folders(state_dir, work):
            with suppress(LockHeld), StateLock.acquire(_lock(state_dir, work), command):
                _remove(state_dir, work)


def _lock(state_dir: Path, work: str) -> Path:
    return state_dir / {RECOVERING: "recover.lock", REBUILDING: "rebuild.lock"}[work]


def _folders(state_dir: Path, work: str) -> list[Path]:
    return sorted(state_dir.glob(f".{work}-*"))


def _remove(state_dir: Path, work: str) -> None:
    for left in _folders(state_dir, work):
        shutil.rmtree(left, ignore_errors=True)
