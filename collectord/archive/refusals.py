"""Why a directory or a core file is not read: typed for the one, constant reasons for the other."""

from __future__ import annotations

import errno
from typing import ClassVar, Final, NoReturn

from collectord.archive.kinds import SYMLINK
from collectord.errors import CollectordError

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
