"""Extra files beside the archives, noticed by comparing their stat once a check.

Not by events: a handful of stats a second costs less than the watches would, survives a parent folder
that is missing, made later or replaced, and has no limit, overflow or thread of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_Figures = tuple[int, int, int, int, int] | None


class FileWatch:
    """Owned by one thread. A file that is missing is one of the states between which it changes."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._seen: dict[Path, _Figures | str] = {}
        self.replace(paths)

    def replace(self, paths: Iterable[Path]) -> None:
        """Watches these files from now on; those that are new are reported once, changed or not."""
        self._seen = {path: self._seen.get(path, "never looked at") for path in paths}

    def changed(self) -> list[Path]:
        """The files whose figures differ from the last call's; on the first call all of them."""
        now = {path: _figures(path) for path in self._seen}
        changed = [path for path, figures in now.items() if figures != self._seen[path]]
        self._seen.update(now)
        return changed


def _figures(path: Path) -> _Figures:
    try:
        own = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return own.st_dev, own.st_ino, own.st_size, own.st_mtime_ns, own.st_ctime_ns
