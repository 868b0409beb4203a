"""Opening files of a repo: regular ones only, links in the last place only if asked, never waiting."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def open_regular(path: Path, *, follow: bool = False) -> BinaryIO:
    """The file opened for reading; raises OSError for anything that is not a regular file.

    With `follow` a link in the last place may lead to one.
    """
    file = os.fdopen(os.open(path, _OPEN & ~os.O_NOFOLLOW if follow else _OPEN), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(f"{path} is not a regular file")
    return file


def stamp_of(path: Path) -> str:
    """What changes whenever the file is written or replaced; "" where there is none."""
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{found.st_ino}:{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}"
