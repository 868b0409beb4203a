"""What a directory entry is, as lstat tells it."""

from __future__ import annotations

import stat
from typing import Final

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
