"""Is the archives folder still the same folder, and may anything be concluded from what is not in it?"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RootIdentity:
    """A folder and not a path. The generation tells two folders apart that got the same inode in turn."""

    device: int
    inode: int
    generation: int = 0


class RootChange(StrEnum):
    """What became of the root since the last check."""

    APPEARED = "appeared"
    MISSING = "missing"
    UNMOUNTED = "unmounted"
    REPLACED = "replaced"
    RETURNED = "returned"


class RootGuard:
    """Follows the root by path; owned by one thread.

    An empty folder on another device than before is what an unmounted disk leaves behind: it is not
    taken for the root until something lies in it or the old device is back.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reason: str | None = None
        self._current: RootIdentity | None = None
        self._last: RootIdentity | None = None

    @property
    def identity(self) -> RootIdentity | None:
        """The root as of the last check; None while it is missing or unmounted."""
        return self._current

    def check(self) -> RootChange | None:
        """Looks at the path; says what changed, and nothing while nothing changes."""
        before = (self._current, self.reason)
        seen, self.reason = self._look()
        if seen is None:
            self._current = None
            lost = before[0] is not None or before[1] != self.reason
            if not lost:
                return None
            return RootChange.MISSING if self.reason != _UNMOUNTED else RootChange.UNMOUNTED
        if before[0] is not None and (seen.device, seen.inode) == (before[0].device, before[0].inode):
            return None
        return self._adopt(seen, was_there=before[0] is not None)

    def still(self, identity: RootIdentity) -> bool:
        """Whether the path leads to that very folder at this moment."""
        seen, _ = self._look()
        return seen is not None and (seen.device, seen.inode) == (identity.device, identity.inode)

    def renew(self) -> RootChange | None:
        """The folder is known to be another one although its numbers are the same."""
        return self._adopt(self._current, was_there=True) if self._current is not None else None

    def _adopt(self, seen: RootIdentity, *, was_there: bool) -> RootChange:
        # A folder that was away may have been made again under the old inode: it counts as a new one.
        first = self._last is None
        generation = 0 if self._last is None else self._last.generation + 1
        self._current = self._last = replace(seen, generation=generation)
        if first and not was_there:
            return RootChange.APPEARED
        return RootChange.REPLACED if was_there else RootChange.RETURNED

    def _look(self) -> tuple[RootIdentity | None, str | None]:
        try:
            own = os.stat(self.path)  # noqa: PTH116
            if not stat.S_ISDIR(own.st_mode):
                return None, "something that is not a folder stands in its place"
            if self._last is not None and own.st_dev != self._last.device and _is_empty(self.path):
                return None, _UNMOUNTED
        except OSError as error:
            return None, error.strerror or str(error)
        return RootIdentity(own.st_dev, own.st_ino), None


_UNMOUNTED = "an empty folder on another device stands in its place: is its file system mounted?"


def _is_empty(path: Path) -> bool:
    with os.scandir(path) as listing:
        return next(listing, None) is None
