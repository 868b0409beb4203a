"""The state lock: one writer for one state folder, known by name to whoever comes second."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, TypedDict

from collectord.errors import CollectordError, LockHeld

_PATIENCE_SECONDS: Final = 2.0
_PAUSE_SECONDS: Final = 0.002
_MAX_NOTE_BYTES: Final = 4096
_MAX_COMMAND_CHARACTERS: Final = 300


class LockUnavailable(CollectordError):
    """The file system of the state folder cannot lock."""


class Holder(TypedDict, total=False):
    """Who holds the lock; a key is missing where the holder has not (yet) written it."""

    pid: int
    command: str
    since_ms: int


class StateLock:
    """An exclusive lock that lasts until `close` or the end of this process, however it ends.

    The file is never deleted: between one process opening it and locking it another could delete it and a
    third make it anew, and two would hold "the" lock, on two files. The descriptor is closed in programs
    this process starts; a plain fork shares it, and closing it there leaves the lock with its owner.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._pid = os.getpid()

    @classmethod
    def acquire(cls, path: Path, holder_text: str) -> StateLock:
        """Takes the lock and notes pid, `holder_text` (the command) and the time in the file.

        Raises LockHeld naming the holder, LockUnavailable, and OSError if the file cannot be opened.
        """
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            if not _lock(fd, path):
                raise LockHeld(_sentence(path, _read_note(fd)))
            _write_note(fd, holder_text)
        except BaseException:
            os.close(fd)
            raise
        return cls(fd)

    def is_at(self, path: Path) -> bool:
        """Whether the file there is the one that is locked: if not, another process could lock it too."""
        try:
            there, own = path.lstat(), os.fstat(self._fd)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino)

    def close(self) -> None:
        """Gives the lock back; a second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        try:
            # Only the owner may unlock: in a forked child that would take the lock from its parent. And
            # the owner must: a child between fork and exec would keep it alive beyond the close below.
            if os.getpid() == self._pid:
                with contextlib.suppress(OSError):
                    os.ftruncate(fd, 0)
                fcntl.flock(fd, fcntl.LOCK_UN)
        finally:
            os.close(fd)

    def __enter__(self) -> StateLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def holder(path: Path) -> Holder | None:
    """Who holds the lock right now, or None; what a killed holder left in the file is not believed.

    It asks by taking a shared lock for an instant. A starter that meets this lock tells it from a holder's
    (see `_lock`), so asking never makes one fail. Raises OSError if the file cannot be opened.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return None if _try(fd, fcntl.LOCK_SH, path) else _read_note(fd)
    finally:
        os.close(fd)


def _lock(fd: int, path: Path) -> bool:
    """Takes the exclusive lock; False if another has it."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not _try(fd, fcntl.LOCK_EX, path):
        # If a shared lock can be had, only a `holder` question or another starter is in the way, and soon
        # over. It is given back before the pause: starters that slept on theirs, in step, kept each
        # other out for as long as they tried. The pause differs for the same reason.
        if not _try(fd, fcntl.LOCK_SH, path) or time.monotonic() > deadline:
            return False
        fcntl.flock(fd, fcntl.LOCK_UN)
        import random

        time.sleep(_PAUSE_SECONDS * random.uniform(0.5, 1.5))
    return True


def _try(fd: int, kind: int, path: Path) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise LockUnavailable(
            f"{path}: this file system cannot lock files ({error.strerror}); "
            "put the state folder on a local disk (paths.state)"
        ) from error
    return True


def _write_note(fd: int, holder_text: str) -> None:
    command = holder_text[:_MAX_COMMAND_CHARACTERS]
    note = Holder(pid=os.getpid(), command=command, since_ms=time.time_ns() // 1_000_000)
    # A full disk must not keep out the very command that would make room.
    with contextlib.suppress(OSError):
        os.ftruncate(fd, 0)
        os.pwrite(fd, json.dumps(note).encode(), 0)


def _read_note(fd: int) -> Holder:
    try:
        note = json.loads(os.pread(fd, _MAX_NOTE_BYTES, 0))
    except (ValueError, RecursionError):
        return Holder()
    found = Holder()
    if isinstance(note, dict):
        if isinstance(note.get("pid"), int):
            found["pid"] = note["pid"]
        if isinstance(note.get("command"), str):
            found["command"] = note["command"]
        if isinstance(note.get("since_ms"), int):
            found["since_ms"] = note["since_ms"]
    return found


def _sentence(path: Path, found: Holder) -> str:
    who = f"process {found['pid']}" if "pid" in found else "a process that has not given its name yet"
    if "command" in found:
        command = found["command"]
        who += f" ({command if command.isprintable() else ascii(command)})"
    if "since_ms" in found:
        who += f", since {_as_text(found['since_ms'])}"
    return (
        f"another collectord already writes to this state folder: {who}, holds {path}. "
        "Let it finish, or stop it and try again."
    )


def _as_text(ms: int) -> str:
    try:
        return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return "an unknown time"
