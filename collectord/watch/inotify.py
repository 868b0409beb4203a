"""watchdog's inotify observer with a thread of ours below it, which tells what watchdog keeps to itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from watchdog.observers.api import BaseObserver
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
