"""Dated backups of the index: made, checked, found again, and the oldest removed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from collectord.errors import CollectordError, LockHeld
from collectord.index.files import stamp_of_ms
from collectord.index.opening import now_ms
from collectord.system.durable import ensure_private_dir
from collectord.system.lock import StateLock

if TYPE_CHECKING:
    from collectord.config import Settings

import os
import re
from itertools import count
from typing import TYPE_CHECKING

from collectord.index.files import backup_file

if TYPE_CHECKING:
    from collectord.config import Settings


FOLDER = "backups"
_NAME = re.compile(r"index-\d{8}T\d{6}Z\.sqlite3")
_UNFINISHED = re.compile(r"\.{1,2}index-\d{8}T\d{6}Z\.sqlite3\..+")
# No backup takes so long: what is older was left by one that was killed.
_UNFINISHED_MS = 86_400_000
# Backups of one second are called after several, and clocks are set back by a little: that is no future.
_CLOCK_SLACK_MS = 60_000


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was made and checked; `removed` are older ones beyond what is kept."""

    path: Path
    bytes: int
    artifacts: int
    removed: tuple[Path, ...]


def backup_name(now_ms: int) -> str:
    """The file name of a backup made at that time."""
    return f"index-{stamp_of_ms(now_ms)}.sqlite3"


def free_place(folder: Path, now_ms: int) -> Path:
    """Where a backup of that time goes; two made in one second get the names of two seconds."""
    places = (folder / backup_name(at_ms) for at_ms in count(now_ms, 1000))
    return next(place for place in places if not os.path.lexists(place))


def backups_in(folder: Path, now_ms: int) -> list[Path]:
    """The dated backups of a folder, the newest first; what has another name is nobody's business here.

    Names of the future were given by a clock that was wrong: they say nothing of age, and stand last.
    """
    future = backup_name(now_ms + _CLOCK_SLACK_MS)
    found = (path for path in folder.glob("index-*.sqlite3") if _NAME.fullmatch(path.name))
    return sorted(found, key=lambda path: (path.name <= future, path.name), reverse=True)


def expired(backups: Sequence[Path], keep: int) -> list[Path]:
    """Which of the backups, the newest first, are beyond the number to keep; the newest never is."""
    return list(backups[max(keep, 1) :])


def make_backup(index: Path, target: Path) -> Backup:
    """Copy the index while it may be written, and check the whole copy before it gets its name.

    Never over something that exists. Raises CollectordError where the copy is not whole.
    """
    from collectord.index.reader import IndexReader
    from collectord.repair.check import check_index

    if target.exists() or target.is_symlink():
        raise CollectordError(f"{target}: is there already; a backup never replaces a file")
    unchecked = target.with_name(f".{target.name}.unchecked")
    try:
        backup_file(index, unchecked)
        with IndexReader(unchecked) as reader:
            findings, artifacts = check_index(reader)
        if findings:
            raise CollectordError(
                f"{index}: no backup was made, as its copy is not whole ({findings[0]}): "
                "run `collectord db recover`"
            )
        unchecked.rename(target)
    finally:
        for part in ("", "-wal", "-shm"):
            unchecked.with_name(f"{unchecked.name}{part}").unlink(missing_ok=True)
    return Backup(target, target.stat().st_size, artifacts, ())


def remove_unfinished(folder: Path, now_ms: int) -> None:
    """Remove what backups that were killed left, once it is a day old."""
    for path in folder.glob(".*"):
        if _UNFINISHED.fullmatch(path.name):
            with suppress(FileNotFoundError):  # another one removes it too
                if now_ms - path.lstat().st_mtime_ns // 1_000_000 > _UNFINISHED_MS:
                    path.unlink()


def remove_expired(folder: Path, keep: int, made: Path, now_ms: int) -> tuple[Path, ...]:
    """Remove the dated backups beyond the number to keep, never the one just made; returns them."""
    others = [path for path in backups_in(folder, now_ms) if path != made]
    found = expired([made, *others], keep)
    for path in found:
        path.unlink(missing_ok=True)
    return tuple(found)


def backup(settings: Settings, target: Path | None) -> Backup:
    """Copy the index to a file, or among the dated backups; beside a writer at any time."""
    from dataclasses import replace

    from collectord.index.schema import require_exists

    require_exists(settings.index_path)
    folder = settings.state_dir / FOLDER
    if target is not None:
        _refuse_in_archives(settings, target)
        return make_backup(settings.index_path, target)
    ensure_private_dir(folder)
    began_ms = now_ms()
    remove_unfinished(folder, began_ms)
    remove_scratch(settings.state_dir, "collectord db backup")
    made = make_backup(settings.index_path, free_place(folder, began_ms))
    return replace(made, removed=remove_expired(folder, settings.config.backup.keep, made.path, began_ms))


def _refuse_in_archives(settings: Settings, target: Path) -> None:
    if target.parent.resolve().is_relative_to(settings.archives_dir.resolve()):
        raise CollectordError(f"{target}: lies inside the archives folder; choose another place")


RECOVERING, REBUILDING, PUSHING = "recovering", "rebuilding", "pushing"
_LOCKS = {RECOVERING: "recover.lock", REBUILDING: "rebuild.lock", PUSHING: "push.lock"}


@contextmanager
def scratch_folder(state_dir: Path, work: str, command: str) -> Iterator[Path]:
    """A folder beside the index, under the lock of such work; what killed ones left goes away with it.

    Raises LockHeld beside other work of the kind.
    """
    import shutil
    import tempfile

    with StateLock.acquire(_lock(state_dir, work), command):
        _remove(state_dir, work)
        folder = Path(tempfile.mkdtemp(prefix=f".{work}-", dir=state_dir))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def scratch_folders(state_dir: Path) -> list[Path]:
    """All that is there, in use or left by somebody who was killed."""
    return [path for work in _LOCKS for path in _folders(state_dir, work)]


def remove_scratch(state_dir: Path, command: str) -> None:
    """Remove what nobody uses any more, which the lock of its kind of work proves."""
    for work in _LOCKS:
        if _folders(state_dir, work):
            with suppress(LockHeld), StateLock.acquire(_lock(state_dir, work), command):
                _remove(state_dir, work)


def _lock(state_dir: Path, work: str) -> Path:
    return state_dir / _LOCKS[work]


def _folders(state_dir: Path, work: str) -> list[Path]:
    return sorted(state_dir.glob(f".{work}-*"))


def _remove(state_dir: Path, work: str) -> None:
    import shutil

    for left in _folders(state_dir, work):
        shutil.rmtree(left, ignore_errors=True)
