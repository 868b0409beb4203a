"""An archive directory opened relative to its root, and whether it still stands there afterwards."""

from __future__ import annotations

import errno
import os
from typing import NoReturn

from collectord.archive.kinds import DIRECTORY, SYMLINK, kind_of
from collectord.archive.refusals import IsSymlink, NotADirectory, OtherDevice, Vanished, raise_for
from collectord.archive.root import OPEN_DIRECTORY, ArchiveRoot


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
