"""Root acts as the owner of a repo: what root wrote there the service could not touch any more."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from collectord.errors import CollectordError


def owner_of(folder: Path) -> int:
    """The user id that owns a folder, or the nearest parent that is there."""
    return next(path for path in (folder, *folder.parents) if path.exists()).stat().st_uid


def name_of(uid: int) -> str:
    """The name of a user, or the number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def foreign_in(folder: Path, uid: int) -> tuple[str, ...]:
    """Paths of a folder and of the folders in it that belong to another user."""
    listed = [folder, *folder.glob("*"), *folder.glob("*/*")] if folder.is_dir() else []
    return tuple(str(path) for path in listed if path.lstat().st_uid != uid)


def act_as_owner(folder: Path) -> str | None:
    """Where root works in the folder of another user: become that user for good; returns the name.

    None where nothing is to be done. Raises CollectordError where that user cannot read this installation:
    nothing could be imported any more.
    """
    standing = next(path for path in (folder, *folder.parents) if path.exists())
    own = standing.stat()
    if os.geteuid() != 0 or own.st_uid == 0:
        return None
    name = name_of(own.st_uid)
    with _effective(own.st_uid, own.st_gid):
        unreadable = [path for path in (os.__file__, __file__) if not _is_readable(Path(path))]
    if unreadable:
        raise CollectordError(
            f"{folder} belongs to {name}, who cannot use what root writes there; {name} cannot "
            f"read {unreadable[0]}, so collectord cannot act for them: install it where they can, and run "
            f"`sudo -u {name} collectord …`"
        )
    try:
        os.initgroups(name, own.st_gid)
    except (OSError, KeyError):
        os.setgroups([own.st_gid])
    os.setgid(own.st_gid)
    os.setuid(own.st_uid)
    return name


@contextmanager
def _effective(uid: int, gid: int) -> Iterator[None]:
    before = os.getegid()
    os.setegid(gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(before)


def _is_readable(path: Path) -> bool:
    try:
        with path.open("rb"):
            return True
    except OSError:
        return False
