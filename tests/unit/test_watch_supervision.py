from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from watchdog.observers.api import BaseObserver

from collectord.watch import Dirty, Watcher, WatchEvent, WatchNote
from collectord.watch.dirty import DirtySet, Wakeup
from collectord.watch.event_source import EventHandler, make_native_observer
from collectord.watch.root_identity import RootChange, RootGuard


class Clock:
    """Monotonic seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "archives"
    root.mkdir()
    return root


@contextmanager
def running(watcher: Watcher) -> Iterator[Watcher]:
    try:
        yield watcher
    finally:
        watcher.stop()


def polling(
    root: Path, clock: Clock, wakeup: Wakeup | None = None, *, files: tuple[Path, ...] = ()
) -> Watcher:
    return Watcher(root, wakeup or Wakeup(), files=files, mode="poll", poll_interval=30.0, clock=clock)


def events_of(notes: list[WatchNote]) -> list[WatchEvent]:
    return [note.event for note in notes]


def failing(number: int) -> Callable[..., object]:
    def make(*_: object) -> object:
        raise OSError(number, os.strerror(number))

    return make


def test_the_first_take_asks_for_a_rescan_and_then_every_interval(root: Path, clock: Clock) -> None:
    with running(polling(root, clock)) as watcher:
        assert watcher.take(0).rescan
        assert not watcher.take(0).rescan
        clock.passes(29.9)
        assert not watcher.take(0).rescan
        clock.passes(0.1)
        assert watcher.take(0).rescan


def test_a_requested_rescan_comes_at_once_but_two_are_a_second_apart(root: Path, clock: Clock) -> None:
    with running(polling(root, clock)) as watcher:
        watcher.take(0)
        clock.passes(5)
        watcher.request_rescan()
        assert watcher.take(0).rescan
        watcher.request_rescan()
        clock.passes(0.5)
        assert not watcher.take(0).rescan
        clock.passes(0.5)
        assert watcher.take(0).rescan
        clock.passes(29)
        assert not watcher.take(0).rescan


def test_a_missing_root_is_told_once_and_its_return_too(root: Path, clock: Clock) -> None:
    with running(polling(root, clock)) as watcher:
        watcher.check()
        watcher.take(0)
        root.rmdir()
        assert events_of(watcher.check()) == [WatchEvent.ROOT_MISSING]
        assert not watcher.root_healthy
        assert str(root) in watcher.degraded[0]
        assert watcher.check() == []
        root.mkdir()
        clock.passes(1)
        assert WatchEvent.ROOT_RETURNED in events_of(watcher.check())
        assert watcher.degraded == ()
        assert watcher.take(0).rescan


def test_a_file_in_place_of_the_root_is_no_root(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "archives"
    path.write_text("not a folder")
    with running(polling(path, clock)) as watcher:
        assert events_of(watcher.check()) == [WatchEvent.ROOT_MISSING]
        assert not watcher.root_healthy


def test_evidence_holds_only_for_the_folder_that_is_the_root_now(root: Path, clock: Clock) -> None:
    with running(polling(root, clock)) as watcher:
        own = root.stat()
        assert watcher.evidence(own.st_dev, own.st_ino) is None
        watcher.check()
        identity = watcher.evidence(own.st_dev, own.st_ino)
        assert identity is not None
        assert watcher.evidence(own.st_dev, own.st_ino + 1) is None
        root.rename(root.with_name("old"))
        root.mkdir()
        assert watcher.evidence(own.st_dev, own.st_ino) is None
        assert WatchEvent.ROOT_REPLACED in events_of(watcher.check())
        assert watcher.evidence(own.st_dev, own.st_ino) is None
        root.rmdir()
        root.with_name("old").rename(root)
        watcher.check()
        back = watcher.evidence(own.st_dev, own.st_ino)
        assert back is not None
        assert back != identity


def test_a_folder_made_again_under_the_same_numbers_is_another_root(root: Path) -> None:
    guard = RootGuard(root)
    assert guard.check() is RootChange.APPEARED
    before = guard.identity
    assert guard.renew() is RootChange.REPLACED
    assert guard.identity != before
    assert guard.check() is None


def test_without_events_backoff_doubles_to_a_minute_and_polling_goes_on_quicker(
    root: Path, clock: Clock
) -> None:
    tries: list[float] = []

    def make(*_: object) -> object:
        tries.append(clock.now)
        raise OSError(errno.EIO, "broken")

    watcher = Watcher(root, Wakeup(), poll_interval=30.0, clock=clock, make_observer=make)  # type: ignore[arg-type]
    with running(watcher):
        notes = watcher.check()
        rescans = []
        for _ in range(400):
            clock.passes(1)
            notes += watcher.check()
            if watcher.take(0).rescan:
                rescans.append(clock.now)
        assert events_of(notes) == [WatchEvent.FAILED]
        assert "broken" in watcher.degraded[0]
        gaps = [b - a for a, b in pairwise(tries)]
        assert gaps[:8] == [1, 2, 4, 8, 16, 32, 60, 60]
        assert max(b - a for a, b in pairwise(rescans)) <= 5


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE])
def test_a_limit_in_the_way_of_every_watch_is_told_once_with_what_to_do(
    number: int, root: Path, clock: Clock
) -> None:
    watcher = Watcher(root, Wakeup(), clock=clock, make_observer=failing(number))  # type: ignore[arg-type]
    with running(watcher):
        notes = watcher.check()
        clock.passes(100)
        notes += watcher.check()
        assert events_of(notes) == [WatchEvent.LIMIT_REACHED]
        assert "fs.inotify.max_user_watches" in watcher.degraded[0]
        assert not watcher.enter("wc-1")


def test_a_network_file_system_is_polled_and_that_is_no_fault(root: Path, clock: Clock) -> None:
    asked: list[Path] = []

    def is_network(path: Path) -> bool:
        asked.append(path)
        return True

    with running(Watcher(root, Wakeup(), clock=clock, is_network=is_network)) as watcher:
        notes = watcher.check()
        assert events_of(notes) == [WatchEvent.POLLING]
        assert notes[0].details["reason"] == "network file system"
        assert watcher.polling
        assert watcher.degraded == ()
        assert watcher.check() == []
        assert asked == [root]


def test_events_on_a_network_file_system_if_the_configuration_says_so(root: Path, clock: Clock) -> None:
    watcher = Watcher(root, Wakeup(), mode="events", clock=clock, is_network=lambda _: True)
    with running(watcher):
        assert events_of(watcher.check()) == [WatchEvent.STARTED]


@pytest.mark.parametrize(
    "statement",
    [
        "import collectord.watch",
        "from pathlib import Path; from collectord.watch import Wakeup, Watcher\n"
        "w = Watcher(Path('.'), Wakeup(), mode='poll'); w.check(); w.take(0); w.stop()",
    ],
    ids=["import", "poll mode"],
)
def test_watchdog_is_not_imported_before_a_watch_is_built(statement: str) -> None:
    code = statement + "\nimport sys; sys.exit('watchdog' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_extra_files_are_told_once_at_first_and_then_when_they_change(tmp_path: Path, clock: Clock) -> None:
    issues = tmp_path / ".beads" / "issues.jsonl"

    def changed() -> bool:
        watcher.check()
        return watcher.take(0).files == {issues}

    with running(polling(tmp_path, clock, files=(issues,))) as watcher:
        assert changed()
        assert not changed()
        issues.parent.mkdir()
        issues.write_text("{}\n")
        assert changed()
        assert not changed()
        fresh = issues.with_name("fresh")
        fresh.write_text("[]\n")
        fresh.replace(issues)
        assert changed()
        issues.unlink()
        assert changed()
        issues.parent.rmdir()
        assert not changed()


def test_more_names_than_the_cap_become_a_rescan() -> None:
    dirty = DirtySet(Wakeup(), max_names=100)
    for i in range(250):
        dirty.add(f"wc-{i}")
    taken = dirty.take(0)
    assert taken.rescan
    assert len(taken.names) < 100
    assert dirty.take(0) == Dirty()


def test_the_same_name_is_told_once() -> None:
    dirty = DirtySet(Wakeup())
    for _ in range(1000):
        dirty.add("wc-1")
    assert dirty.take(0) == Dirty(names=frozenset({"wc-1"}))


def test_a_signal_handler_may_wake_the_loop_whatever_it_interrupts(root: Path, clock: Clock) -> None:
    wakeup = Wakeup()
    with running(polling(root, clock, wakeup)) as watcher:
        watcher.take(0)
        before = signal.signal(signal.SIGUSR1, lambda *_: wakeup.wake())
        try:
            timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
            timer.start()
            assert watcher.take(30.0) == Dirty()
            timer.join()
            # The lock that a handler must not want is held almost all the time here.
            signal.signal(signal.SIGALRM, lambda *_: wakeup.wake())
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
            for _ in range(2000):
                watcher.request_rescan()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.signal(signal.SIGUSR1, before)


def test_a_wake_before_the_take_is_not_lost(root: Path, clock: Clock) -> None:
    wakeup = Wakeup()
    with running(polling(root, clock, wakeup)) as watcher:
        watcher.take(0)
        for _ in range(100_000):
            wakeup.wake()
        watcher.take(30.0)


def test_a_wake_after_the_end_does_nothing() -> None:
    wakeup = Wakeup()
    wakeup.close()
    wakeup.wake()
    wakeup.wait(30.0)


class Observers:
    """Real observers that can be stopped behind the watcher's back, or not be had at all."""

    def __init__(self) -> None:
        self.made: list[BaseObserver] = []
        self.broken = False

    def __call__(self, ear: EventHandler, on_unmount: Callable[[], None]) -> BaseObserver:
        if self.broken:
            raise OSError(errno.EIO, "broken")
        self.made.append(make_native_observer(ear, on_unmount))
        return self.made[-1]

    def kill(self) -> None:
        self.made[-1].stop()
        self.made[-1].join(5)


def died(notes: list[WatchNote]) -> object:
    assert events_of(notes) == [WatchEvent.EMITTER_DIED]
    return notes[0].details["retry_in_s"]


def test_an_observer_that_keeps_dying_waits_longer_and_one_that_ran_a_minute_starts_anew(
    root: Path, clock: Clock
) -> None:
    observers = Observers()
    with running(Watcher(root, Wakeup(), clock=clock, make_observer=observers)) as watcher:
        watcher.check()
        for wait in (1, 2, 4):
            observers.kill()
            assert died(watcher.check()) == wait
            clock.passes(wait)
            assert events_of(watcher.check()) == [WatchEvent.REBUILT]
        clock.passes(60)
        observers.kill()
        assert died(watcher.check()) == 1


def test_what_landed_between_the_loss_of_events_and_their_return_is_scanned_for(
    root: Path, clock: Clock
) -> None:
    observers = Observers()
    with running(Watcher(root, Wakeup(), clock=clock, make_observer=observers)) as watcher:
        watcher.check()
        observers.kill()
        watcher.check()
        assert watcher.take(0).rescan
        clock.passes(1)
        assert events_of(watcher.check()) == [WatchEvent.REBUILT]
        assert watcher.take(0).rescan
