"""Temporary files and folders that say whose they are, so that those of the killed can be removed."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

SUFFIX = ".tmp"
_NAME = re.compile(r"\.collectord-(\d+)-.*\.tmp")


def own_prefix() -> str:
    """The beginning of a temporary name of this process."""
    return f".collectord-{os.getpid()}-"


def remove_leftovers(folder: Path) -> None:
    """Remove what an export that was killed left in a folder; one that is running keeps its own."""
    for entry in folder.iterdir():
        found = _NAME.fullmatch(entry.name)
        if found and not _is_running(int(found[1])):
            _remove(entry)


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        entry.unlink(missing_ok=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
