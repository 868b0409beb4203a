"""An index from what is left: the newest whole backup, the damaged file, the archives."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from collectord import archive
from collectord.archive import ArchiveRoot
from collectord.errors import CollectordError, LockHeld
from collectord.fs import NO_ROOM, StateLock
from collectord.index.check import check_index
from collectord.index.engine import open_engine, readable_errors
from collectord.index.merge import Transplanted, transplant
from collectord.index.reader import IndexReader
from collectord.index.salvage import Salvage
from collectord.index.schema import upgrade
from collectord.index.wal import LogState
from collectord.ingest.collect import ReadLimits
from collectord.ingest.interpret import CORE_FILES
from collectord.recovery.rederive import Progress, derive


class ArchivesOnDisk:
    """The folders of archives and world runs, read archive by archive; the last one read is remembered."""

    def __init__(self, folders: Mapping[str, Path], limits: ReadLimits) -> None:
        """`folders` by kind; one that cannot be opened has no bytes to give."""
        self._limits = limits
        self._roots: dict[str, ArchiveRoot] = {}
        self._last: tuple[str, str] | None = None
        self._held: dict[str, bytes] = {}
        for kind, folder in folders.items():
            try:
                self._roots[kind] = ArchiveRoot(folder)
            except archive.RootUnusable:
                continue

    def bytes_of(self, kind: str, name: str, sha256: str) -> bytes | None:
        """The bytes with that digest among the core files of one archive, or None."""
        if self._last != (kind, name):
            self._last, self._held = (kind, name), self._read(kind, name)
        return self._held.get(sha256)

    def _read(self, kind: str, name: str) -> dict[str, bytes]:
        root = self._roots.get(kind)
        if root is None:
            return {}
        try:
            found = archive.read_core(
                root,
                name,
                CORE_FILES[kind],
                max_bytes=self._limits.json_bytes,
                allow_hard_links=self._limits.hard_links,
            )
        except (archive.Vanished, archive.ArchiveRefused, ValueError, OSError):
            return {}
        return {file.sha256: file.data for file in found.files if file.sha256 is not None}

    def __enter__(self) -> ArchivesOnDisk:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for root in self._roots.values():
            root.close()


RECOVERING, REBUILDING = "recovering", "rebuilding"


@contextmanager
def scratch_folder(state_dir: Path, work: str, command: str) -> Iterator[Path]:
    """A folder beside the index, under the lock of such work; what killed ones left goes away with it.

    Raises LockHeld beside other work of the kind.
    """
    with StateLock.acquire(_lock(state_dir, work), command):
        _remove(state_dir, work)
        folder = Path(tempfile.mkdtemp(prefix=f".{work}-", dir=state_dir))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def scratch_folders(state_dir: Path) -> list[Path]:
    """All that is there, in use or left by somebody who was killed."""
    return [path for work in (RECOVERING, REBUILDING) for path in _folders(state_dir, work)]


def remove_scratch(state_dir: Path, command: str) -> None:
    """Remove what nobody uses any more, which the lock of its kind of work proves."""
    for work in (RECOVERING, REBUILDING):
        if _folders(state_dir, work):
            with suppress(LockHeld), StateLock.acquire(_lock(state_dir, work), command):
                _remove(state_dir, work)


def _lock(state_dir: Path, work: str) -> Path:
    return state_dir / {RECOVERING: "recover.lock", REBUILDING: "rebuild.lock"}[work]


def _folders(state_dir: Path, work: str) -> list[Path]:
    return sorted(state_dir.glob(f".{work}-*"))


def _remove(state_dir: Path, work: str) -> None:
    for left in _folders(state_dir, work):
        shutil.rmtree(left, ignore_errors=True)


# What is missing of these shows archive by archive.
NAMED = frozenset({"revisions", "revision_files", "artifacts", "runs"})


@dataclass
class Base:
    """The backup that a recovery starts from, if any, and why those newer than it are no good."""

    backup: Path | None = None
    rejected: dict[Path, str] = field(default_factory=dict)


def start_from_backup(target: Path, backups: Sequence[Path]) -> Base:
    """Make `target` the first of the backups that is whole, at the newest schema; else an empty index."""
    base = Base()
    for backup in backups:
        why = _why_unreadable(backup, target) or _why_not(target)
        if why is None:
            base.backup = backup
            return base
        base.rejected[backup] = why
        for part in target.parent.glob(f"{target.name}*"):
            part.unlink()
    upgrade(target)
    return base


def _why_unreadable(backup: Path, target: Path) -> str | None:
    """Copies a backup; why it cannot be read, or None. What cannot be written is no fault of the backup."""
    try:
        shutil.copyfile(backup, target)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise
        return f"it cannot be read: {error.strerror or error}"
    return None


def _why_not(copy: Path) -> str | None:
    """Why a copy of a backup is no base, after it was brought to the newest schema."""
    try:
        if upgrade(copy).before is None:
            return "it holds no index"
        with IndexReader(copy) as reader:
            findings, _ = check_index(reader)
    except (CollectordError, TypeError, ValueError) as error:
        # Damage in the schema's own text shows as columns that are missing or of another type.
        return str(error)
    return findings[0] if findings else None


def fill_from(source: Salvage, target: Path, disk: ArchivesOnDisk, progress: Progress) -> Transplanted:
    """Take what proves itself from the damaged file into the index at `target`, in one transaction."""
    engine = open_engine(target, read_only=False)
    try:
        with readable_errors(target), engine.begin() as connection:
            return transplant(source, connection, derive, disk.bytes_of, progress)
    finally:
        engine.dispose()


def what_is_unknown(source: Salvage, taken: Transplanted, log: LogState) -> list[str]:
    """Sentences for places of the damaged file of which nobody can say what stood there.

    Archives, their revisions and artifacts are accounted for one by one; these are the other tables.
    """
    if not source.tables:
        return ["the damaged file: its first page, so that nothing else in it could be read"]
    places = Counter(taken.refused)
    places.update(source.unreadable)
    if not places["index of archives"]:
        del places["archives"]
    if not places["index of issue_revisions"]:
        del places["issue_revisions"]
    found = [
        f"{name}: {count} unreadable places" for name, count in sorted(places.items()) if name not in NAMED
    ]
    return [*found, *_forgotten(log)]


def _forgotten(log: LogState) -> list[str]:
    if not log.lost:
        return []
    return [
        f"log: {log.lost} transactions behind a damaged part of it; archives of it that are still on disk "
        "were read again, issues are as they are now"
    ]
