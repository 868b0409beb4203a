"""The watcher on a real file system with real threads: nothing here waits for luck, all waits are bounded."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers.api import BaseObserver

from collectord.watch import Wakeup, Watcher, WatchEvent, WatchNote
from collectord.watch.event_source import EventHandler, LinuxObserver, make_native_observer

NEVER = 100_000.0
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify and mounts are Linux")

WAKEUP = Wakeup()


class Loop:
    """A small loop around the watcher, as the daemon has one: take, scan if asked to, check."""

    def __init__(self, root: Path, **options: object) -> None:
        self.root = root
        self.observers: list[BaseObserver] = []
        options = {"poll_interval": NEVER, "make_observer": self._make, **options}
        self.watcher = Watcher(root, WAKEUP, **options)  # type: ignore[arg-type]
        self.notes: list[WatchNote] = self.watcher.check()
        self.heard: set[str] = set()
        self.scanned: set[str] = set()
        self.files: set[Path] = set()
        self.rescans = 0

    def _make(self, ear: EventHandler, on_unmount: Callable[[], None]) -> BaseObserver:
        self.observers.append(make_native_observer(ear, on_unmount))
        return self.observers[-1]

    @property
    def events(self) -> list[WatchEvent]:
        return [note.event for note in self.notes]

    @property
    def found(self) -> set[str]:
        return self.heard | self.scanned

    def turn(self, timeout: float = 0.05) -> None:
        dirty = self.watcher.take(timeout)
        self.heard |= dirty.names
        self.files |= dirty.files
        if dirty.rescan:
            self.rescans += 1
            if self.root.is_dir():
                self.scanned |= set(os.listdir(self.root))
        self.notes += self.watcher.check()

    def until(self, condition: Callable[[], bool], seconds: float = 9.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, (self.events, self.watcher.degraded, len(self.found))
            self.turn()

    def settle_down(self) -> None:
        """Takes in all that was asked for so far, so that what is heard next comes from an event."""
        self.until(lambda: self.rescans > 0 and not self.watcher.take(0.0).rescan)
        self.heard.clear()
        self.scanned.clear()

    def hears(self, name: str, seconds: float = 9.0) -> None:
        """A new archive of that name is noticed by an event and not by a scan."""
        (self.root / name).mkdir()
        self.until(lambda: name in self.heard, seconds)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "archives"
    root.mkdir()
    return root


@pytest.fixture
def loops() -> Iterator[Callable[..., Loop]]:
    made: list[Loop] = []

    def make(root: Path, **options: object) -> Loop:
        made.append(Loop(root, **options))
        return made[-1]

    yield make
    for loop in made:
        loop.watcher.stop()


@pytest.fixture
def loop(root: Path, loops: Callable[..., Loop]) -> Loop:
    loop = loops(root)
    loop.settle_down()
    return loop


def test_a_new_archive_is_noticed_by_an_event(loop: Loop) -> None:
    loop.hears("wc-1")
    assert loop.events == [WatchEvent.STARTED]


def test_what_was_there_before_is_found_by_the_first_scan(root: Path, loops: Callable[..., Loop]) -> None:
    (root / "wc-old").mkdir()
    loop = loops(root)
    loop.until(lambda: "wc-old" in loop.scanned)


def test_a_rename_into_and_out_of_the_folder_is_noticed(loop: Loop, tmp_path: Path) -> None:
    (tmp_path / "made-elsewhere").mkdir()
    (tmp_path / "made-elsewhere").rename(loop.root / "wc-1")
    loop.until(lambda: "wc-1" in loop.heard)
    loop.settle_down()
    (loop.root / "wc-1").rename(loop.root / "wc-2")
    loop.until(lambda: {"wc-1", "wc-2"} <= loop.heard)
    loop.settle_down()
    shutil.rmtree(loop.root / "wc-2")
    loop.until(lambda: "wc-2" in loop.heard)


def test_writes_are_heard_only_inside_archives_that_were_entered(loop: Loop) -> None:
    for name in ("wc-in", "wc-out"):
        loop.hears(name)
    assert loop.watcher.enter("wc-in")
    loop.settle_down()
    (loop.root / "wc-out" / "proof.json").write_text("{}")
    (loop.root / "wc-in" / "proof.json").write_text("{}")
    loop.until(lambda: "wc-in" in loop.heard)
    loop.watcher.leave("wc-in")
    loop.hears("wc-marker-1")
    loop.settle_down()
    (loop.root / "wc-in" / "proof.json").write_text("{} ")
    loop.hears("wc-marker-2")
    assert loop.heard == {"wc-marker-2"}


def test_reading_an_archive_makes_no_hints(loop: Loop) -> None:
    loop.hears("wc-1")
    (loop.root / "wc-1" / "proof.json").write_text("{}")
    loop.watcher.enter("wc-1")
    loop.settle_down()
    for _ in range(20):
        os.listdir(loop.root)
        os.listdir(loop.root / "wc-1")
        (loop.root / "wc-1" / "proof.json").read_text()
    loop.hears("wc-marker")
    assert loop.heard == {"wc-marker"}


def test_an_entered_archive_that_is_removed_is_told_and_harms_nothing(loop: Loop) -> None:
    loop.hears("wc-1")
    loop.watcher.enter("wc-1")
    loop.settle_down()
    shutil.rmtree(loop.root / "wc-1")
    loop.until(lambda: "wc-1" in loop.heard)
    loop.watcher.leave("wc-1")
    loop.hears("wc-1")
    assert loop.watcher.enter("wc-1")
    assert loop.events == [WatchEvent.STARTED]


def test_no_more_archives_are_entered_than_the_cap(root: Path, loops: Callable[..., Loop]) -> None:
    loop = loops(root, max_entered=2)
    for name in "abc":
        (root / name).mkdir()
    assert [loop.watcher.enter(name) for name in "abc"] == [True, True, False]
    loop.watcher.leave("a")
    assert loop.watcher.enter("c")


def test_links_and_files_are_not_entered(loop: Loop, tmp_path: Path) -> None:
    (loop.root / "link").symlink_to(tmp_path)
    (loop.root / "file").write_text("")
    assert [loop.watcher.enter(name) for name in ("link", "file", "nothing")] == [False] * 3


def test_a_root_that_is_a_link_is_watched_where_it_leads(tmp_path: Path, loops: Callable[..., Loop]) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    link = tmp_path / "archives"
    link.symlink_to("one")
    loop = loops(link)
    loop.settle_down()
    loop.hears("wc-1")
    other = tmp_path / "other"
    other.symlink_to("two")
    other.replace(link)
    loop.until(lambda: WatchEvent.ROOT_REPLACED in loop.events)
    loop.settle_down()
    loop.hears("wc-2")


def test_five_thousand_archives_in_a_burst_are_all_found(loop: Loop) -> None:
    names = {f"wc-{i}" for i in range(5000)}

    def burst() -> None:
        for name in names:
            (loop.root / name).mkdir()

    writer = threading.Thread(target=burst)
    writer.start()
    loop.until(lambda: names <= loop.found)
    writer.join()


WATCH_AND_COUNT = """
    import os, sys, time
    from pathlib import Path
    from collectord.watch import Wakeup, Watcher
    root, wanted = Path(sys.argv[1]), int(sys.argv[2])
    watcher = Watcher(root, Wakeup(), poll_interval=1e6)
    found, told = set(), [note.event for note in watcher.check()]
    watcher.take(0)
    print("ready", flush=True)
    deadline = time.monotonic() + 60
    while not (len(found) == wanted and "watch.overflow" in told) and time.monotonic() < deadline:
        dirty = watcher.take(0.1)
        found |= dirty.names | set(os.listdir(root) if dirty.rescan else ())
        told += [note.event for note in watcher.check()]
    watcher.stop()
    print(len(found), *told)
"""


@pytest.mark.slow
def test_a_queue_that_overflowed_while_the_process_stood_still_is_told_and_made_good(root: Path) -> None:
    count = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text()) + 1000
    if count > 40_000:
        pytest.skip(f"SKIPPED: making the kernel drop events takes {count} directories here")
    code = textwrap.dedent(WATCH_AND_COUNT)
    command = [sys.executable, "-c", code, str(root), str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGSTOP)
            for i in range(count):
                os.mkdir(root / f"wc-{i}")  # noqa: PTH102
            process.send_signal(signal.SIGCONT)
            found, *told = process.communicate(timeout=30)[0].split()
        finally:
            process.kill()
    assert int(found) == count
    assert "watch.overflow" in told


def test_a_root_that_is_missing_at_the_start_is_waited_for(
    tmp_path: Path, loops: Callable[..., Loop]
) -> None:
    root = tmp_path / "later" / "archives"
    loop = loops(root)
    loop.turn()
    assert not loop.watcher.root_healthy
    assert loop.watcher.degraded
    root.mkdir(parents=True)
    loop.until(lambda: loop.watcher.root_healthy and WatchEvent.STARTED in loop.events)
    loop.settle_down()
    loop.hears("wc-1")
    assert loop.events == [WatchEvent.ROOT_MISSING, WatchEvent.ROOT_RETURNED, WatchEvent.STARTED]


@pytest.mark.parametrize("seen_missing", [True, False], ids=["slowly", "between two checks"])
def test_a_root_that_was_removed_and_made_again_is_watched_again(loop: Loop, seen_missing: bool) -> None:
    shutil.rmtree(loop.root)
    if seen_missing:
        loop.until(lambda: WatchEvent.ROOT_MISSING in loop.events)
        assert not loop.watcher.root_healthy
    loop.root.mkdir()
    (loop.root / "wc-while-blind").mkdir()
    loop.until(lambda: loop.watcher.root_healthy and WatchEvent.REBUILT in loop.events)
    loop.until(lambda: "wc-while-blind" in loop.found)
    loop.settle_down()
    loop.hears("wc-1")
    assert WatchEvent.EMITTER_DIED not in loop.events
    expected = WatchEvent.ROOT_MISSING if seen_missing else WatchEvent.ROOT_REPLACED
    assert loop.events.count(expected) == 1


def test_a_root_that_was_swapped_by_rename_is_noticed_and_the_new_one_watched(loop: Loop) -> None:
    fresh = loop.root.with_name("fresh")
    fresh.mkdir()
    (fresh / "wc-in-fresh").mkdir()
    identity = loop.watcher.evidence(loop.root.stat().st_dev, loop.root.stat().st_ino)
    loop.root.rename(loop.root.with_name("old"))
    fresh.rename(loop.root)
    loop.until(lambda: WatchEvent.REBUILT in loop.events and "wc-in-fresh" in loop.scanned)
    loop.settle_down()
    loop.hears("wc-1")
    assert loop.events.count(WatchEvent.ROOT_REPLACED) == 1
    now = loop.watcher.evidence(loop.root.stat().st_dev, loop.root.stat().st_ino)
    assert now is not None
    assert now != identity


def test_polling_finds_everything_without_any_event(root: Path, loops: Callable[..., Loop]) -> None:
    loop = loops(root, mode="poll", poll_interval=0.1)
    (root / "wc-1").mkdir()
    loop.until(lambda: "wc-1" in loop.scanned)
    shutil.rmtree(root)
    loop.until(lambda: not loop.watcher.root_healthy)
    root.mkdir()
    (root / "wc-2").mkdir()
    loop.until(lambda: "wc-2" in loop.scanned)
    assert loop.observers == []
    assert not loop.heard


def mount_tmpfs(path: Path) -> None:
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "archives", path], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(
            f"SKIPPED: mounting is not permitted here, unmounting stays unproven: {done.stderr.strip()}"
        )


def unmount(path: Path) -> None:
    subprocess.run(["umount", path], check=True)


@pytest.fixture
def mounted(root: Path) -> Iterator[Path]:
    if shutil.which("mount") is None:
        pytest.skip("SKIPPED: there is no mount here, unmounting stays unproven")
    mount_tmpfs(root)
    yield root
    while os.path.ismount(root):
        subprocess.run(["umount", "-l", root], check=True)


def test_an_unmounted_root_is_waited_for_and_proves_no_absence(
    mounted: Path, loops: Callable[..., Loop]
) -> None:
    loop = loops(mounted)
    loop.settle_down()
    loop.hears("wc-1")
    unmount(mounted)
    assert mounted.is_dir()
    loop.until(lambda: WatchEvent.ROOT_MISSING in loop.events)
    for _ in range(5):
        loop.turn(0.01)
    own = mounted.stat()
    assert not loop.watcher.root_healthy
    assert loop.watcher.evidence(own.st_dev, own.st_ino) is None
    assert "mounted" in loop.watcher.degraded[0]
    assert loop.events.count(WatchEvent.ROOT_MISSING) == 1
    mount_tmpfs(mounted)
    (mounted / "wc-2").mkdir()
    loop.until(lambda: WatchEvent.REBUILT in loop.events and "wc-2" in loop.found)
    loop.settle_down()
    loop.hears("wc-3")
    assert WatchEvent.ROOT_RETURNED in loop.events
    assert loop.watcher.root_healthy


def test_a_root_that_was_mounted_again_between_two_checks_is_not_left_deaf(
    mounted: Path, loops: Callable[..., Loop]
) -> None:
    loop = loops(mounted)
    loop.settle_down()
    unmount(mounted)
    mount_tmpfs(mounted)
    loop.until(lambda: WatchEvent.REBUILT in loop.events)
    loop.settle_down()
    loop.hears("wc-1")


def test_an_archive_that_lands_in_the_folder_below_an_unmounted_root_is_found(
    mounted: Path, loops: Callable[..., Loop]
) -> None:
    loop = loops(mounted)
    unmount(mounted)
    loop.until(lambda: not loop.watcher.root_healthy)
    (mounted / "wc-below").mkdir()
    loop.until(lambda: "wc-below" in loop.found)
    assert loop.watcher.root_healthy


class Raises(FileSystemEventHandler):
    """A handler as nobody should write one."""

    def dispatch(self, event: FileSystemEvent) -> None:
        raise RuntimeError("handler")


def kill_dispatcher(loop: Loop) -> None:
    observer = loop.observers[-1]
    for emitter in observer.emitters:
        observer.add_handler_for_watch(Raises(), emitter.watch)
    (loop.root / "wc-fatal").mkdir()
    observer.join(5)


def kill_emitter(loop: Loop) -> None:
    """Its next event hits an emitter whose queue is gone, which ends the thread with an error."""
    emitter = next(iter(loop.observers[-1].emitters))
    emitter.queue_event = None  # type: ignore[method-assign,assignment]
    (loop.root / "wc-fatal").mkdir()
    emitter.join(5)


def stop_emitter(loop: Loop) -> None:
    for emitter in loop.observers[-1].emitters:
        emitter.stop()


def kill_reader(loop: Loop) -> None:
    observer = loop.observers[-1]
    assert isinstance(observer, LinuxObserver)
    observer.reader.stop()
    observer.reader.join(5)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("kill", [kill_dispatcher, kill_emitter, stop_emitter, kill_reader])
def test_whatever_thread_dies_events_are_back_within_five_seconds(
    loop: Loop, kill: Callable[[Loop], None]
) -> None:
    kill(loop)
    (loop.root / "wc-while-blind").mkdir()
    began = time.monotonic()
    loop.until(lambda: WatchEvent.REBUILT in loop.events and "wc-while-blind" in loop.found)
    assert time.monotonic() - began < 5
    loop.settle_down()
    loop.hears("wc-1")
    lost = {WatchEvent.EMITTER_DIED, WatchEvent.ROOT_REPLACED}
    assert len([event for event in loop.events if event in lost]) == 1
    assert loop.watcher.degraded == ()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_archives_entered_before_a_rebuild_are_entered_again(loop: Loop) -> None:
    loop.hears("wc-1")
    loop.watcher.enter("wc-1")
    kill_dispatcher(loop)
    loop.until(lambda: WatchEvent.REBUILT in loop.events)
    loop.settle_down()
    (loop.root / "wc-1" / "manifest.json").write_text("{}")
    loop.until(lambda: "wc-1" in loop.heard)


LIMITED = """
    import os, sys, time
    from pathlib import Path
    # Only the limit of the namespace made for this process may be lowered, never the machine's.
    assert os.readlink("/proc/self/ns/user") != sys.argv[2], "not in a user namespace of its own"
    try:
        Path("/proc/sys/user/max_inotify_watches").write_text(sys.argv[3])
    except OSError as error:
        sys.exit(f"unsupported: {error}")
    from collectord.watch import Wakeup, Watcher
    root = Path(sys.argv[1])
    watcher = Watcher(root, Wakeup(), poll_interval=30.0)
    notes = [note.event for note in watcher.check()]
    watcher.take(0)
    names = [f"wc-{i}" for i in range(6)]
    for name in names:
        (root / name).mkdir()
    entered = [watcher.enter(name) for name in names].count(True)
    found, deadline = set(), time.monotonic() + 8
    while not set(names) <= found and time.monotonic() < deadline:
        dirty = watcher.take(0.1)
        found |= dirty.names | set(os.listdir(root) if dirty.rescan else ())
        notes += [note.event for note in watcher.check()]
    print(entered, len(found), int(bool(watcher.degraded)), *notes)
    watcher.stop()
"""


def limited(root: Path, watches: int) -> list[str]:
    """Runs a watcher where the kernel grants that few watches; gives what it printed."""
    if shutil.which("unshare") is None:
        pytest.skip("SKIPPED: there is no unshare here, the watch limit stays unproven")
    ours = os.readlink("/proc/self/ns/user")  # noqa: PTH115
    program = [sys.executable, "-c", textwrap.dedent(LIMITED), str(root), ours, str(watches)]
    done = subprocess.run(
        ["unshare", "-Ur", *program], capture_output=True, text=True, check=False, timeout=30
    )
    if "unshare:" in done.stderr or "unsupported:" in done.stderr:
        pytest.skip(f"SKIPPED: no user namespace here, the watch limit stays unproven: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_watch_limit_that_leaves_room_for_the_root_only_costs_speed(root: Path) -> None:
    assert limited(root, 3) == ["2", "6", "1", "watch.started", "watch.limit_reached"]


def test_a_watch_limit_without_room_for_the_root_leaves_the_polling(root: Path) -> None:
    assert limited(root, 0) == ["0", "6", "1", "watch.limit_reached"]


def test_stopping_ends_all_threads_and_gives_all_files_back(root: Path) -> None:
    def held() -> tuple[int, int]:
        return threading.active_count(), len(os.listdir("/proc/self/fd"))

    Loop(root).watcher.stop()
    before = held()
    for _ in range(5):
        loop = Loop(root)
        loop.settle_down()
        for name in "abc":
            (root / name).mkdir(exist_ok=True)
            loop.watcher.enter(name)
        began = time.monotonic()
        loop.watcher.stop()
        assert time.monotonic() - began < 3
    assert held() == before


def test_an_idle_watcher_costs_next_to_nothing(loop: Loop) -> None:
    for i in range(2000):
        (loop.root / f"wc-{i}").mkdir()
    loop.settle_down()
    cpu, end = time.process_time(), time.monotonic() + 3
    while time.monotonic() < end:
        loop.turn(1.0)
    assert time.process_time() - cpu < 0.15
