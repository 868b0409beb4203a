"""The door to watchdog: a watch on the root and on each archive that was entered."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from watchdog.events import (
    DirAttribEvent,
    DirCreatedEvent,
    DirDeletedEvent,
    DirModifiedEvent,
    DirMovedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import BaseObserver, ObservedWatch
from watchdog.observers.inotify import InotifyEmitter
from watchdog.observers.inotify_c import InotifyConstants, InotifyEvent, InotifyFD

MAX_BACKLOG: Final = 20_000


class Reader(InotifyFD):
    """Reads the kernel's queue; tells of overflows and unmounts.

    watchdog's queue between this thread and the one that hands out events has no bound. Beyond
    `MAX_BACKLOG` events are dropped here, which is told as the overflow that it is.
    """

    def __init__(self, on_overflow: Callable[[], None], on_unmount: Callable[[], None]) -> None:
        super().__init__()
        self._on_overflow = on_overflow
        self._on_unmount = on_unmount
        self.backlog: Callable[[], int] = int

    def handle_event(self, event: InotifyEvent) -> None:
        """Called by the reading thread for each event."""
        if event.mask & InotifyConstants.IN_UNMOUNT:
            self._on_unmount()
        if event.is_queue_overflow:
            self._on_overflow()
        elif not _is_bookkeeping(event) and self.backlog() > MAX_BACKLOG:
            self._on_overflow()
            return
        super().handle_event(event)


class LinuxObserver(BaseObserver):
    """Like watchdog's InotifyObserver, which makes its own reading thread and does not show it."""

    def __init__(self, on_overflow: Callable[[], None], on_unmount: Callable[[], None]) -> None:
        self.reader = Reader(on_overflow, on_unmount)
        super().__init__(InotifyEmitter, inotify_fd=self.reader)
        self.reader.backlog = self.event_queue.qsize
        self.reader.start()

    def on_thread_stop(self) -> None:
        """Part of `stop`; also of one that never got to start."""
        super().on_thread_stop()
        self.reader.stop()
        self.reader.join()


def _is_bookkeeping(event: InotifyEvent) -> bool:
    return event.is_ignored or event.is_delete_self


# What is heard at all: opened, closed unwritten and the like are left out, or reading would feed itself.
# On Linux the kernel filters by these, so that what is not in them costs nothing and fills no queue.
ROOT_EVENTS: Final[list[type[FileSystemEvent]]] = [DirCreatedEvent, DirMovedEvent, DirDeletedEvent]
ARCHIVE_EVENTS: Final[list[type[FileSystemEvent]]] = [
    *ROOT_EVENTS,
    DirAttribEvent,
    DirModifiedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]


class EventHandler(Protocol):
    """Who is told; called from watchdog's threads."""

    def add(self, name: str) -> None:
        """Something stirred in or at that archive."""

    def request_rescan(self) -> None:
        """Something may have been missed."""

    def overflowed(self) -> None:
        """Events were dropped."""


ObserverFactory = Callable[[EventHandler, Callable[[], None]], BaseObserver]
"""Makes an observer that tells the ear of overflows and calls the second argument after an unmount."""


class Feed:
    """A running observer with a watch on the root; owned by one thread.

    Building it raises OSError, or RuntimeError if no thread can be started.
    """

    def __init__(self, root: Path, ear: EventHandler, make_observer: ObserverFactory | None = None) -> None:
        # Links are not followed by a watch: one on a link hears nothing of the folder behind it.
        self._root = os.path.realpath(root)
        self._ear = ear
        self._handler = _Handler(self._root, ear)
        self._unmounted = threading.Event()
        self._entered: dict[str, ObservedWatch] = {}
        _demand_readable(self._root)
        self._observer = (make_observer or make_native_observer)(ear, self._unmounted.set)
        try:
            # Started first, then given the watch: this way an error surfaces here and not in a thread.
            self._observer.start()
            self._root_watch = self._observer.schedule(self._handler, self._root, event_filter=ROOT_EVENTS)
        except BaseException:
            self.close(timeout=1.0)
            raise

    def has(self, name: str) -> bool:
        """Whether that archive is entered."""
        return name in self._entered

    def enter(self, name: str) -> None:
        """Watches inside that archive too. Raises like building does, also for what is no directory."""
        path = os.path.join(self._root, name)  # noqa: PTH118
        if os.path.islink(path) or not os.path.isdir(path):  # noqa: PTH112, PTH114
            raise NotADirectoryError(path)
        _demand_readable(path)
        self._entered[name] = self._observer.schedule(self._handler, path, event_filter=ARCHIVE_EVENTS)

    def leave(self, name: str) -> None:
        """Stops watching inside that archive; a name that was never entered is fine."""
        watch = self._entered.pop(name, None)
        if watch is not None:
            with contextlib.suppress(KeyError, OSError):
                self._observer.unschedule(watch)

    def sweep(self) -> list[str]:
        """The entered archives whose directory was removed under their watch; they are left."""
        ended = {e.watch for e in self._observer.emitters if not e.should_keep_running()}
        names = [name for name, watch in self._entered.items() if watch in ended]
        for name in names:
            self.leave(name)
        return names

    def root_lost(self) -> bool:
        """Whether the folder that is watched was removed or unmounted, whatever stands in its place now."""
        return self._unmounted.is_set() or any(
            e.watch == self._root_watch and not e.should_keep_running() for e in self._observer.emitters
        )

    def trouble(self) -> str | None:
        """Why events cannot be relied on any more, or None while all is well."""
        if self.root_lost():
            return "the folder under the watch is gone"
        if not self._observer.is_alive():
            return "the thread that hands out events died"
        reader = getattr(self._observer, "reader", None)
        if reader is not None and not reader.is_alive():
            return "the thread that reads events died"
        # An emitter that ended by itself lost its directory, which for an archive is nothing unusual.
        if any(e.should_keep_running() and not e.is_alive() for e in self._observer.emitters):
            return "a thread that listens for events died"
        return None

    def close(self, timeout: float) -> None:
        """Stops the threads and waits at most `timeout` seconds; what hangs is left behind as a daemon."""
        # In a thread of its own because watchdog joins each of its threads without any bound.
        closer = threading.Thread(target=self._stop, name="collectord-watch-closer", daemon=True)
        closer.start()
        closer.join(timeout)

    def _stop(self) -> None:
        self._observer.stop()
        if self._observer.is_alive():
            self._observer.join()


class _Handler(FileSystemEventHandler):
    """Turns paths into names of archives. Raising here would kill the thread that hands out events."""

    def __init__(self, root: str, ear: EventHandler) -> None:
        self._root = root
        self._below = root.rstrip("/") + "/"
        self._ear = ear

    def dispatch(self, event: FileSystemEvent) -> None:
        try:
            for path in (event.src_path, event.dest_path):
                if path:
                    self._heard(os.fsdecode(path))
        except Exception:
            self._ear.request_rescan()

    def _heard(self, path: str) -> None:
        if path.startswith(self._below):
            self._ear.add(path[len(self._below) :].split("/", 1)[0])
        elif path == self._root:
            self._ear.request_rescan()


def make_native_observer(ear: EventHandler, on_unmount: Callable[[], None]) -> BaseObserver:
    """The best observer of this platform, except the polling one: it would follow symbolic links."""
    if platform.system() == "Linux":
        return LinuxObserver(ear.overflowed, on_unmount)
    from watchdog.observers import Observer
    from watchdog.observers.polling import PollingObserver

    observer = Observer()
    if isinstance(observer, PollingObserver):
        raise OSError("this platform has no file events")
    return observer


def _demand_readable(path: str) -> None:
    # watchdog takes a refused permission for a watch that stands, and would then hear nothing.
    if not os.access(path, os.R_OK):
        raise PermissionError(errno.EACCES, "no permission to read it", path)
