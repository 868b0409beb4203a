"""Our own files: whole or not there at all, locked by one, and on what kind of disk."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import collectord
from collectord.errors import LockHeld
from collectord.system.durable import (
    atomic_write,
    ensure_private_dir,
    fsync_dir,
    publish_directory,
    replace_symlink,
)
from collectord.system.lock import LockUnavailable, StateLock, holder
from collectord.system.mounts import free_space, is_network_filesystem, type_at

SOURCES = str(Path(collectord.__file__).parent.parent)
PRELUDE = f"import sys; sys.path.insert(0, {SOURCES!r})\n"

pytestmark = pytest.mark.timeout(60)


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python process of its own that talks over its standard streams."""
    command = [sys.executable, "-c", PRELUDE + textwrap.dedent(script), *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> str:
    stream: IO[str] | None = process.stdout
    assert stream is not None
    return stream.readline().strip()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def narrow_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What was made durable and renamed, in order, by inode."""
    seen: list[tuple[str, int]] = []
    plain_fsync, plain_replace, plain_rename = os.fsync, os.replace, os.rename

    def fsync(fd: int) -> None:
        seen.append(("fsync", os.fstat(fd).st_ino))
        plain_fsync(fd)

    def replace(source: Any, target: Any) -> None:
        seen.append(("rename", os.lstat(source).st_ino))
        plain_replace(source, target)

    def rename(source: Any, target: Any) -> None:
        seen.append(("rename", os.lstat(source).st_ino))
        plain_rename(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(os, "rename", rename)
    return seen


# --- atomic_write


@pytest.mark.parametrize("wanted", [0o600, 0o644])
@pytest.mark.usefixtures("narrow_umask")
def test_a_file_is_written_whole_with_exactly_the_rights_asked_for(tmp_path: Path, wanted: int) -> None:
    path = tmp_path / "file"
    for data in (b"first", b"", b"x" * 300_000):
        atomic_write(path, data, wanted)
        assert (path.read_bytes(), mode(path)) == (data, wanted)
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_is_on_disk_before_it_has_its_name_and_its_name_before_we_go_on(
    tmp_path: Path, steps: list[tuple[str, int]]
) -> None:
    path = tmp_path / "file"
    atomic_write(path, b"data")
    inode = path.stat().st_ino
    assert steps == [("fsync", inode), ("rename", inode), ("fsync", tmp_path.stat().st_ino)]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    script = """
        import resource
        from pathlib import Path
        from collectord.system.durable import atomic_write
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            atomic_write(Path(sys.argv[1]), b"x" * 5000)
        except OSError as error:
            print(error.errno)
    """
    with start(script, tmp_path / "file") as process:
        assert said(process) == str(errno.EFBIG)
    (tmp_path / "directory").mkdir()
    with pytest.raises(IsADirectoryError):
        atomic_write(tmp_path / "directory", b"new")
    assert sorted(os.listdir(tmp_path)) == ["directory", "file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_writer_killed_before_the_rename_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    script = """
        import os, signal
        from pathlib import Path
        from collectord.system.durable import atomic_write
        def die(event, _):
            if event == "os.rename":
                os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(die)
        atomic_write(Path(sys.argv[1]), b"new")
    """
    with start(script, tmp_path / "file") as process:
        assert process.wait() == -signal.SIGKILL
    assert (tmp_path / "file").read_bytes() == b"old"
    atomic_write(tmp_path / "file", b"newer")
    assert (tmp_path / "file").read_bytes() == b"newer"
    (left,) = set(os.listdir(tmp_path)) - {"file"}
    assert left.startswith(".collectord-")
    assert left.endswith(".tmp")


def test_a_reader_sees_one_version_or_the_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    versions = [b"a" * 200_000, b"b" * 100_000]
    atomic_write(path, versions[0])
    script = """
        from pathlib import Path
        from collectord.system.durable import atomic_write
        print("writing", flush=True)
        while True:
            atomic_write(Path(sys.argv[1]), b"b" * 100_000)
            atomic_write(Path(sys.argv[1]), b"a" * 200_000)
    """
    with start(script, path) as process:
        assert said(process) == "writing"
        seen = {path.read_bytes() for _ in range(300)}
        process.kill()
    assert seen <= set(versions)
    assert path.read_bytes() in versions


# --- directories


@pytest.mark.usefixtures("narrow_umask")
def test_a_private_directory_is_for_its_owner_and_its_parents_are_as_usual(tmp_path: Path) -> None:
    os.umask(0o022)
    ensure_private_dir(tmp_path / "state" / "collectord")
    ensure_private_dir(tmp_path / "state" / "collectord")
    assert mode(tmp_path / "state" / "collectord") == 0o700
    assert mode(tmp_path / "state") == 0o755


@pytest.mark.parametrize(("before", "after"), [(0o755, 0o700), (0o2775, 0o2700), (0o500, 0o500)])
def test_a_directory_of_ours_is_narrowed_and_never_widened(tmp_path: Path, before: int, after: int) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(before)
    (tmp_path / "link").symlink_to("state")
    ensure_private_dir(tmp_path / "link")
    assert mode(tmp_path / "state") == after


def test_a_directory_of_another_is_left_alone(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("DIRECTORIES OF OTHERS NOT TESTED: giving one away needs root")
    (tmp_path / "state").mkdir(mode=0o755)
    os.chown(tmp_path / "state", 65534, 65534)
    ensure_private_dir(tmp_path / "state")
    assert mode(tmp_path / "state") == 0o755


def test_a_file_in_the_place_of_a_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(NotADirectoryError):
        ensure_private_dir(tmp_path / "state")


def test_a_file_system_without_directory_fsync_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails_with(code: int) -> None:
        def fsync(fd: int) -> None:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, "fsync", fsync)

    fails_with(errno.EINVAL)
    fsync_dir(tmp_path)
    fails_with(errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        fsync_dir(tmp_path)


# --- publishing


@pytest.fixture(params=["one step", "look and rename"])
def rename_as(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same behaviour where the system has no rename that refuses to replace."""
    if request.param == "look and rename":

        class Bare:
            def __init__(self, *arguments: object, **options: object) -> None:
                pass

        monkeypatch.setattr(ctypes, "CDLL", Bare)
    return str(request.param)


def made(tmp_path: Path, name: str = ".tmp", text: str = "row\n") -> Path:
    tmp = tmp_path / name
    (tmp / "inner" / "deep").mkdir(parents=True)
    (tmp / "dataset.jsonl").write_text(text)
    (tmp / "inner" / "deep" / "file").write_text("x")
    (tmp / "link").symlink_to("nowhere")
    return tmp


@pytest.mark.usefixtures("rename_as")
def test_a_directory_is_published_under_its_name(tmp_path: Path) -> None:
    publish_directory(made(tmp_path), tmp_path / "v1")
    assert (tmp_path / "v1" / "dataset.jsonl").read_text() == "row\n"
    assert os.listdir(tmp_path) == ["v1"]


@pytest.mark.parametrize(
    "occupy",
    [
        lambda path: path.write_text("file"),
        lambda path: path.mkdir(),
        lambda path: made(path.parent, path.name, "older\n"),
        lambda path: path.symlink_to("nowhere"),
        lambda path: path.symlink_to(".tmp"),
    ],
    ids=["file", "empty", "full", "dangling", "link"],
)
@pytest.mark.usefixtures("rename_as")
def test_nothing_is_ever_published_over_anything(tmp_path: Path, occupy: Callable[[Path], object]) -> None:
    tmp, final = made(tmp_path), tmp_path / "v1"
    occupy(final)
    before = final.lstat()
    with pytest.raises(FileExistsError) as caught:
        publish_directory(tmp, final)
    assert str(final) in str(caught.value)
    assert final.lstat() == before
    assert (tmp / "dataset.jsonl").read_text() == "row\n"


def test_all_of_a_directory_is_on_disk_before_it_is_published(
    tmp_path: Path, steps: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda *arguments, **options: object())
    (tmp_path / "made").mkdir()
    tmp, final = made(tmp_path / "made"), tmp_path / "v1"
    content = {path.stat().st_ino for path in tmp.rglob("*") if not path.is_symlink()}
    own = tmp.stat().st_ino
    publish_directory(tmp, final)
    at = steps.index(("rename", own))
    assert {inode for _, inode in steps[: at - 1]} == content
    assert steps[at - 1] == ("fsync", own)
    assert steps[at + 1 :] == [
        ("fsync", tmp_path.stat().st_ino),
        ("fsync", (tmp_path / "made").stat().st_ino),
    ]


def test_of_many_who_publish_one_name_exactly_one_wins(tmp_path: Path) -> None:
    for turn in range(20):
        final = tmp_path / f"v{turn}"
        mine = [made(tmp_path, f".tmp-{turn}-{i}", f"{i}\n") for i in range(4)]
        together = threading.Barrier(len(mine))
        won: list[int] = []

        def publish(i: int, tmp: Path, final: Path, together: threading.Barrier, won: list[int]) -> None:
            together.wait()
            try:
                publish_directory(tmp, final)
            except FileExistsError:
                return
            won.append(i)

        threads = [
            threading.Thread(target=publish, args=(i, tmp, final, together, won))
            for i, tmp in enumerate(mine)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (winner,) = won
        assert (final / "dataset.jsonl").read_text() == f"{winner}\n"
        assert [tmp.exists() for tmp in mine].count(True) == len(mine) - 1


@pytest.mark.parametrize("full", [True, False])
def test_without_the_one_step_a_race_costs_at_most_an_empty_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: bool
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda *arguments, **options: object())
    tmp, final = made(tmp_path), tmp_path / "v1"
    plain = os.rename

    def rename(source: Any, target: Any) -> None:
        final.mkdir()
        if full:
            (final / "dataset.jsonl").write_text("another's\n")
        plain(source, target)

    monkeypatch.setattr(os, "rename", rename)
    if full:
        with pytest.raises(FileExistsError):
            publish_directory(tmp, final)
        assert (final / "dataset.jsonl").read_text() == "another's\n"
    else:
        publish_directory(tmp, final)
        assert (final / "dataset.jsonl").read_text() == "row\n"


@pytest.mark.usefixtures("rename_as")
def test_publishing_what_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        publish_directory(tmp_path / "nothing", tmp_path / "v1")


# --- the link to the newest


def test_a_link_is_made_and_moved(tmp_path: Path) -> None:
    link = tmp_path / "newest"
    for target in ("v1", "v2", "../benches/v3"):
        replace_symlink(link, target)
        assert os.readlink(link) == target  # noqa: PTH115
    assert os.listdir(tmp_path) == ["newest"]


@pytest.mark.parametrize("occupy", [lambda path: path.mkdir(), lambda path: path.write_text("kept")])
def test_what_is_not_a_link_is_not_replaced(tmp_path: Path, occupy: Callable[[Path], object]) -> None:
    occupy(tmp_path / "newest")
    before = (tmp_path / "newest").lstat()
    with pytest.raises(FileExistsError):
        replace_symlink(tmp_path / "newest", "v1")
    assert (tmp_path / "newest").lstat() == before
    assert os.listdir(tmp_path) == ["newest"]


def test_a_directory_that_appears_in_the_last_moment_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = os.replace

    def replace(source: Any, target: Any) -> None:
        (tmp_path / "newest").mkdir()
        plain(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(IsADirectoryError):
        replace_symlink(tmp_path / "newest", "v1")
    assert os.listdir(tmp_path) == ["newest"]


def test_a_link_that_would_not_move_with_its_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        replace_symlink(tmp_path / "newest", "/somewhere/v1")
    assert os.listdir(tmp_path) == []


def test_a_link_is_never_missing_while_it_moves(tmp_path: Path) -> None:
    link = tmp_path / "newest"
    replace_symlink(link, "v0")
    script = """
        from pathlib import Path
        from collectord.system.durable import replace_symlink
        print("moving", flush=True)
        while True:
            replace_symlink(Path(sys.argv[1]), "v1")
            replace_symlink(Path(sys.argv[1]), "v0")
    """
    with start(script, link) as process:
        assert said(process) == "moving"
        assert {os.readlink(link) for _ in range(2000)} <= {"v0", "v1"}  # noqa: PTH115
        process.kill()


# --- the lock

HOLD = """
    from pathlib import Path
    from collectord.system.lock import StateLock
    lock = StateLock.acquire(Path(sys.argv[1]), "collectord daemon")
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


def test_the_second_learns_who_is_the_first(path: Path) -> None:
    began = int(time.time() * 1000)
    with start(HOLD, path) as process:
        assert said(process) == "held"
        with pytest.raises(LockHeld) as caught:
            StateLock.acquire(path, "collectord ingest")
        found = holder(path)
        assert found is not None
        assert (found["pid"], found["command"]) == (process.pid, "collectord daemon")
        assert began <= found["since_ms"] <= int(time.time() * 1000)
        process.kill()
    text = str(caught.value)
    assert f"process {process.pid} (collectord daemon), since 20" in text
    assert str(path) in text
    assert caught.value.exit_code == 75


def test_a_longer_note_of_a_killed_holder_leaves_no_tail(path: Path) -> None:
    path.write_text(json.dumps({"pid": 1, "command": "x" * 3000}))
    with StateLock.acquire(path, "short"):
        assert holder(path) == {**json.loads(path.read_text()), "pid": os.getpid(), "command": "short"}


def test_a_killed_holder_holds_nothing_whatever_its_note_says(path: Path) -> None:
    with start(HOLD, path) as process:
        assert said(process) == "held"
        process.kill()
    assert json.loads(path.read_text())["pid"] == process.pid
    assert holder(path) is None
    with StateLock.acquire(path, "collectord ingest"):
        assert json.loads(path.read_text())["pid"] == os.getpid()
        assert (holder(path) or {}).get("command") == "collectord ingest"


def test_a_released_lock_is_free_and_its_file_stays(path: Path) -> None:
    assert holder(path) is None
    lock = StateLock.acquire(path, "first")
    inode = path.stat().st_ino
    assert mode(path) == 0o600
    with pytest.raises(LockHeld):
        StateLock.acquire(path, "second")
    lock.close()
    lock.close()
    assert holder(path) is None
    assert (path.stat().st_ino, path.read_bytes()) == (inode, b"")
    StateLock.acquire(path, "third").close()


def test_no_attempt_leaks_a_handle(path: Path) -> None:
    with StateLock.acquire(path, "first"):
        before = len(os.listdir("/dev/fd"))
        for _ in range(5):
            with pytest.raises(LockHeld):
                StateLock.acquire(path, "second")
            holder(path)
        assert len(os.listdir("/dev/fd")) == before


def test_a_program_started_by_the_holder_does_not_keep_the_lock(path: Path) -> None:
    script = """
        import subprocess
        from pathlib import Path
        from collectord.system.lock import StateLock
        lock = StateLock.acquire(Path(sys.argv[1]), "parent")
        wait = "import sys; print('up', flush=True); sys.stdin.read()"
        command = [sys.executable, "-c", wait]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, close_fds=False)
        child.stdout.readline()
        print(child.pid, flush=True)
        sys.stdin.readline()
    """
    with start(script, path) as process:
        child = int(said(process))
        with pytest.raises(LockHeld):
            StateLock.acquire(path, "second")
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.kill(child, 0)
        StateLock.acquire(path, "second").close()


def test_a_forked_child_that_closes_the_lock_leaves_it_with_its_parent(path: Path) -> None:
    script = """
        import os
        from pathlib import Path
        from collectord.system.lock import StateLock
        with StateLock.acquire(Path(sys.argv[1]), "parent") as lock:
            child = os.fork()
            if child == 0:
                lock.close()
                os._exit(0)
            os.waitpid(child, 0)
            print("child gone", flush=True)
            sys.stdin.readline()
    """
    with start(script, path) as process:
        assert said(process) == "child gone"
        assert (holder(path) or {}).get("pid") == process.pid
        process.kill()


def test_a_forked_child_does_not_keep_a_lock_that_its_parent_gave_back(path: Path) -> None:
    script = """
        import os
        from pathlib import Path
        from collectord.system.lock import StateLock
        lock = StateLock.acquire(Path(sys.argv[1]), "parent")
        child = os.fork()
        if child == 0:
            sys.stdin.readline()
            os._exit(0)
        lock.close()
        print("closed", flush=True)
        os.waitpid(child, 0)
    """
    with start(script, path) as process:
        assert said(process) == "closed"
        StateLock.acquire(path, "second").close()
        assert process.poll() is None
        process.communicate("\n")


def test_only_one_of_many_starters_has_it_at_a_time(path: Path, tmp_path: Path) -> None:
    script = """
        import os
        from pathlib import Path
        from collectord.errors import LockHeld
        from collectord.system.lock import StateLock, holder
        path, marker, done = Path(sys.argv[1]), sys.argv[2], 0
        while done < 25:
            holder(path)
            try:
                lock = StateLock.acquire(path, "starter")
            except LockHeld:
                continue
            os.close(os.open(marker, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            os.unlink(marker)
            lock.close()
            done += 1
        print(done)
    """
    processes = [start(script, path, tmp_path / "marker") for _ in range(4)]
    for process in processes:
        with process:
            assert said(process) == "25"


def test_asking_who_holds_it_never_makes_a_starter_fail(path: Path) -> None:
    script = """
        from pathlib import Path
        from collectord.system.lock import holder
        print("asking", flush=True)
        while True:
            holder(Path(sys.argv[1]))
    """
    path.touch()
    processes = [start(script, path) for _ in range(2)]
    try:
        for process in processes:
            assert said(process) == "asking"
        for _ in range(300):
            StateLock.acquire(path, "starter").close()
    finally:
        for process in processes:
            with process:
                process.kill()


def test_a_starter_waits_for_a_question_but_not_for_ever(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.touch()
    asking = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(asking, fcntl.LOCK_SH)
        monkeypatch.setattr("collectord.system.lock._PATIENCE_SECONDS", 0.02)
        with pytest.raises(LockHeld, match="has not given its name yet"):
            StateLock.acquire(path, "starter")
        monkeypatch.setattr("collectord.system.lock._PATIENCE_SECONDS", 30)
        monkeypatch.setattr(time, "sleep", lambda seconds: fcntl.flock(asking, fcntl.LOCK_UN))
        StateLock.acquire(path, "starter").close()
    finally:
        os.close(asking)


NOTES = st.one_of(
    st.binary(max_size=200),
    st.just(b"[" * 4096),
    st.fixed_dictionaries(
        {},
        optional={
            "pid": st.one_of(st.integers(), st.text(), st.none()),
            "command": st.one_of(st.text(), st.integers()),
            "since_ms": st.one_of(st.integers(), st.floats(), st.just(10**30)),
        },
    ).map(lambda note: json.dumps(note).encode()),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(note=NOTES)
def test_whatever_is_in_the_file_the_sentence_can_be_printed(path: Path, note: bytes) -> None:
    path.write_bytes(note)
    other = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(LockHeld) as caught:
            StateLock.acquire(path, "starter")
        assert str(caught.value).isprintable()
        assert holder(path) is not None
    finally:
        os.close(other)


@pytest.mark.parametrize("text", ["x" * 100_000, "\U0001f512" * 5000, "\udcff\n\x1b[31m"])
def test_any_command_can_be_noted(path: Path, text: str) -> None:
    with StateLock.acquire(path, text):
        assert (holder(path) or {}).get("command") == text[:300]


def test_a_full_disk_does_not_keep_the_lock_from_being_taken(path: Path) -> None:
    script = """
        import resource
        from pathlib import Path
        from collectord.system.lock import StateLock, holder
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        with StateLock.acquire(Path(sys.argv[1]), "collectord prune"):
            print(holder(Path(sys.argv[1])), flush=True)
            sys.stdin.readline()
    """
    with start(script, path) as process:
        assert said(process) == "{}"
        with pytest.raises(LockHeld, match="has not given its name yet"):
            StateLock.acquire(path, "second")
        process.communicate("\n")
        assert process.returncode == 0


def test_a_lock_file_that_is_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    path.symlink_to("precious")
    with pytest.raises(OSError, match=r"[Ss]ymbolic link"):
        StateLock.acquire(path, "starter")
    assert (tmp_path / "precious").read_text() == "kept"


def test_a_file_system_that_cannot_lock_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(fd: int, kind: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(
        LockUnavailable, match=r"lock: this file system cannot lock files \(No locks available\)"
    ):
        StateLock.acquire(path, "starter")


# --- mounts and room


def test_free_space_is_what_the_system_says(tmp_path: Path) -> None:
    free, total = free_space(tmp_path)
    assert 0 < free <= total
    assert total == shutil.disk_usage(tmp_path).total


MOUNTS = [
    ("/", "ext4"),
    ("/proc", "proc"),
    ("/data", "nfs4"),
    ("/data/local", "xfs"),
    ("/mnt/my share\\x", "cifs"),
    ("/over", "ext4"),
    ("/over", "fuse.sshfs"),
]


@pytest.mark.parametrize(
    ("path", "fs_type"),
    [
        ("/", "ext4"),
        ("/home/me", "ext4"),
        ("/data", "nfs4"),
        ("/data/repo", "nfs4"),
        ("/database", "ext4"),
        ("/data/local/repo", "xfs"),
        ("/data/localhost", "nfs4"),
        ("/mnt/my share\\x/repo", "cifs"),
        ("/over/repo", "fuse.sshfs"),
    ],
)
def test_the_deepest_and_then_the_latest_mount_counts(path: str, fs_type: str) -> None:
    assert type_at(MOUNTS, path) == fs_type


def test_a_path_that_no_mount_leads_to_has_no_type() -> None:
    assert type_at(MOUNTS[1:], "/home/me") is None


def test_the_mount_of_a_real_path_is_the_one_the_system_names(tmp_path: Path) -> None:
    if shutil.which("findmnt") is None:
        pytest.skip("THE REAL MOUNT TABLE NOT TESTED: needs findmnt")
    command = ["findmnt", "-n", "-r", "-o", "FSTYPE", "-T", str(tmp_path)]
    fs_type = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    mounts = [(part.mountpoint, part.fstype) for part in psutil.disk_partitions(all=True)]
    assert type_at(mounts, str(tmp_path.resolve())) == fs_type
    assert not is_network_filesystem(tmp_path / "not" / "yet")
