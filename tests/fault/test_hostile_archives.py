"""Archives made to harm: nothing outside is read, nothing blocks, memory stays bounded, no handle leaks."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import textwrap
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import collectord
from collectord.archive import (
    ArchiveRefused,
    ArchiveRoot,
    IsSymlink,
    NotADirectory,
    RootUnusable,
    TooManyEntries,
    Vanished,
    list_names,
    names,
    observe,
    read_core,
    scan,
)
from collectord.model import CoreFile, FileState

CORE = ("manifest.json", "proof.json", "rollout.json", ".workcell")
MAX = 8 << 20
SECRET = b"the secret outside"
SOURCES = str(Path(collectord.__file__).parent.parent)

pytestmark = pytest.mark.timeout(60)


def open_descriptors() -> int:
    return len(os.listdir("/dev/fd"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "archives"
    folder.mkdir()
    return folder


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    (tmp_path / "secret.json").write_bytes(SECRET)
    return tmp_path / "secret.json"


@pytest.fixture
def root(folder: Path) -> Iterator[ArchiveRoot]:
    before = open_descriptors()
    with ArchiveRoot(folder) as root:
        yield root
    assert open_descriptors() == before


@pytest.fixture
def archive(folder: Path) -> Path:
    """The archive under attack, with a whole neighbour beside it."""
    for name in ("wc-1", "wc-2"):
        (folder / name).mkdir()
        for core in CORE:
            (folder / name / core).write_text('{"fine": true}')
    return folder / "wc-1"


@pytest.fixture
def before_call(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str, Callable[..., bool], Callable[[], None]], None]:
    """Acts on the file system in the very moment before a system call: a race that always happens."""

    def arm(call: str, when: Callable[..., bool], act: Callable[[], None]) -> None:
        plain = getattr(os, call)
        armed = [True]

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if armed and when(*args):
                armed.clear()
                act()
            return plain(*args, **kwargs)

        monkeypatch.setattr(os, call, wrapped)

    return arm


Race = Callable[[str, Callable[..., bool], Callable[[], None]], None]


def read(root: ArchiveRoot, core: str = "manifest.json", *, max_bytes: int = MAX) -> CoreFile:
    """Reads all core files of wc-1; the others must come out whole."""
    artifacts = read_core(root, "wc-1", CORE, max_bytes=max_bytes)
    for file in artifacts.files:
        assert SECRET not in file.data
        if file.name != core:
            assert (file.state, file.data) == (FileState.READ, b'{"fine": true}')
    neighbour = read_core(root, "wc-2", CORE, max_bytes=max_bytes)
    assert all(file.state is FileState.READ for file in neighbour.files)
    found = artifacts.get(core)
    assert found is not None
    return found


def refused(core: CoreFile) -> str | None:
    assert (core.state, core.data, core.sha256) == (FileState.REFUSED, b"", None)
    return core.reason


# --- links


@pytest.mark.parametrize(
    "target", ["{secret}", "/etc/passwd", "nowhere", "logs", "proof.json", "manifest.json"]
)
def test_a_core_file_that_is_a_link_is_refused(
    root: ArchiveRoot, archive: Path, secret: Path, target: str
) -> None:
    (archive / "logs").mkdir()
    (archive / "manifest.json").unlink()
    (archive / "manifest.json").symlink_to(target.format(secret=secret))
    assert refused(read(root)) == "symlink"
    kinds = {entry.name: entry.kind for entry in observe(root, "wc-1", max_entries=100).entries}
    assert kinds["manifest.json"] == "symlink"


def test_the_signature_of_a_link_is_its_own_and_not_its_targets(
    root: ArchiveRoot, archive: Path, secret: Path
) -> None:
    (archive / "link").symlink_to(secret)
    before = observe(root, "wc-1", max_entries=100)
    secret.write_bytes(b"grown " + SECRET)
    assert observe(root, "wc-1", max_entries=100) == before


@pytest.mark.parametrize("target", ["wc-2", "..", "/etc", "/etc/passwd", "nowhere", "wc-0"])
def test_a_root_entry_that_is_a_link_is_refused(root: ArchiveRoot, archive: Path, target: str) -> None:
    (root.path / "wc-0").symlink_to(target)
    assert ("wc-0", "symlink") in list(names(root))
    assert ("wc-0", "symlink", None) in scan(root, list_names(root), {}).others
    with pytest.raises(IsSymlink):
        observe(root, "wc-0", max_entries=100)
    with pytest.raises(IsSymlink):
        read_core(root, "wc-0", CORE, max_bytes=MAX)


def test_a_folder_moved_away_and_replaced_by_a_link_still_reads_the_first(
    root: ArchiveRoot, archive: Path, tmp_path: Path
) -> None:
    """Everything goes through the handle: what the path means by now does not matter."""
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "wc-1").mkdir(parents=True)
    (elsewhere / "wc-1" / "manifest.json").write_bytes(SECRET)
    root.path.rename(tmp_path / "moved")
    root.path.symlink_to(elsewhere)
    assert read(root).data == b'{"fine": true}'
    assert not root.is_current()


def give_away(path: Path) -> None:
    """To nobody: only root can."""
    if os.geteuid() != 0:
        pytest.skip("HARD LINKS TO FILES OF OTHERS NOT TESTED: needs root")
    os.chown(path, 65534, 65534)


def test_a_hard_link_to_the_file_of_another_user_is_refused(
    root: ArchiveRoot, archive: Path, secret: Path
) -> None:
    give_away(secret)
    (archive / "manifest.json").unlink()
    os.link(secret, archive / "manifest.json")
    assert refused(read(root)) == "hard_link"


# --- things that are not files


def make_device(path: Path) -> None:
    """/dev/zero: it would answer a read for ever."""
    try:
        os.mknod(path, 0o020666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("DEVICE NODES NOT TESTED: making one needs root and CAP_MKNOD")


NOT_FILES: dict[str, Callable[[Path], Any]] = {
    "fifo": os.mkfifo,
    "socket": lambda path: os.mknod(path, 0o140666),
    "device": make_device,
    "directory": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("kind", NOT_FILES)
def test_a_core_file_that_is_no_file_is_refused_at_once(root: ArchiveRoot, archive: Path, kind: str) -> None:
    (archive / "manifest.json").unlink()
    NOT_FILES[kind](archive / "manifest.json")
    assert refused(read(root)) == "not_regular"
    kinds = {entry.name: entry.kind for entry in observe(root, "wc-1", max_entries=100).entries}
    assert kinds["manifest.json"] == kind


@pytest.mark.parametrize("kind", ["fifo", "socket", "device"])
def test_a_root_entry_that_is_no_directory_is_refused_at_once(
    root: ArchiveRoot, archive: Path, kind: str
) -> None:
    NOT_FILES[kind](root.path / "wc-0")
    assert ("wc-0", kind) in list(names(root))
    with pytest.raises(NotADirectory):
        observe(root, "wc-0", max_entries=100)
    with pytest.raises(NotADirectory):
        read_core(root, "wc-0", CORE, max_bytes=MAX)


@pytest.mark.parametrize("kind", NOT_FILES)
def test_what_is_no_file_is_not_even_opened(
    root: ArchiveRoot, archive: Path, before_call: Race, kind: str
) -> None:
    def fail() -> None:
        raise AssertionError(f"a {kind} was opened")

    (archive / "manifest.json").unlink()
    NOT_FILES[kind](archive / "manifest.json")
    before_call("open", lambda path, *rest: path == "manifest.json", fail)
    assert refused(read_core(root, "wc-1", CORE, max_bytes=MAX).files[0]) == "not_regular"


# --- size


def test_a_sparse_file_of_a_tebibyte_costs_nothing(root: ArchiveRoot, archive: Path) -> None:
    try:
        os.truncate(archive / "manifest.json", 1 << 40)
    except OSError as error:
        pytest.skip(f"SPARSE FILES OF 1 TiB NOT TESTED: this file system says {error.strerror}")
    tracemalloc.start()
    try:
        assert refused(read(root)) == "too_large"
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("grown", [1 << 20, 64 << 20])
def test_a_file_that_grows_while_it_is_read_stays_under_the_cap(
    root: ArchiveRoot, archive: Path, before_call: Race, grown: int
) -> None:
    cap = 256 << 10
    (archive / "manifest.json").write_bytes(b"x" * 1000)
    before_call("read", lambda fd, size: size == 1001, lambda: os.truncate(archive / "manifest.json", grown))
    tracemalloc.start()
    try:
        assert refused(read(root, max_bytes=cap)) == "too_large"
        assert tracemalloc.get_traced_memory()[1] < 3 * cap
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("now", [b"", b"short", b"x" * 200_000])
def test_a_file_that_changes_length_under_the_cap_is_read_to_its_end(
    root: ArchiveRoot, archive: Path, before_call: Race, now: bytes
) -> None:
    (archive / "manifest.json").write_bytes(b"x" * 1000)
    before_call("read", lambda fd, size: size == 1001, lambda: put(archive / "manifest.json", now))
    assert read(root).data == now


def put(path: Path, data: bytes) -> None:
    path.write_bytes(data)


@pytest.mark.slow
def test_a_hundred_thousand_entries_stop_the_listing(root: ArchiveRoot, archive: Path) -> None:
    many = root.path / "wc-0"
    many.mkdir()
    handle = os.open(many, os.O_RDONLY)
    try:
        for i in range(100_000):
            os.close(os.open(f"{i:06}", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=handle))
        (many / "manifest.json").write_text("{}")
    finally:
        os.close(handle)
    tracemalloc.start()
    try:
        with pytest.raises(TooManyEntries):
            observe(root, "wc-0", max_entries=2000)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert len(observe(root, "wc-0", max_entries=100_001).entries) == 100_001


# --- names


def test_names_that_are_not_utf8_go_through_whole(root: ArchiveRoot, archive: Path) -> None:
    raw = b"wc-\xff\xfe\n\x1b[31m"
    try:
        os.mkdir(os.fsencode(root.path) + b"/" + raw)  # noqa: PTH102
    except OSError as error:
        pytest.skip(f"NAMES THAT ARE NOT UTF-8 NOT TESTED: this file system says {error.strerror}")
    for entry in (b"\xff", b"manifest.json"):
        os.close(os.open(os.fsencode(root.path) + b"/" + raw + b"/" + entry, os.O_CREAT | os.O_WRONLY, 0o600))
    (name,) = [name for name, _ in names(root) if name.startswith("wc-\udcff")]
    assert os.fsencode(name) == raw
    assert {entry.name for entry in observe(root, name, max_entries=100).entries} == {
        "\udcff",
        "manifest.json",
    }
    assert read_core(root, name, ("manifest.json", "\udcff"), max_bytes=MAX).files[1].state is FileState.READ
    with pytest.raises(TooManyEntries) as caught:
        observe(root, name, max_entries=1)
    assert str(caught.value).isprintable()
    assert str(caught.value).isascii()


def test_a_name_longer_than_any_file_system_takes_is_a_refusal(root: ArchiveRoot, archive: Path) -> None:
    with pytest.raises(ArchiveRefused) as caught:
        observe(root, "x" * 5000, max_entries=100)
    assert caught.value.reason == "io_error:ENAMETOOLONG"
    assert read_core(root, "wc-1", ("x" * 5000,), max_bytes=MAX).files[0].reason == "io_error:ENAMETOOLONG"


# --- replaced between one look and the next


def test_a_file_replaced_by_a_fifo_after_the_look_does_not_block(root: ArchiveRoot, archive: Path) -> None:
    before = observe(root, "wc-1", max_entries=100)
    (archive / "manifest.json").unlink()
    os.mkfifo(archive / "manifest.json")
    assert refused(read(root)) == "not_regular"
    assert observe(root, "wc-1", max_entries=100).signature != before.signature


@pytest.mark.parametrize("kind", ["fifo", "socket", "device", "directory", "link", "hard", "big", "none"])
def test_a_file_replaced_in_the_moment_before_its_open_is_caught_after_it(
    root: ArchiveRoot, archive: Path, secret: Path, before_call: Race, kind: str
) -> None:
    make: dict[str, Callable[[Path], Any]] = {
        **NOT_FILES,
        "link": lambda path: path.symlink_to(secret),
        "hard": lambda path: (give_away(secret), os.link(secret, path)),
        "big": lambda path: path.write_bytes(b"x" * 5001),
        "none": lambda path: None,
    }
    if kind == "device":
        make_device(archive.parent / "probe")

    def replace() -> None:
        (archive / "manifest.json").unlink()
        make[kind](archive / "manifest.json")

    before_call("open", lambda path, *rest: path == "manifest.json", replace)
    found = read(root, max_bytes=5000)
    reasons = {"link": "symlink", "hard": "hard_link", "big": "too_large", "none": None}
    assert found.state is (FileState.MISSING if kind == "none" else FileState.REFUSED)
    assert found.reason == reasons.get(kind, "not_regular")
    assert found.data == b""


def remove(archive: Path) -> None:
    for path in archive.iterdir():
        path.unlink()
    archive.rmdir()


def swap_for_link(archive: Path) -> None:
    archive.rename(archive.with_name("moved"))
    archive.symlink_to("wc-2")


def swap_for_other(archive: Path) -> None:
    archive.rename(archive.with_name("moved"))
    archive.mkdir()


@pytest.mark.parametrize("act", [remove, swap_for_link, swap_for_other])
def test_an_archive_replaced_while_it_is_listed_has_vanished(
    root: ArchiveRoot, archive: Path, before_call: Race, act: Callable[[Path], None]
) -> None:
    for path in archive.iterdir():
        path.unlink()
    before_call("scandir", lambda fd: True, lambda: act(archive))
    with pytest.raises(Vanished):
        observe(root, "wc-1", max_entries=100)


@pytest.mark.parametrize("seen", [0, 1, 3])
def test_an_archive_removed_while_its_entries_are_looked_at_has_vanished(
    root: ArchiveRoot, archive: Path, monkeypatch: pytest.MonkeyPatch, seen: int
) -> None:
    plain = os.scandir

    @contextmanager
    def listing_of_what_was(fd: int) -> Iterator[Iterator[os.DirEntry[str]]]:
        with plain(fd) as listing:
            items = list(listing)
        yield until_removed(items)

    def until_removed(items: list[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
        yield from items[:seen]
        remove(archive)
        yield from items[seen:]

    monkeypatch.setattr(os, "scandir", listing_of_what_was)
    with pytest.raises(Vanished):
        observe(root, "wc-1", max_entries=100)


@pytest.mark.parametrize("act", [remove, swap_for_link, swap_for_other])
@pytest.mark.parametrize("core", ["manifest.json", "rollout.json"])
def test_an_archive_replaced_while_it_is_read_is_never_mixed(
    root: ArchiveRoot, archive: Path, before_call: Race, act: Callable[[Path], None], core: str
) -> None:
    """It has vanished, or all came from the one directory that was opened."""
    (archive.parent / "wc-2" / core).write_bytes(SECRET)
    before_call("open", lambda path, *rest: path == core, lambda: act(archive))
    try:
        artifacts = read_core(root, "wc-1", CORE, max_bytes=MAX)
    except Vanished:
        assert act is remove
    else:
        assert act is not remove
        assert [file.data for file in artifacts.files] == [b'{"fine": true}'] * 4


@pytest.mark.parametrize("act", [remove, swap_for_link])
def test_an_archive_replaced_between_look_and_read_is_refused(
    root: ArchiveRoot, archive: Path, act: Callable[[Path], None]
) -> None:
    observe(root, "wc-1", max_entries=100)
    act(archive)
    with pytest.raises(Vanished if act is remove else IsSymlink):
        read_core(root, "wc-1", CORE, max_bytes=MAX)


def test_an_archive_that_becomes_a_directory_again_during_the_look_comes_back_later(
    root: ArchiveRoot, archive: Path, before_call: Race
) -> None:
    (root.path / "wc-0").symlink_to("wc-2")

    def swap() -> None:
        (root.path / "wc-0").unlink()
        (root.path / "wc-0").mkdir()

    before_call("stat", lambda path: path == "wc-0", swap)
    with pytest.raises(Vanished):
        observe(root, "wc-0", max_entries=100)


def test_a_removed_folder_takes_its_archives_along(root: ArchiveRoot, archive: Path) -> None:
    remove(archive.parent / "wc-2")
    remove(archive)
    root.path.rmdir()
    with pytest.raises(Vanished):
        observe(root, "wc-1", max_entries=100)
    assert not root.is_current()


def test_a_folder_replaced_while_it_is_opened_is_the_one_that_was_opened(
    folder: Path, archive: Path, before_call: Race
) -> None:
    """Else what is read there would be taken for what lies in the other one, and its absences believed."""
    opened = folder.stat().st_ino

    def swap() -> None:
        folder.rename(folder.with_name("moved"))
        folder.mkdir()

    before_call("fstat", lambda fd: True, swap)
    with ArchiveRoot(folder) as root:
        assert root.inode == opened != folder.stat().st_ino
        assert not root.is_current()
        assert {name for name, _ in names(root)} == {"wc-1", "wc-2"}


def test_a_share_that_went_away_while_it_was_opened_is_no_folder_to_read(
    folder: Path, before_call: Race
) -> None:
    def fail() -> None:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    before = open_descriptors()
    before_call("fstat", lambda fd: True, fail)
    with pytest.raises(RootUnusable, match="cannot be read: Stale file handle"):
        ArchiveRoot(folder)
    assert open_descriptors() == before


# --- errors of the file system


@pytest.mark.parametrize("call", ["read", "fstat"])
@pytest.mark.parametrize(("code", "reason"), [(errno.EIO, "io_error:EIO"), (errno.EACCES, "permission")])
def test_an_error_while_reading_is_the_reason_of_that_file_alone(
    root: ArchiveRoot, archive: Path, before_call: Race, call: str, code: int, reason: str
) -> None:
    inode = (archive / "manifest.json").stat().st_ino
    plain = os.stat

    def fail() -> None:
        raise OSError(code, os.strerror(code))

    before_call(call, lambda fd, *rest: plain(fd).st_ino == inode, fail)
    assert refused(read(root)) == reason


def test_an_error_of_the_directory_is_the_archives(
    root: ArchiveRoot, archive: Path, before_call: Race
) -> None:
    def fail() -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    before_call("scandir", lambda fd: True, fail)
    with pytest.raises(ArchiveRefused) as caught:
        observe(root, "wc-1", max_entries=100)
    assert caught.value.reason == "io_error:EIO"
    assert str(caught.value) == "archive 'wc-1' cannot be read: io_error:EIO"


def run(script: str, *arguments: object, before: tuple[str, ...] = (), **options: Any) -> Any:
    """Runs a script that prints JSON in a Python of its own; what it prints."""
    prelude = f"import sys; sys.path.insert(0, {SOURCES!r})\n"
    command = [*before, sys.executable, "-c", prelude + textwrap.dedent(script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_this_user_may_not_read_is_refused_as_permission(root: ArchiveRoot, archive: Path) -> None:
    root.path.chmod(0o755)
    (archive / "manifest.json").chmod(0)
    (root.path / "closed").mkdir(mode=0)
    (root.path / "unsearchable").mkdir()
    (root.path / "unsearchable" / "manifest.json").touch()
    (root.path / "unsearchable").chmod(0o444)
    script = """
        import json, os, sys
        from pathlib import Path
        from collectord.archive import ArchiveRefused, ArchiveRoot, observe, read_core

        def reason(act):
            try:
                act()
            except ArchiveRefused as error:
                return error.reason

        with ArchiveRoot(Path(sys.argv[1])) as root:
            if os.geteuid() == 0:
                os.seteuid(65534)  # root may read everything: become nobody, the handle is open already
            core = ["manifest.json", "proof.json"]
            print(json.dumps([
                [file.reason for file in read_core(root, "wc-1", core, max_bytes=100).files],
                reason(lambda: observe(root, "closed", max_entries=10)),
                reason(lambda: observe(root, "unsearchable", max_entries=10)),
                [file.reason for file in read_core(root, "unsearchable", core, max_bytes=100).files],
            ]))
    """
    found = run(script, root.path)
    assert found == [["permission", None], "permission", "permission", ["permission", "permission"]]
    (root.path / "closed").chmod(0o700)
    (root.path / "unsearchable").chmod(0o700)


# --- mounts


PRIVATE = ("unshare", "-m", "--propagation", "private")


def can_mount(place: Path) -> bool:
    command = [*PRIVATE, "mount", "-t", "tmpfs", "none", str(place)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def test_what_is_mounted_into_an_archive_is_not_read(
    root: ArchiveRoot, archive: Path, tmp_path: Path
) -> None:
    """A file bound over a core file, a core file bound over from /proc, a file system over an archive."""
    (tmp_path / "other").mkdir()
    if not can_mount(tmp_path / "other"):
        pytest.skip("MOUNTS INSIDE ARCHIVES NOT TESTED: a private mount namespace needs root and unshare")
    (root.path / "mounted").mkdir()
    script = """
        import json, os, subprocess, sys
        from pathlib import Path
        from collectord.archive import ArchiveRoot, OtherDevice, names, observe, read_core

        archives, other = Path(sys.argv[1]), Path(sys.argv[2])
        mount = lambda *arguments: subprocess.run(["mount", *map(str, arguments)], check=True)
        mount("-t", "tmpfs", "none", other)
        (other / "manifest.json").write_text("secret")
        mount("--bind", other / "manifest.json", archives / "wc-1" / "manifest.json")
        mount("--bind", "/proc/self/status", archives / "wc-1" / "proof.json")
        mount("--bind", other, archives / "mounted")
        found = []
        with ArchiveRoot(archives) as root:
            core = ["manifest.json", "proof.json", "rollout.json"]
            handles = len(os.listdir("/dev/fd"))
            found.append([file.reason for file in read_core(root, "wc-1", core, max_bytes=1 << 20).files])
            found.append(dict(names(root))["mounted"])
            for act in (
                lambda: observe(root, "mounted", max_entries=10),
                lambda: read_core(root, "mounted", core, max_bytes=1 << 20),
            ):
                try:
                    act()
                except OtherDevice as error:
                    found.append(error.reason)
            found.append(len(os.listdir("/dev/fd")) - handles)
        print(json.dumps(found))
    """
    found = run(script, root.path, tmp_path / "other", before=PRIVATE)
    assert found == [["other_device", "other_device", None], "directory", "other_device", "other_device", 0]
    assert read(root).data == b'{"fine": true}'
