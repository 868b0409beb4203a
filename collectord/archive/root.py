"""The archives folder itself: a handle on it, and its entries."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple

from collectord.archive.kinds import DIRECTORY, FILE, SYMLINK, kind_of
from collectord.archive.refusals import RootUnusable

_OPEN_ROOT: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK | os.O_CLOEXEC
OPEN_DIRECTORY: Final = _OPEN_ROOT | os.O_NOFOLLOW


class DirStat(NamedTuple):
    """What a rescan compares to leave an unchanged directory alone; a tuple, as thousands are made."""

    mtime_ns: int
    ctime_ns: int
    inode: int


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


def scan(root: ArchiveRoot) -> Iterator[tuple[str, str, DirStat | None]]:
    """Like `names`, with the lstat of each directory beside it (None for all else)."""
    with _listing(root) as listing:
        for item in listing:
            kind = _kind_from_listing(item)
            if kind == DIRECTORY:
                try:
                    own = item.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                yield item.name, kind, DirStat(own.st_mtime_ns, own.st_ctime_ns, own.st_ino)
            elif kind is not None:
                yield item.name, kind, None


@contextmanager
def _listing(root: ArchiveRoot) -> Iterator[Iterator[os.DirEntry[str]]]:
    # A handle of its own: a copy of root.fd would share its read position with every other scan.
    fd = os.open(".", OPEN_DIRECTORY, dir_fd=root.fd)
    try:
        with os.scandir(fd) as listing:
            yield listing
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
