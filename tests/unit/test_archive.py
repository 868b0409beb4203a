"""The reader of archives on well-meant input: what it returns, what changes a signature, what it leaks."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collectord.archive import (
    DIRECTORY,
    FIFO,
    FILE,
    SOCKET,
    SYMLINK,
    ArchiveRoot,
    IsSymlink,
    NotADirectory,
    RootUnusable,
    TooManyEntries,
    Vanished,
    dir_stamp,
    glance,
    glance_of,
    list_names,
    names,
    observe,
    read_core,
    scan,
    signature_of,
)
from collectord.model import CoreFile, Entry, FileState
from tests.support.examples import examples

CORE = ("manifest.json", "proof.json", "rollout.json", ".workcell")
MAX = 8 << 20


def open_descriptors() -> int:
    return len(os.listdir("/dev/fd"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "archives"
    folder.mkdir()
    return folder


@pytest.fixture
def root(folder: Path) -> Iterator[ArchiveRoot]:
    before = open_descriptors()
    with ArchiveRoot(folder) as root:
        yield root
    assert open_descriptors() == before


@pytest.fixture
def archive(folder: Path) -> Path:
    archive = folder / "wc-1"
    (archive / "logs").mkdir(parents=True)
    (archive / "logs" / "agent.log").write_text("log")
    (archive / "manifest.json").write_text('{"schema_version": "1.0.0"}')
    (archive / "proof.json").write_text("{}")
    (archive / ".workcell").write_text("{}")
    return archive


def look(root: ArchiveRoot, name: str = "wc-1") -> str:
    return observe(root, name, max_entries=1000).signature


# --- the folder


def test_every_kind_of_entry_is_named_once(root: ArchiveRoot, folder: Path) -> None:
    (folder / "wc-1").mkdir()
    (folder / "notes.txt").touch()
    (folder / "link").symlink_to("wc-1")
    os.mkfifo(folder / "pipe")
    os.mknod(folder / "socket", 0o140600)
    expected = {"wc-1": DIRECTORY, "notes.txt": FILE, "link": SYMLINK, "pipe": FIFO, "socket": SOCKET}
    assert sorted(names(root)) == sorted(expected.items())


def test_two_scans_at_once_do_not_share_a_position(root: ArchiveRoot, folder: Path) -> None:
    for i in range(2000):
        (folder / f"wc-{i:04}").mkdir()
    slow = names(root)
    seen = [next(slow) for _ in range(3)]
    assert len(list(names(root))) == 2000
    seen += slow
    assert len({name for name, _ in seen}) == len(seen) == 2000


def test_an_abandoned_scan_gives_its_handles_back(root: ArchiveRoot, archive: Path) -> None:
    before = open_descriptors()
    started = names(root)
    next(started)
    del started
    assert open_descriptors() == before


def _times(path: Path) -> list[int]:
    own = path.stat()
    return [own.st_mtime_ns, own.st_ctime_ns, own.st_ino]


def test_a_scan_shows_what_is_no_directory_with_a_known_stamp(root: ArchiveRoot, archive: Path) -> None:
    (root.path / "file").touch()
    stamp = dir_stamp(*_times(archive))
    listed = list_names(root)
    assert sorted(listed) == ["file", "wc-1"]
    found = scan(root, listed, {})
    assert found.names == listed
    assert sorted(found.others, key=lambda row: row[0]) == [("file", FILE, None), ("wc-1", DIRECTORY, stamp)]
    assert scan(root, listed, {"wc-1": stamp}).others == [("file", FILE, None)]


@pytest.mark.parametrize("field", range(3))
@pytest.mark.parametrize("mtime_s", [1, 12 * 10**9], ids=["long ago", "after the year 2262"])
def test_a_directory_with_another_time_or_inode_is_shown(
    root: ArchiveRoot, archive: Path, field: int, mtime_s: int
) -> None:
    os.utime(archive, (1, mtime_s))
    now = _times(archive)
    before = [value - (n == field) for n, value in enumerate(now)]
    shown = [("wc-1", DIRECTORY, dir_stamp(*now))]
    assert scan(root, ["wc-1"], {"wc-1": dir_stamp(*before)}).others == shown
    assert scan(root, ["wc-1"], {"wc-1": dir_stamp(*now)}).others == []


def test_what_went_away_since_it_was_listed_is_in_no_list_of_the_scan(
    root: ArchiveRoot, archive: Path
) -> None:
    listed = [*list_names(root), "wc-2"]
    found = scan(root, listed, {"wc-2": dir_stamp(*_times(archive))})
    assert found.names == [name for name, _, _ in found.others] == ["wc-1"]


def test_a_list_of_names_is_whole_each_time_and_holds_no_handle(root: ArchiveRoot, archive: Path) -> None:
    before = open_descriptors()
    assert list_names(root) == list_names(root) == ["wc-1"]
    assert open_descriptors() == before


def test_the_folder_itself_may_be_a_link(folder: Path, archive: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("archives")
    with ArchiveRoot(tmp_path / "link") as root:
        assert list(names(root)) == [("wc-1", DIRECTORY)]
        assert root.is_current()


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.touch(), lambda p: p.symlink_to(p)])
def test_a_folder_that_cannot_be_opened_is_a_sentence(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "nowhere")
    before = open_descriptors()
    with pytest.raises(RootUnusable, match=r"nowhere: the archives folder cannot be opened"):
        ArchiveRoot(tmp_path / "nowhere")
    assert open_descriptors() == before


def test_a_folder_that_was_replaced_is_no_longer_current(root: ArchiveRoot, folder: Path) -> None:
    assert root.is_current()
    folder.rename(folder.with_name("old"))
    assert not root.is_current()
    folder.mkdir()
    assert not root.is_current()


def test_a_closed_root_blames_no_archive(archive: Path) -> None:
    root = ArchiveRoot(archive.parent)
    root.close()
    root.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        observe(root, "wc-1", max_entries=10)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc", "wc-1/", "nul\0", "\ud800"])
def test_only_a_single_path_component_is_a_name(root: ArchiveRoot, archive: Path, name: str) -> None:
    with pytest.raises(ValueError):
        observe(root, name, max_entries=10)
    with pytest.raises(ValueError):
        read_core(root, name, CORE, max_bytes=MAX)


@pytest.mark.parametrize("core", ["", ".", "..", "../wc-2/manifest.json", "logs/agent.log", "/etc/passwd"])
def test_a_core_file_lies_directly_in_its_archive(root: ArchiveRoot, archive: Path, core: str) -> None:
    with pytest.raises(ValueError):
        read_core(root, "wc-1", (core,), max_bytes=MAX)


# --- one look


def test_an_observation_is_what_lstat_says(root: ArchiveRoot, archive: Path) -> None:
    (archive / "link").symlink_to("manifest.json")
    seen = observe(root, "wc-1", max_entries=1000)
    own = archive.stat()
    assert (seen.name, seen.inode, seen.device) == ("wc-1", own.st_ino, own.st_dev)
    assert (seen.dir_mtime_ns, seen.dir_ctime_ns) == (own.st_mtime_ns, own.st_ctime_ns)
    assert [e.name for e in seen.entries] == [".workcell", "link", "logs", "manifest.json", "proof.json"]
    for entry in seen.entries:
        stat = (archive / entry.name).lstat()
        assert (entry.size, entry.mtime_ns, entry.ctime_ns, entry.inode) == (
            stat.st_size,
            stat.st_mtime_ns,
            stat.st_ctime_ns,
            stat.st_ino,
        )
    kinds = {entry.name: entry.kind for entry in seen.entries}
    assert (kinds["logs"], kinds["link"], kinds["proof.json"]) == (DIRECTORY, SYMLINK, FILE)


def test_an_empty_archive_is_an_observation_too(root: ArchiveRoot, folder: Path) -> None:
    (folder / "wc-1").mkdir()
    assert observe(root, "wc-1", max_entries=0).entries == ()


def test_as_many_entries_as_allowed_are_fine_and_one_more_is_not(root: ArchiveRoot, archive: Path) -> None:
    assert len(observe(root, "wc-1", max_entries=4).entries) == 4
    with pytest.raises(TooManyEntries) as caught:
        observe(root, "wc-1", max_entries=3)
    assert caught.value.reason == "too_many_entries"


def edit(archive: Path) -> None:
    with (archive / "proof.json").open("a") as file:
        file.write(" ")


def rewrite_same_size_and_mtime(archive: Path) -> None:
    before = (archive / "proof.json").stat()
    (archive / "proof.json").write_text("[]")
    os.utime(archive / "proof.json", ns=(before.st_atime_ns, before.st_mtime_ns))


def replace_same_times(archive: Path) -> None:
    shutil.copy2(archive / "proof.json", archive / "new")
    (archive / "new").rename(archive / "proof.json")


def prune_logs(archive: Path) -> None:
    shutil.rmtree(archive / "logs")


def swap_away_and_back(archive: Path) -> None:
    archive.rename(archive.with_name("elsewhere"))
    archive.with_name("elsewhere").rename(archive)


def copy_in_its_place(archive: Path) -> None:
    shutil.copytree(archive, archive.with_name("copy"))
    shutil.rmtree(archive)
    archive.with_name("copy").rename(archive)


CHANGES: list[Callable[[Path], None]] = [
    edit,
    rewrite_same_size_and_mtime,
    replace_same_times,
    prune_logs,
    swap_away_and_back,
    copy_in_its_place,
    lambda archive: (archive / "rollout.json").touch(),
    lambda archive: (archive / "proof.json").unlink(),
    lambda archive: (archive / "proof.json").chmod(0o600),
    lambda archive: archive.chmod(0o700),
    lambda archive: os.utime(archive, ns=(1, 1)),
    lambda archive: (archive / "logs" / "more.log").touch(),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_gives_another_signature(
    root: ArchiveRoot, archive: Path, change: Callable[[Path], None]
) -> None:
    for path in (archive, *archive.iterdir()):
        os.utime(path, ns=(10**18, 10**18))
    before = look(root)
    wait_for_the_next_tick(archive)
    change(archive)
    assert look(root) != before


OF_CORE_FILES = [
    edit,
    rewrite_same_size_and_mtime,
    replace_same_times,
    lambda archive: (archive / "rollout.json").touch(),
    lambda archive: (archive / "proof.json").unlink(),
    lambda archive: (archive / "rollout.json").symlink_to("proof.json"),
]


@pytest.mark.parametrize("change", OF_CORE_FILES)
def test_a_change_of_a_core_file_gives_another_glance(
    root: ArchiveRoot, archive: Path, change: Callable[[Path], None]
) -> None:
    before = glance(root, "wc-1", CORE)
    wait_for_the_next_tick(archive)
    change(archive)
    assert glance(root, "wc-1", CORE) != before


def test_a_glance_is_what_a_whole_look_saw_of_the_core_files(root: ArchiveRoot, archive: Path) -> None:
    (archive / "telemetry.jsonl").touch()
    seen = observe(root, "wc-1", max_entries=1000)
    with (archive / "telemetry.jsonl").open("a") as telemetry:
        telemetry.write("x")
    assert glance(root, "wc-1", CORE) == glance_of(seen, CORE)
    prune_logs(archive)
    assert glance(root, "wc-1", CORE) != glance_of(seen, CORE), "the directory's own times are in it"


def test_a_glance_at_what_is_no_directory_any_more_is_refused(root: ArchiveRoot, archive: Path) -> None:
    archive.rename(archive.with_name("elsewhere"))
    with pytest.raises(Vanished):
        glance(root, "wc-1", CORE)
    archive.symlink_to("elsewhere")
    with pytest.raises(IsSymlink):
        glance(root, "wc-1", CORE)


def wait_for_the_next_tick(archive: Path) -> None:
    """The kernel stamps ctimes with a clock that ticks every few ms; a change is only seen after a tick."""
    probe = archive.parent / "tick"
    probe.touch()
    first = probe.stat().st_ctime_ns
    while probe.stat().st_ctime_ns == first:
        os.utime(probe)
    probe.unlink()


def test_looking_and_reading_and_deep_writes_leave_the_signature(root: ArchiveRoot, archive: Path) -> None:
    before = look(root)
    read_core(root, "wc-1", CORE, max_bytes=MAX)
    (archive / "logs" / "agent.log").write_text("more log")
    assert look(root) == before


ENTRY = st.builds(
    Entry,
    name=st.binary(min_size=1, max_size=20)
    .filter(lambda b: not set(b) & {0, 0x2F} and b not in (b".", b".."))
    .map(os.fsdecode),
    kind=st.sampled_from([FILE, SYMLINK, FIFO]),
    size=st.integers(0, 2**63 - 1),
    mtime_ns=st.integers(-(2**63), 2**63 - 1),
    ctime_ns=st.integers(-(2**63), 2**63 - 1),
    inode=st.integers(0, 2**64 - 1),
)
ENTRIES = st.lists(ENTRY, unique_by=lambda e: e.name, max_size=6)


@given(entries=ENTRIES, others=ENTRIES, data=st.data())
def test_signatures_are_equal_exactly_when_the_sets_of_entries_are(
    entries: list[Entry], others: list[Entry], data: st.DataObject
) -> None:
    mixed = data.draw(st.permutations(entries))
    assert signature_of(1, 2, 3, mixed) == signature_of(1, 2, 3, entries)
    assert (signature_of(1, 2, 3, others) == signature_of(1, 2, 3, entries)) == (set(others) == set(entries))


def test_the_directory_itself_is_part_of_a_signature() -> None:
    seen = [signature_of(*own, ()) for own in [(1, 2, 3), (9, 2, 3), (1, 9, 3), (1, 2, 9), (2, 1, 3)]]
    assert len(set(seen)) == len(seen)


def test_the_size_of_a_sub_directory_is_not_part_of_a_signature() -> None:
    def with_size(kind: str, size: int) -> str:
        return signature_of(1, 2, 3, [Entry("logs", kind, size, 4, 5, 6)])

    assert with_size(DIRECTORY, 4096) == with_size(DIRECTORY, 12288)
    assert with_size(FILE, 4096) != with_size(FILE, 12288)


# --- reading


def test_core_files_are_read_in_the_order_asked(root: ArchiveRoot, archive: Path) -> None:
    artifacts = read_core(root, "wc-1", CORE, max_bytes=MAX)
    assert [file.name for file in artifacts.files] == list(CORE)
    manifest = (archive / "manifest.json").read_bytes()
    assert artifacts.get("manifest.json") == CoreFile(
        "manifest.json",
        FileState.READ,
        manifest,
        hashlib.sha256(manifest).hexdigest(),
        (archive / "manifest.json").stat().st_mtime_ns,
    )
    assert artifacts.get("rollout.json") == CoreFile("rollout.json", FileState.MISSING)


@pytest.mark.parametrize("size", [0, 1, 999, 1000])
def test_a_file_up_to_the_cap_is_read_whole(root: ArchiveRoot, archive: Path, size: int) -> None:
    (archive / "proof.json").write_bytes(bytes(range(256)) * 4)
    os.truncate(archive / "proof.json", size)
    (found,) = read_core(root, "wc-1", ("proof.json",), max_bytes=1000).files
    assert (found.state, found.data) == (FileState.READ, (archive / "proof.json").read_bytes())


def test_one_byte_over_the_cap_is_too_large(root: ArchiveRoot, archive: Path) -> None:
    (archive / "proof.json").write_bytes(b"x" * 1001)
    (found,) = read_core(root, "wc-1", ("proof.json",), max_bytes=1000).files
    assert found == CoreFile("proof.json", FileState.REFUSED, reason="too_large")


def test_a_second_name_is_no_harm_where_the_file_belongs_to_whom_the_archive_does(
    root: ArchiveRoot, archive: Path, tmp_path: Path
) -> None:
    os.link(archive / "proof.json", tmp_path / "backup.json")
    (taken,) = read_core(root, "wc-1", ("proof.json",), max_bytes=MAX).files
    assert (taken.state, taken.data) == (FileState.READ, b"{}")


def test_nothing_in_an_archive_is_changed_by_reading_it(root: ArchiveRoot, archive: Path) -> None:
    def picture() -> list[tuple[str, int, int]]:
        return [(str(p), p.stat().st_mtime_ns, p.stat().st_ctime_ns) for p in sorted(archive.rglob("*"))]

    before = picture()
    observe(root, "wc-1", max_entries=100)
    read_core(root, "wc-1", CORE, max_bytes=MAX)
    assert picture() == before


@pytest.mark.parametrize("act", [look, lambda root: read_core(root, "wc-1", CORE, max_bytes=MAX)])
def test_what_is_no_directory_is_told_apart(
    root: ArchiveRoot, folder: Path, act: Callable[[ArchiveRoot], object]
) -> None:
    with pytest.raises(Vanished):
        act(root)
    (folder / "wc-1").touch()
    with pytest.raises(NotADirectory) as caught:
        act(root)
    assert (caught.value.name, caught.value.reason) == ("wc-1", "not_a_directory")
    (folder / "wc-1").unlink()
    (folder / "wc-1").symlink_to(folder)
    with pytest.raises(IsSymlink) as linked:
        act(root)
    assert linked.value.reason == "symlink"


def test_a_lack_of_descriptors_is_not_blamed_on_the_archive(
    root: ArchiveRoot, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = os.open

    def refuse(path: str, flags: int, *args: int, dir_fd: int | None = None) -> int:
        if path == "proof.json":
            raise OSError(24, "Too many open files")
        return plain(path, flags, *args, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OSError, match="Too many open files"):
        read_core(root, "wc-1", CORE, max_bytes=MAX)


KINDS = ["file", "link", "dangling", "directory", "fifo", "socket", "big", "none"]


@settings(
    max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(kinds=st.lists(st.sampled_from(KINDS), max_size=4))
def test_any_mixture_gives_each_core_file_exactly_one_state(tmp_path: Path, kinds: list[str]) -> None:
    archive = tmp_path / "archives" / "wc-1"
    shutil.rmtree(archive, ignore_errors=True)
    archive.mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.write_text("secret")
    make: dict[str, Callable[[Path], object]] = {
        "file": lambda path: path.write_text("fine"),
        "link": lambda path: path.symlink_to(outside),
        "dangling": lambda path: path.symlink_to("nowhere"),
        "directory": lambda path: path.mkdir(),
        "fifo": os.mkfifo,
        "socket": lambda path: os.mknod(path, 0o140600),
        "big": lambda path: path.write_bytes(b"x" * 65),
        "none": lambda path: None,
    }
    reasons = {
        "link": "symlink",
        "dangling": "symlink",
        "directory": "not_regular",
        "fifo": "not_regular",
        "socket": "not_regular",
        "big": "too_large",
    }
    for core, kind in zip(CORE, kinds, strict=False):
        make[kind](archive / core)
    before = open_descriptors()
    with ArchiveRoot(archive.parent) as root:
        assert len(look(root)) == 64
        files = read_core(root, "wc-1", CORE[: len(kinds)], max_bytes=64).files
    assert open_descriptors() == before
    assert [file.reason for file in files] == [reasons.get(kind) for kind in kinds]
    assert [file.data for file in files] == [b"fine" if kind == "file" else b"" for kind in kinds]
    assert [file.state is FileState.MISSING for file in files] == [kind == "none" for kind in kinds]
