"""The archives folder as one stream of hints: file events where they are to be had, and a rescan timer."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from collectord.watch.dirty import INFO, WARNING, Dirty, DirtySet, FileWatch, Wakeup, WatchEvent, WatchNote
from collectord.watch.root_identity import RootChange, RootGuard, RootIdentity

if TYPE_CHECKING:
    from collectord.watch.dirty import DirtySet, Wakeup
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
        self._limit_logged = False

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
        elif not self._limit_logged:
            self._limit_logged = True
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
            self._limit_logged = False

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


WatchMode = Literal["auto", "events", "poll"]
DEGRADED_POLL_S: Final = 5.0
RESCAN_GAP_S: Final = 1.0
MAX_ENTERED: Final = 64


class Watcher:
    """Belongs to the loop's thread; `wakeup` ends a `take` from elsewhere, and outlives a watcher.

    Events are hints, the scan decides: names may be missing, late, repeated, or of nothing at all. The
    first `take` asks for a rescan, and every loss of events asks for another. Call `check` every second.
    """

    def __init__(
        self,
        root: Path,
        wakeup: Wakeup,
        *,
        files: Iterable[Path] = (),
        mode: WatchMode = "auto",
        poll_interval: float = 30.0,
        is_network: Callable[[Path], bool] = lambda _: False,
        max_entered: int = MAX_ENTERED,
        clock: Callable[[], float] = time.monotonic,
        make_observer: ObserverFactory | None = None,
    ) -> None:
        self._mode = mode
        self._poll_interval = poll_interval
        self._is_network = is_network
        self._clock = clock
        self._dirty = DirtySet(wakeup)
        self._files = FileWatch(files)
        self._guard = RootGuard(root)
        self._supervisor = Supervisor(root, self._dirty, max_entered, make_observer)
        self._polling = mode == "poll"
        self._rescanned_at = float("-inf")
        self._rescan_at = float("-inf")

    def take(self, timeout: float) -> Dirty:
        """What stirred. Waits until something does, a rescan is due, a wake, or for `timeout` seconds.

        Rescans come every poll interval, sooner on request, and never closer than a second together.
        """
        wait = min(timeout, self._rescan_at - self._clock())
        dirty = self._dirty.take(wait)
        now = self._clock()
        if dirty.rescan:
            self._rescan_at = min(self._rescan_at, max(now, self._rescanned_at + RESCAN_GAP_S))
        due = now >= self._rescan_at
        if due:
            self._rescanned_at, self._rescan_at = now, now + self._interval()
        return Dirty(dirty.names, due, dirty.files)

    def check(self) -> list[WatchNote]:
        """One round of supervision: repairs what it can and says what changed. Takes two seconds at most."""
        mono = self._clock()
        notes = self._check_root(mono)
        if self._guard.identity is not None and not self._polling:
            notes += self._supervisor.supervise(mono)
        overflows = self._dirty.take_overflows()
        if overflows:
            notes.append(WatchNote(WatchEvent.OVERFLOW, WARNING, {"times": overflows}))
        for path in self._files.changed():
            self._dirty.add_file(path)
        return notes

    def enter(self, name: str) -> bool:
        """Asks for events from inside an archive that is not settled yet: enter first, look afterwards.

        False if none will come (polling, cap or limit reached, gone): it then settles by its looks alone.
        """
        return not self._polling and self._supervisor.enter(name, self._clock())

    def leave(self, name: str) -> None:
        """The archive is settled or gone; a name that was never entered is fine."""
        self._supervisor.leave(name)

    def request_rescan(self) -> None:
        """Asks for a rescan as soon as the gap between two allows."""
        self._dirty.request_rescan()

    def stop(self) -> None:
        """Stops all threads, within about two seconds. `take` then returns at once."""
        self._supervisor.drop(None, retry_at=float("inf"))

    @property
    def root_healthy(self) -> bool:
        """Whether the root is there, by the last check. Without that no absence may be believed."""
        return self._guard.identity is not None

    @property
    def degraded(self) -> tuple[str, ...]:
        """Why new archives may be noticed late or not at all, as sentences; empty while all is well."""
        if self._guard.reason is not None:
            return (f"the archives folder {self._guard.path} cannot be used: {self._guard.reason}",)
        return () if self._polling else self._supervisor.degraded

    @property
    def polling(self) -> bool:
        """Whether this root is polled by choice (mode, network file system) rather than for a failure."""
        return self._polling

    def evidence(self, device: int, inode: int) -> RootIdentity | None:
        """The root's identity if the folder that was just scanned is still the healthy root, else None.

        Looks at the path once more, so that what happened during the scan spoils it. For `absence.weigh`.
        """
        before = self._guard.identity
        if before is None or self._supervisor.root_lost() or (device, inode) != (before.device, before.inode):
            return None
        return before if self._guard.still(before) else None

    def _interval(self) -> float:
        blind = self.root_healthy and not self._polling and not self._supervisor.running
        return min(self._poll_interval, DEGRADED_POLL_S) if blind else self._poll_interval

    def _check_root(self, mono: float) -> list[WatchNote]:
        # Asked before the path is looked at: what it reports has then happened before the look.
        lost = self._supervisor.root_lost()
        was_missing = self._guard.reason is not None
        change = self._guard.check()
        if change is None and lost:
            change = self._guard.renew()
        if change is None:
            return []
        self._supervisor.drop(None, retry_at=mono)
        self._dirty.request_rescan()
        notes = self._root_notes(change, was_missing)
        if self._guard.identity is not None:
            notes += self._choose_polling()
        return notes

    def _root_notes(self, change: RootChange, was_missing: bool) -> list[WatchNote]:
        details: dict[str, object] = {"root": os.fspath(self._guard.path)}
        if change in (RootChange.MISSING, RootChange.UNMOUNTED):
            return [WatchNote(WatchEvent.ROOT_MISSING, WARNING, {**details, "reason": self._guard.reason})]
        if change is RootChange.REPLACED:
            return [WatchNote(WatchEvent.ROOT_REPLACED, WARNING, details)]
        return [WatchNote(WatchEvent.ROOT_RETURNED, INFO, details)] if was_missing else []

    def _choose_polling(self) -> list[WatchNote]:
        network = self._mode == "auto" and self._is_network(self._guard.path)
        self._polling = self._mode == "poll" or network
        if not self._polling:
            return []
        reason = "network file system" if network else "configuration"
        return [WatchNote(WatchEvent.POLLING, INFO, {"reason": reason, "every_s": self._poll_interval})]
