"""Opens an untrusted archive directory safely and gives back what lstat saw, bytes and digests.

Everything is opened relative to a directory handle, follows no link and waits for nothing. What an
archive holds never raises: a core file that is not taken is a value with a constant reason. Only the
directory itself raises, `Vanished` or one of the `ArchiveRefused`. A lack of descriptors or of memory
is this process's trouble and no archive's: those errors pass through as they are.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Final, NamedTuple, NoReturn

from collectord.errors import CollectordError
from collectord.model import ARCHIVE, WORLD, Artifacts, CoreFile, Entry, FileState, Observation

# What is read of an archive, and of a world run, and kept.
ARCHIVE_FILES: Final = ("manifest.json", "proof.json", "rollout.json", ".workcell")
WORLD_FILES: Final = ("manifest.json", "context.json")
CORE_FILES: Final = {ARCHIVE: ARCHIVE_FILES, WORLD: WORLD_FILES}

DIRECTORY: Final = "directory"
FILE: Final = "file"
SYMLINK: Final = "symlink"
FIFO: Final = "fifo"
SOCKET: Final = "socket"
DEVICE: Final = "device"

_KINDS: Final = {
    stat.S_IFDIR: DIRECTORY,
    stat.S_IFREG: FILE,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFIFO: FIFO,
    stat.S_IFSOCK: SOCKET,
}


def kind_of(mode: int) -> str:
    """The kind for an lstat's st_mode; all that is not listed above is a device."""
    return _KINDS.get(stat.S_IFMT(mode), DEVICE)


NOT_REGULAR: Final = "not_regular"
OTHER_DEVICE: Final = "other_device"
HARD_LINK: Final = "hard_link"
TOO_LARGE: Final = "too_large"
PERMISSION: Final = "permission"
IO_ERROR: Final = "io_error"

PROCESS_TROUBLE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EBADF})
_GONE: Final = frozenset({errno.ENOENT, errno.ESTALE})


class RootUnusable(CollectordError):
    """The archives folder cannot be opened; nothing may be concluded about what is in it."""


class Vanished(CollectordError):
    """The archive went away, or was replaced, while it was looked at."""

    def __init__(self, name: str) -> None:
        super().__init__(f"archive {name!r} went away while it was looked at")
        self.name = name


class ArchiveRefused(CollectordError):
    """The directory entry is not read as an archive; `reason` is a constant for tables and counts."""

    reason: str = "refused"
    sentence: ClassVar[str] = "was not read"

    def __init__(self, name: str) -> None:
        super().__init__(f"archive {name!r} {self.sentence}")
        self.name = name


class NotADirectory(ArchiveRefused):
    """A file, FIFO, socket or device stands where an archive would."""

    reason = "not_a_directory"
    sentence = "is not a directory"


class IsSymlink(ArchiveRefused):
    """A symbolic link, wherever it points: links are never followed."""

    reason = SYMLINK
    sentence = "is a symbolic link, and links are never followed"


class OtherDevice(ArchiveRefused):
    """Something is mounted there."""

    reason = OTHER_DEVICE
    sentence = "lies on another device than the archives folder"


class TooManyEntries(ArchiveRefused):
    """More top-level entries than an archive has; the listing stopped there."""

    reason = "too_many_entries"
    sentence = "holds more entries than an archive can have"


class Unreadable(ArchiveRefused):
    """The file system did not let the directory be read."""

    sentence = "cannot be read"

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name)
        self.reason = reason
        self.args = (f"{self.args[0]}: {reason}",)


def reason_of(error: OSError) -> str:
    """The constant for an error of the file system: `permission` or `io_error:EIO` and the like."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return PERMISSION
    return f"{IO_ERROR}:{errno.errorcode.get(error.errno or 0, 'unknown')}"


def raise_for(name: str, error: OSError) -> NoReturn:
    """Raises what an error on the directory itself means for its archive."""
    if error.errno in PROCESS_TROUBLE:
        raise error
    if error.errno in _GONE:
        raise Vanished(name) from error
    raise Unreadable(name, reason_of(error)) from error


_OPEN_ROOT: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK | os.O_CLOEXEC
OPEN_DIRECTORY: Final = _OPEN_ROOT | os.O_NOFOLLOW


DirStamp = bytes
_stamp: Final = struct.Struct("<qqQ").pack


def dir_stamp(mtime_ns: int, ctime_ns: int, inode: int) -> DirStamp:
    """What a rescan compares to leave an unchanged directory alone; 24 bytes, as one of each is kept."""
    try:
        return _stamp(mtime_ns, ctime_ns, inode)
    except struct.error:  # a time after the year 2262
        return repr((mtime_ns, ctime_ns, inode)).encode("ascii")


class ArchiveRoot:
    """A handle on the archives folder: what is opened through it lies in this folder, whatever is renamed.

    The folder itself may be a symbolic link (the configuration names it); it is followed once, here.
    Raises RootUnusable.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.fd = os.open(path, _OPEN_ROOT)
        except OSError as error:
            raise RootUnusable(f"{path}: the archives folder cannot be opened: {error.strerror}") from error
        try:
            own = os.fstat(self.fd)
        except OSError as error:  # ESTALE: a network share that went away since
            self.close()
            raise RootUnusable(f"{path}: the archives folder cannot be read: {error.strerror}") from error
        self.device = own.st_dev
        self.inode = own.st_ino

    def is_current(self) -> bool:
        """Whether the path still leads to this folder; if not, it was removed or replaced: open it anew."""
        try:
            now = os.stat(self.path)  # noqa: PTH116
        except OSError:
            return False
        return (now.st_dev, now.st_ino) == (self.device, self.inode)

    def close(self) -> None:
        """Gives the handle back; a second call does nothing."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> ArchiveRoot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def names(root: ArchiveRoot) -> Iterator[tuple[str, str]]:
    """Every entry of the folder once, as (name, kind), in the file system's order.

    Names keep bytes that are not UTF-8 as lone surrogates. Raises OSError, also half way: a scan that
    raised proves the absence of nothing, and neither does one of a root that is no longer current.
    """
    with _listing(root) as listing:
        for item in listing:
            kind = _kind_from_listing(item)
            if kind is not None:
                yield item.name, kind


class Listing(NamedTuple):
    """The names of all entries, and (name, kind, its stamp if it is a directory) of those to look at."""

    names: list[str]
    others: list[tuple[str, str, DirStamp | None]]


def list_names(root: ArchiveRoot) -> list[str]:
    """Every name in the folder once. Names, order and errors are those of `names`."""
    with _handle(root) as fd:
        return os.listdir(fd)


def scan(root: ArchiveRoot, listed: list[str], known: Mapping[str, DirStamp]) -> Listing:
    """Takes an lstat of each entry; what is not a directory with the stamp in `known` is to be looked at.

    What is gone by now is in neither list. Raises OSError, and has then shown nothing.
    """
    # Some ten thousand directories come by each half minute of an idle daemon, nearly all of them as they
    # were: for each one lstat and one comparison, and no object is kept.
    lstat, before, pack = os.stat, known.get, _stamp
    others: list[tuple[str, str, DirStamp | None]] = []
    gone: set[str] = set()
    for name in listed:
        try:
            own = lstat(name, dir_fd=root.fd, follow_symlinks=False)
            stamp = pack(own.st_mtime_ns, own.st_ctime_ns, own.st_ino)
        except FileNotFoundError:
            gone.add(name)
            continue
        except struct.error:
            stamp = dir_stamp(own.st_mtime_ns, own.st_ctime_ns, own.st_ino)
        if before(name) != stamp:
            kind = kind_of(own.st_mode)
            others.append((name, kind, stamp if kind == DIRECTORY else None))
    return Listing([name for name in listed if name not in gone] if gone else listed, others)


@contextmanager
def _listing(root: ArchiveRoot) -> Iterator[Iterator[os.DirEntry[str]]]:
    with _handle(root) as fd, os.scandir(fd) as listing:
        yield listing


@contextmanager
def _handle(root: ArchiveRoot) -> Iterator[int]:
    # A handle of its own: a copy of root.fd would share its read position with every other scan.
    fd = os.open(".", OPEN_DIRECTORY, dir_fd=root.fd)
    try:
        yield fd
    finally:
        os.close(fd)


def _kind_from_listing(item: os.DirEntry[str]) -> str | None:
    """The kind from the listing itself; only rare kinds need an lstat (None: gone before it)."""
    if item.is_dir(follow_symlinks=False):
        return DIRECTORY
    if item.is_symlink():
        return SYMLINK
    if item.is_file(follow_symlinks=False):
        return FILE
    try:
        return kind_of(item.stat(follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return None


def demand_component(name: str) -> None:
    """Raises ValueError unless the name can only be an entry of the directory it is looked up in."""
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise ValueError(f"not the name of a directory entry: {name!r}")


def open_archive(root: ArchiveRoot, name: str) -> tuple[int, os.stat_result]:
    """A descriptor of the directory, for the caller to close, and its fstat.

    Raises Vanished, ArchiveRefused and ValueError.
    """
    demand_component(name)
    try:
        fd = os.open(name, OPEN_DIRECTORY, dir_fd=root.fd)
    except OSError as error:
        _raise_not_opened(root, name, error)
    try:
        own = os.fstat(fd)
        if own.st_dev != root.device:
            raise OtherDevice(name)
    except BaseException:
        os.close(fd)
        raise
    return fd, own


def _raise_not_opened(root: ArchiveRoot, name: str, error: OSError) -> NoReturn:
    if error.errno not in (errno.ENOTDIR, errno.ELOOP):
        raise_for(name, error)
    # Systems differ in what a link gives together with O_DIRECTORY: ask what stands there.
    try:
        kind = kind_of(os.stat(name, dir_fd=root.fd, follow_symlinks=False).st_mode)
    except OSError as second:
        raise_for(name, second)
    if kind == SYMLINK:
        raise IsSymlink(name) from error
    raise (Vanished(name) if kind == DIRECTORY else NotADirectory(name)) from error


def demand_same(root: ArchiveRoot, name: str, own: os.stat_result) -> None:
    """Raises Vanished unless the name still leads to the directory that was opened.

    A removed directory lists as empty and opens nothing: only its name tells it from an empty one.
    """
    try:
        now = os.stat(name, dir_fd=root.fd, follow_symlinks=False)
    except OSError as error:
        raise_for(name, error)
    if (now.st_dev, now.st_ino) != (own.st_dev, own.st_ino):
        raise Vanished(name)


_NO_FILE: tuple[int, ...] = ()


def observe(root: ArchiveRoot, name: str, *, max_entries: int) -> Observation:
    """One look at the archive's top level: an lstat of each entry, nothing opened, nothing followed.

    Raises Vanished, ArchiveRefused (TooManyEntries beyond `max_entries`, the listing then stops), and
    ValueError for a name that is not a single path component.
    """
    fd, own = open_archive(root, name)
    try:
        entries, lost = _entries(fd, name, max_entries)
    finally:
        os.close(fd)
    if lost or not entries:
        demand_same(root, name, own)
    return Observation(
        name=name,
        dir_mtime_ns=own.st_mtime_ns,
        dir_ctime_ns=own.st_ctime_ns,
        device=own.st_dev,
        inode=own.st_ino,
        entries=entries,
        signature=signature_of(own.st_ino, own.st_mtime_ns, own.st_ctime_ns, entries),
    )


def glance(root: ArchiveRoot, name: str, files: Iterable[str]) -> str:
    """A digest of what the directory and these entries of it are: another one after any change of them.

    Costs a third of `observe`. Raises what `observe` raises.
    """
    fd, own = open_archive(root, name)
    try:
        stamps = [_stamp_at(fd, file) for file in files]
        return _glance(own.st_mtime_ns, own.st_ctime_ns, own.st_ino, stamps)
    except OSError as error:
        raise_for(name, error)
    finally:
        os.close(fd)


def glance_of(seen: Observation, files: Iterable[str]) -> str:
    """What `glance` gave at the time of that look."""
    found = {entry.name: (entry.size, entry.mtime_ns, entry.ctime_ns, entry.inode) for entry in seen.entries}
    stamps = [found.get(file, _NO_FILE) for file in files]
    return _glance(seen.dir_mtime_ns, seen.dir_ctime_ns, seen.inode, stamps)


def _glance(mtime_ns: int, ctime_ns: int, inode: int, stamps: Sequence[tuple[int, ...]]) -> str:
    text = repr((mtime_ns, ctime_ns, inode, stamps))
    return hashlib.blake2b(text.encode("ascii"), digest_size=12).hexdigest()


def _stamp_at(fd: int, file: str) -> tuple[int, ...]:
    try:
        own = os.stat(file, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return _NO_FILE
    return own.st_size, own.st_mtime_ns, own.st_ctime_ns, own.st_ino


def signature_of(inode: int, mtime_ns: int, ctime_ns: int, entries: Sequence[Entry]) -> str:
    """sha256 hex over the directory's own inode and times and its entries sorted by name.

    The directory's times are in because pruning `logs/` must make it dirty; its ctime also tells a
    directory that was swapped away and back. Its device is not: device numbers move at a reboot and would
    make every archive dirty. The size of a sub-directory is left out: it is the file system's own affair.
    """
    # No name holds a NUL and each entry has six fields, so no two lists of entries give the same text.
    fields = [f"{inode}\0{mtime_ns}\0{ctime_ns}"]
    fields += [
        f"{e.name}\0{e.kind}\0{0 if e.kind == DIRECTORY else e.size}\0{e.mtime_ns}\0{e.ctime_ns}\0{e.inode}"
        for e in sorted(entries, key=_by_name)
    ]
    return hashlib.sha256(os.fsencode("\0".join(fields))).hexdigest()


def _by_name(entry: Entry) -> str:
    return entry.name


def _entries(fd: int, name: str, max_entries: int) -> tuple[tuple[Entry, ...], bool]:
    """The entries sorted by name, and whether one went away between its listing and its lstat."""
    entries: list[Entry] = []
    lost = False
    try:
        with os.scandir(fd) as listing:
            for count, item in enumerate(listing):
                if count >= max_entries:
                    raise TooManyEntries(name)
                try:
                    entries.append(_entry(item.name, item.stat(follow_symlinks=False)))
                except FileNotFoundError:
                    lost = True
    except OSError as error:
        raise_for(name, error)
    entries.sort(key=_by_name)
    return tuple(entries), lost


def _entry(name: str, own: os.stat_result) -> Entry:
    return Entry(name, kind_of(own.st_mode), own.st_size, own.st_mtime_ns, own.st_ctime_ns, own.st_ino)


_OPEN_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_CHUNK: Final = 65_536


def read_core(
    root: ArchiveRoot,
    name: str,
    core_names: Sequence[str],
    *,
    max_bytes: int,
) -> Artifacts:
    """Each core file, in the order given: its bytes (at most `max_bytes`) and sha256, or why not.

    Raises Vanished, ArchiveRefused, and ValueError for names that are not single path components. The
    files are not one moment's picture: compare the signature of an observation before with one after.
    """
    for core in core_names:
        demand_component(core)
    fd, own = open_archive(root, name)
    try:
        files = tuple(_read_one(fd, core, own, max_bytes) for core in core_names)
    finally:
        os.close(fd)
    if any(file.state is FileState.MISSING for file in files):
        demand_same(root, name, own)
    return Artifacts(files)


def _read_one(dir_fd: int, name: str, folder: os.stat_result, max_bytes: int) -> CoreFile:
    try:
        # The look before the open is not what makes it safe (the one after is): it keeps the open itself
        # from having effects, which opening some devices has, and FIFOs for whoever waits to write.
        own = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        objection = _objection(own, folder, max_bytes)
        if objection is not None:
            return _refused(name, objection)
        fd = os.open(name, _OPEN_FILE, dir_fd=dir_fd)
    except OSError as error:
        return _not_opened(name, error)
    try:
        return _read_opened(fd, name, folder, max_bytes)
    except OSError as error:
        if error.errno in PROCESS_TROUBLE:
            raise
        return _refused(name, reason_of(error))
    finally:
        os.close(fd)


def _not_opened(name: str, error: OSError) -> CoreFile:
    if error.errno in PROCESS_TROUBLE:
        raise error
    if error.errno == errno.ENOENT:
        return CoreFile(name, FileState.MISSING)
    if error.errno == errno.ELOOP:
        return _refused(name, SYMLINK)
    if error.errno in (errno.ENXIO, errno.EOPNOTSUPP):  # a socket, on Linux and on macOS
        return _refused(name, NOT_REGULAR)
    return _refused(name, reason_of(error))


def _refused(name: str, reason: str) -> CoreFile:
    return CoreFile(name, FileState.REFUSED, reason=reason)


def _objection(own: os.stat_result, folder: os.stat_result, max_bytes: int) -> str | None:
    """Why a file that looks like this is not read, or None."""
    if not stat.S_ISREG(own.st_mode):
        return SYMLINK if stat.S_ISLNK(own.st_mode) else NOT_REGULAR
    if own.st_dev != folder.st_dev:
        return OTHER_DEVICE
    # The kernel copies core files, so each has one name. A backup made of links (`cp -al`) or a deduplicator
    # gives it a second one, and that is fine where the file belongs to whom the archive does: they could
    # have copied it. A link to the file of another user may show what its author cannot read.
    if own.st_nlink > 1 and own.st_uid != folder.st_uid:
        return HARD_LINK
    return TOO_LARGE if own.st_size > max_bytes else None


def _read_opened(fd: int, name: str, folder: os.stat_result, max_bytes: int) -> CoreFile:
    own = os.fstat(fd)
    objection = _objection(own, folder, max_bytes)
    if objection is not None:
        return _refused(name, objection)
    data = os.read(fd, own.st_size + 1)
    if len(data) != own.st_size:
        data = _read_on(fd, data, max_bytes)
    if len(data) > max_bytes:
        return _refused(name, TOO_LARGE)
    return CoreFile(name, FileState.READ, data, hashlib.sha256(data).hexdigest(), own.st_mtime_ns)


def _read_on(fd: int, start: bytes, max_bytes: int) -> bytes:
    """The rest of a file that gave another length than it had promised, up to one byte too many."""
    data = bytearray(start)
    while chunk := os.read(fd, min(_CHUNK, max_bytes + 1 - len(data))):
        data += chunk
    return bytes(data)
