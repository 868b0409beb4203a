"""Keeps a feed of file events running: builds it, notices when it fails, builds it again with backoff."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from collectord.watch.dirty import INFO, WARNING, WatchEvent, WatchNote

if TYPE_CHECKING:
    from collectord.watch.dirty import DirtySet
    from collectord.watch.event_source import Feed, ObserverFactory

FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 60.0
CLOSE_S: Final = 2.0
_LIMIT_REACHED: Final = (
    "the limit of file watches is reached: raise fs.inotify.max_user_watches or max_user_instances"
)
_LIMITS: Final = (errno.ENOSPC, errno.EMFILE, errno.ENFILE)
# RuntimeError: no further thread can be started.
_FAILURES: Final = (OSError, RuntimeError)


class Supervisor:
    """Owned by one thread; `mono` is seconds on the monotonic clock."""

    def __init__(
        self, root: Path, ear: DirtySet, max_entered: int, make_observer: ObserverFactory | None
    ) -> None:
        self._root = root
        self._ear = ear
        self._max_entered = max_entered
        self._make_observer = make_observer
        self._feed: Feed | None = None
        self._built_once = False
        self._built_at = 0.0
        self._retry_at = 0.0
        self._wait = FIRST_WAIT_S
        self._why: str | None = None
        # Asked for by the loop; a superset of what is watched while a limit or a failure is in the way.
        self._wanted: set[str] = set()
        # While a limit is reached nothing is tried, so that a full table costs one failure a minute.
        self._limited_until: float | None = None
        self._limit_told = False

    @property
    def running(self) -> bool:
        """Whether events are coming."""
        return self._feed is not None

    @property
    def degraded(self) -> tuple[str, ...]:
        """Why events are missing or incomplete, as sentences."""
        reasons = []
        if self._feed is None and self._why is not None:
            reasons.append(f"no file events from {self._root}: {self._why}")
        if self._limited_until is not None:
            reasons.append(f"{_LIMIT_REACHED}; archives that are still being written may be indexed later")
        return tuple(reasons)

    def supervise(self, mono: float) -> list[WatchNote]:
        """Looks after the feed of a root that is there; builds it if it is not running and due."""
        notes = self._look_after(mono)
        if self._feed is None and mono >= self._retry_at:
            notes += self._build(mono)
        return notes

    def drop(self, why: str | None, *, retry_at: float) -> None:
        """Tears the feed down; it is built again by the first `supervise` at or after `retry_at`."""
        if self._feed is not None:
            self._feed.close(CLOSE_S)
            self._feed = None
        self._why = why
        self._retry_at = retry_at

    def root_lost(self) -> bool:
        """Whether the watched folder was removed or unmounted, whatever stands in its place now."""
        return self._feed is not None and self._feed.root_lost()

    def enter(self, name: str, mono: float) -> bool:
        """Asks for events from inside an archive; whether they will come. Nothing depends on it but speed."""
        if name not in self._wanted and len(self._wanted) >= self._max_entered:
            return False
        self._wanted.add(name)
        return self._try_enter(name, mono)

    def leave(self, name: str) -> None:
        """No more events from inside that archive are wanted."""
        self._wanted.discard(name)
        if self._feed is not None:
            self._feed.leave(name)

    def _look_after(self, mono: float) -> list[WatchNote]:
        if self._feed is None:
            return []
        why = self._feed.trouble()
        if why is not None:
            self._fail(why, mono)
            return [self._failed(WatchEvent.EMITTER_DIED, why, mono)]
        for name in self._feed.sweep():
            self._wanted.discard(name)
            self._ear.add(name)
        return self._look_after_limit(mono)

    def _look_after_limit(self, mono: float) -> list[WatchNote]:
        if self._limited_until is None:
            return []
        if mono >= self._limited_until:
            self._limited_until = None
            self._enter_wanted(mono)
        elif not self._limit_told:
            self._limit_told = True
            return [WatchNote(WatchEvent.LIMIT_REACHED, WARNING, {"entered": len(self._wanted)})]
        return []

    def _build(self, mono: float) -> list[WatchNote]:
        from collectord.watch.event_source import Feed

        try:
            self._feed = Feed(self._root, self._ear, self._make_observer)
        except _FAILURES as error:
            return self._not_built(error, mono)
        event = WatchEvent.REBUILT if self._built_once else WatchEvent.STARTED
        self._built_once, self._built_at, self._why = True, mono, None
        self._enter_wanted(mono)
        # Events count from here on; what came before is for the scan to find.
        self._ear.request_rescan()
        return [WatchNote(event, INFO, {"root": os.fspath(self._root)})]

    def _not_built(self, error: Exception, mono: float) -> list[WatchNote]:
        known = self._why
        limited = _is_limit(error)
        why = _LIMIT_REACHED if limited else str(error)
        self._fail(why, mono)
        if why == known:
            return []
        event = WatchEvent.LIMIT_REACHED if limited else WatchEvent.FAILED
        return [self._failed(event, why, mono)]

    def _fail(self, why: str, mono: float) -> None:
        # A feed that ran for as long as the longest wait has earned a quick restart.
        if self._feed is not None and mono - self._built_at >= LONGEST_WAIT_S:
            self._wait = FIRST_WAIT_S
        self.drop(why, retry_at=mono + self._wait)
        self._wait = min(2 * self._wait, LONGEST_WAIT_S)
        self._ear.request_rescan()

    def _failed(self, event: WatchEvent, why: str, mono: float) -> WatchNote:
        return WatchNote(event, WARNING, {"reason": why, "retry_in_s": round(self._retry_at - mono, 1)})

    def _enter_wanted(self, mono: float) -> None:
        for name in list(self._wanted):
            self._try_enter(name, mono)
        if self._limited_until is None:
            self._limit_told = False

    def _try_enter(self, name: str, mono: float) -> bool:
        if self._feed is None:
            return False
        if self._feed.has(name) or self._limited_until is not None:
            return self._feed.has(name)
        try:
            self._feed.enter(name)
        except _FAILURES as error:
            if _is_limit(error):
                self._limited_until = mono + LONGEST_WAIT_S
            else:
                self._wanted.discard(name)
            return False
        return True


def _is_limit(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in _LIMITS
