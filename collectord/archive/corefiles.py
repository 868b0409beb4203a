"""The core files of an archive: their bytes and digests, or the reason why they were not taken."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Sequence
from typing import Final

from collectord.archive.kinds import SYMLINK
from collectord.archive.opening import demand_component, demand_same, open_archive
from collectord.archive.refusals import (
    HARD_LINK,
    NOT_REGULAR,
    OTHER_DEVICE,
    PROCESS_TROUBLE,
    TOO_LARGE,
    reason_of,
)
from collectord.archive.root import ArchiveRoot
from collectord.model import Artifacts, CoreFile, FileState

_OPEN_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_CHUNK: Final = 65_536


def read_core(
    root: ArchiveRoot,
    name: str,
    core_names: Sequence[str],
    *,
    max_bytes: int,
    allow_hard_links: bool = False,
) -> Artifacts:
    """Each core file, in the order given: its bytes (at most `max_bytes`) and sha256, or why not.

    Raises Vanished, ArchiveRefused, and ValueError for names that are not single path components. The
    files are not one moment's picture: compare the signature of an observation before with one after.
    """
    for core in core_names:
        demand_component(core)
    fd, own = open_archive(root, name)
    try:
        files = tuple(_read_one(fd, core, own.st_dev, max_bytes, allow_hard_links) for core in core_names)
    finally:
        os.close(fd)
    if any(file.state is FileState.MISSING for file in files):
        demand_same(root, name, own)
    return Artifacts(files)


def _read_one(dir_fd: int, name: str, device: int, max_bytes: int, allow_hard_links: bool) -> CoreFile:
    try:
        # The look before the open is not what makes it safe (the one after is): it keeps the open itself
        # from having effects, which opening some devices has, and FIFOs for whoever waits to write.
        own = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        objection = _objection(own, device, max_bytes, allow_hard_links)
        if objection is not None:
            return _refused(name, objection)
        fd = os.open(name, _OPEN_FILE, dir_fd=dir_fd)
    except OSError as error:
        return _not_opened(name, error)
    try:
        return _read_opened(fd, name, device, max_bytes, allow_hard_links)
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


def _objection(own: os.stat_result, device: int, max_bytes: int, allow_hard_links: bool) -> str | None:
    """Why a file that looks like this is not read, or None."""
    if not stat.S_ISREG(own.st_mode):
        return SYMLINK if stat.S_ISLNK(own.st_mode) else NOT_REGULAR
    if own.st_dev != device:
        return OTHER_DEVICE
    # The kernel copies core files, so each has one name. A second name may be any file outside that the
    # archive's author could link to, and nothing on this side can find out: it is refused. A backup made
    # of links (`cp -al`) or a deduplicator gives the same picture; its owner knows, and can allow links.
    if own.st_nlink > 1 and not allow_hard_links:
        return HARD_LINK
    return TOO_LARGE if own.st_size > max_bytes else None


def _read_opened(fd: int, name: str, device: int, max_bytes: int, allow_hard_links: bool) -> CoreFile:
    own = os.fstat(fd)
    objection = _objection(own, device, max_bytes, allow_hard_links)
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
