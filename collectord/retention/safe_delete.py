"""Trees measured and removed through directory handles: no link is followed, no other device entered."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from collectord.archive.root import OPEN_DIRECTORY
from collectord.errors import CollectordError

MAX_DEPTH = 200


class TreeRefused(CollectordError):
    """A tree is not entered; what was removed before stays removed."""


def size_of_entry(parent_fd: int, name: str, device: int) -> int:
    """Bytes on disk of an entry and all below it; raises TreeRefused and OSError."""
    return _walk(parent_fd, name, device, MAX_DEPTH, remove=False)


def remove_entry(parent_fd: int, name: str, device: int) -> int:
    """Remove an entry and all below it; returns the bytes it took. A link is removed, not followed.

    Raises TreeRefused for another device or a tree that is too deep, and OSError.
    """
    return _walk(parent_fd, name, device, MAX_DEPTH, remove=True)


def _walk(parent_fd: int, name: str, device: int, depth: int, *, remove: bool) -> int:
    own = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
    size = own.st_blocks * 512
    if not _is_directory(own):
        if remove:
            os.unlink(name, dir_fd=parent_fd)
        return size
    with _opened(parent_fd, name, device, depth) as fd:
        size += sum(_walk(fd, entry, device, depth - 1, remove=remove) for entry in os.listdir(fd))
    if remove:
        os.rmdir(name, dir_fd=parent_fd)
    return size


def _is_directory(own: os.stat_result) -> bool:
    return own.st_mode & 0o170000 == 0o040000


@contextmanager
def _opened(parent_fd: int, name: str, device: int, depth: int) -> Iterator[int]:
    if depth == 0:
        raise TreeRefused(f"{name}: lies deeper than {MAX_DEPTH} levels; remove the archive by hand")
    # Between the look and this a link may have come into its place: the open fails on it.
    fd = os.open(name, OPEN_DIRECTORY, dir_fd=parent_fd)
    try:
        if os.fstat(fd).st_dev != device:
            raise TreeRefused(f"{name}: something is mounted there; unmount it first")
        yield fd
    finally:
        os.close(fd)
