"""Names of directories and files that something happened to, until somebody takes them."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

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


class WatchEvent(StrEnum):
    """The names under which the watcher's doings appear in the log."""

    STARTED = "watch.started"
    REBUILT = "watch.rebuilt"
    FAILED = "watch.failed"
    POLLING = "watch.polling"
    OVERFLOW = "watch.overflow"
    EMITTER_DIED = "watch.emitter_died"
    LIMIT_REACHED = "watch.limit_reached"
    ROOT_MISSING = "watch.root_missing"
    ROOT_REPLACED = "watch.root_replaced"
    ROOT_RETURNED = "watch.root_returned"


INFO = "info"
WARNING = "warning"


@dataclass(frozen=True, slots=True)
class WatchNote:
    """One thing to log: told once when it begins, not as long as it lasts."""

    event: WatchEvent
    level: str = INFO
    details: dict[str, object] = field(default_factory=dict, hash=False, compare=False)


MAX_NAMES: Final = 10_000
_LONGEST_S: Final = 3600.0  # poll takes no more milliseconds than a C int holds


@dataclass(frozen=True, slots=True)
class Dirty:
    """Hints, not facts: archives to look at, whether to scan the whole folder, extra files to read again."""

    names: frozenset[str] = frozenset()
    rescan: bool = False
    files: frozenset[Path] = frozenset()


class Wakeup:
    """Ends a wait from another thread or from a signal handler."""

    def __init__(self) -> None:
        # A socket pair and not an Event: a signal handler may interrupt the very thread that holds an
        # Event's lock, and would then wait for it for ever. And a socket object that was closed raises,
        # where a bare number could be somebody else's file by then.
        self._rx, self._tx = socket.socketpair()
        self._rx.setblocking(False)
        self._tx.setblocking(False)

    def wake(self) -> None:
        """Ends the present or the next `wait`. Safe from signal handlers: takes no lock, never blocks."""
        with contextlib.suppress(OSError):  # full: a wake is on its way; closed: nobody waits any more
            self._tx.send(b"\0")

    def wait(self, timeout: float) -> None:
        """Waits at most so many seconds for a wake."""
        with contextlib.suppress(OSError, ValueError):  # closed
            poller = select.poll()
            poller.register(self._rx, select.POLLIN)
            if poller.poll(min(max(0.0, timeout), _LONGEST_S) * 1000):
                self._rx.recv(4096)

    def close(self) -> None:
        """Gives the socket pair back; later calls wake nobody and `wait` does not wait."""
        self._tx.close()
        self._rx.close()


class DirtySet:
    """Thread-safe. A thread that adds never waits for the loop; beyond the cap names become a rescan."""

    def __init__(self, wakeup: Wakeup, max_names: int = MAX_NAMES) -> None:
        self._max_names = max_names
        self._lock = threading.Lock()
        self._names: set[str] = set()
        self._files: set[Path] = set()
        self._rescan = False
        self._overflows = 0
        self._is_awake = False
        self._wakeup = wakeup

    def add(self, name: str) -> None:
        """Something stirred in or at the archive of that name."""
        with self._lock:
            self._names.add(name)
            if len(self._names) > self._max_names:
                self._names.clear()
                self._rescan = True
            self._wake_once()

    def add_file(self, path: Path) -> None:
        """An extra file changed."""
        with self._lock:
            self._files.add(path)
            self._wake_once()

    def request_rescan(self) -> None:
        """Something may have been missed."""
        with self._lock:
            self._rescan = True
            self._wake_once()

    def overflowed(self) -> None:
        """Events were dropped before anybody saw them."""
        with self._lock:
            self._overflows += 1
            self._rescan = True
            self._wake_once()

    def take_overflows(self) -> int:
        """How often events were dropped since the last call."""
        with self._lock:
            count, self._overflows = self._overflows, 0
        return count

    def take(self, timeout: float) -> Dirty:
        """Empties the set; waits at most `timeout` seconds for the first thing in it or for a wake."""
        self._wakeup.wait(timeout)
        with self._lock:
            dirty = Dirty(frozenset(self._names), self._rescan, frozenset(self._files))
            self._names.clear()
            self._files.clear()
            self._rescan = self._is_awake = False
        return dirty

    def _wake_once(self) -> None:
        if not self._is_awake:
            self._is_awake = True
            self._wakeup.wake()
