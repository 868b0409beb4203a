"""Writes that a crash leaves either undone or done, and the temporary files of those killed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
import sys
from pathlib import Path
from typing import Final

# No file can be written there any more, whichever it is.
NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
_PREFIX: Final = ".collectord-"
_SUFFIX: Final = ".tmp"
_AT_FDCWD: Final = -100
_RENAME_NOREPLACE: Final = 1
_CANNOT_NOREPLACE: Final = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP})


def _umask() -> int:
    found = os.umask(0)
    os.umask(found)
    return found


# Read once: asking for it changes it for a moment.
UMASK = _umask()


def permitted(mode: int) -> int:
    """The mode of a file that others may see, as far as the umask of this process lets them."""
    return mode & ~UMASK


def atomic_write(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Puts a file of exactly these bytes and rights at the path, replacing what was there.

    When it returns, the file outlives a power cut; when it raises OSError, the old one is untouched.
    """
    import tempfile  # with it comes `random`: 4 ms that only a write has to spend

    fd, name = tempfile.mkstemp(prefix=f"{_PREFIX}{os.getpid()}-", suffix=_SUFFIX, dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            _sync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_dir(path.parent)


def fsync_dir(path: Path) -> None:
    """Makes what was created, renamed or removed directly in the directory outlive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _sync(fd)
    except OSError as error:
        # Some network and FUSE file systems have no fsync for directories, and there is no other way.
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise
    finally:
        os.close(fd)


def ensure_private_dir(path: Path) -> None:
    """Makes the directory for its owner only (0700), its missing parents with the usual rights.

    One that exists with wider rights is narrowed if it is ours, and left alone if it is not. Raises
    NotADirectoryError where something else stands.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        own = os.fstat(fd)
        if stat.S_IMODE(own.st_mode) & 0o077 and own.st_uid == os.geteuid():
            os.fchmod(fd, stat.S_IMODE(own.st_mode) & ~0o077)
    finally:
        os.close(fd)


def publish_directory(tmp: Path, final: Path) -> None:
    """Gives a finished directory its final name once all in it is on disk, never over anything.

    Both lie on one file system, best side by side. Raises FileExistsError when the name is taken by
    anything at all, also by a dangling link; `tmp` is then still in its place.
    """
    _sync_tree(tmp)
    if not _rename_noreplace(tmp, final):
        _rename_checked(tmp, final)
    fsync_dir(final.parent)
    if tmp.parent != final.parent:
        fsync_dir(tmp.parent)


def replace_symlink(link: Path, target: str) -> None:
    """Points a relative symbolic link at the target, whether the link exists or not, in one step.

    Raises FileExistsError where something stands that is not a link, ValueError for an absolute target.
    """
    if target.startswith("/"):
        raise ValueError(f"a link that moves along with its folder cannot point to {target!r}")
    # A file appearing after this look would be replaced; a directory never is, rename refuses that.
    if os.path.lexists(link) and not link.is_symlink():
        raise FileExistsError(errno.EEXIST, "something that is not a symbolic link is in the way", str(link))
    import secrets

    temporary = link.with_name(f"{_PREFIX}{os.getpid()}-{secrets.token_hex(8)}{_SUFFIX}")
    temporary.symlink_to(target)
    try:
        temporary.replace(link)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_dir(link.parent)


def _sync(fd: int) -> None:
    if sys.platform == "darwin":
        # macOS's fsync leaves the bytes in the drive's cache; not every file system has the stronger call.
        with contextlib.suppress(OSError):
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
            return
    os.fsync(fd)


def _sync_tree(directory: Path) -> None:
    with os.scandir(directory) as listing:
        for item in listing:
            if item.is_dir(follow_symlinks=False):
                _sync_tree(Path(item.path))
            elif item.is_file(follow_symlinks=False):
                _sync_file(item.path)
    fsync_dir(directory)


def _sync_file(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _sync(fd)
    finally:
        os.close(fd)


def _rename_noreplace(source: Path, target: Path) -> bool:
    """Renames in one step that fails if the target exists; False where the system has no such step."""
    import ctypes  # 10 ms that only a publication has to spend

    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    names = os.fsencode(source), os.fsencode(target)
    if renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_NOREPLACE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _CANNOT_NOREPLACE:
        return False
    raise OSError(code, os.strerror(code), str(source), None, str(target))


def _rename_checked(source: Path, target: Path) -> None:
    """The rename of a directory where look and rename are two steps.

    What appears between them is safe all the same: POSIX lets a directory replace nothing but an empty
    directory, and then an empty directory is all that is lost.
    """
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    try:
        source.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.ENOTDIR):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
        raise


SUFFIX = ".tmp"
_NAME = re.compile(r"\.collectord-(\d+)-.*\.tmp")


def own_prefix() -> str:
    """The beginning of a temporary name of this process."""
    return f".collectord-{os.getpid()}-"


def remove_leftovers(folder: Path) -> None:
    """Remove what an export that was killed left in a folder; one that is running keeps its own."""
    for entry in folder.iterdir():
        found = _NAME.fullmatch(entry.name)
        if found and not _is_running(int(found[1])):
            _remove(entry)


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        import shutil

        shutil.rmtree(entry, ignore_errors=True)
    else:
        entry.unlink(missing_ok=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
