"""The files of a repo as they stood at one time: of the working tree here, of a commit elsewhere."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from collectord.cyntra.policy import PolicyUnreadable

MAX_BYTES = 8 * 2**20
MAX_NAMES = 20_000
STATE = ".cyntra"

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

Stamp = tuple[int, ...]


class Tree(Protocol):
    """Files below the root of a repo; every path is relative to it. Both raise PolicyUnreadable."""

    def read(self, path: PurePosixPath) -> bytes | None:
        """The bytes of a file; None where there is none."""

    def names(self, path: PurePosixPath) -> tuple[str, ...]:
        """The sorted names in a folder, those of folders with a `/` at the end; none where there is none."""


class WorkingTree:
    """The working tree of a repo, whose content is not trusted.

    A link is followed only to what lies in the repo too; only regular files are read, and only whole: one
    that is written while it is read is unreadable. `.cyntra` itself may be a link to another disk, which its
    operator made; what is there counts as of the repo. `touched` holds every path that was asked for, with
    what changes when the answer may.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.touched: dict[PurePosixPath, Stamp] = {}

    def read(self, path: PurePosixPath) -> bytes | None:
        """The bytes of a regular file of at most MAX_BYTES; None where there is no file."""
        self.touched[path] = self.stamp(path)
        with self._errors(path):
            descriptor = self._open(path, _FILE)
            if descriptor is None:
                return None
            with os.fdopen(descriptor, "rb") as file:
                return _whole(path, file)

    def names(self, path: PurePosixPath) -> tuple[str, ...]:
        """The names in a folder, at most MAX_NAMES; links count as what they lead to."""
        self.touched[path] = self.stamp(path)
        with self._errors(path):
            descriptor = self._open(path, _DIRECTORY)
            if descriptor is None:
                return ()
            try:
                with os.scandir(descriptor) as entries:
                    found = [entry.name + ("/" if entry.is_dir() else "") for entry in entries]
            finally:
                os.close(descriptor)
        if len(found) > MAX_NAMES:
            raise PolicyUnreadable(str(path), f"more than {MAX_NAMES} entries")
        return tuple(sorted(found))

    def stamp(self, path: PurePosixPath) -> Stamp:
        """What changes whenever the file or folder does; empty where there is none."""
        try:
            found = (self.root / path).stat()
        except (OSError, ValueError):
            return ()
        kind = stat.S_IFMT(found.st_mode)
        return (kind, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def _open(self, path: PurePosixPath, flags: int) -> int | None:
        """A descriptor, None where nothing is there; no link is followed between looking and opening."""
        root, parts = self._below(path)
        folder = os.open(root, _DIRECTORY)
        try:
            *folders, last = parts
            for part in folders:
                above, folder = folder, os.open(part, _DIRECTORY, dir_fd=folder)
                os.close(above)
            return os.open(last, flags, dir_fd=folder)
        except (FileNotFoundError, NotADirectoryError):
            return None
        finally:
            os.close(folder)

    @contextmanager
    def _errors(self, path: PurePosixPath) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise PolicyUnreadable(str(path), f"cannot be read: {reason}") from None

    def _below(self, path: PurePosixPath) -> tuple[Path, tuple[str, ...]]:
        """Where a path really leads: the root, or where `.cyntra` lies, and the parts below that."""
        real = Path(os.path.realpath(self.root / path))
        for root in (self.root, Path(os.path.realpath(self.root / STATE))):
            if real.is_relative_to(root):
                return root, real.relative_to(root).parts or (".",)
        raise PolicyUnreadable(str(path), "leads out of the repo by a link and is not watched there")


def _whole(path: PurePosixPath, file: BinaryIO) -> bytes:
    before = os.fstat(file.fileno())
    if not stat.S_ISREG(before.st_mode):
        raise PolicyUnreadable(str(path), "not a regular file")
    if before.st_size > MAX_BYTES:
        raise PolicyUnreadable(str(path), f"larger than {MAX_BYTES} bytes")
    data = file.read(MAX_BYTES + 1)
    after = os.fstat(file.fileno())
    still = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    if not still or len(data) != before.st_size:
        raise PolicyUnreadable(str(path), "was written while it was read")
    return data
