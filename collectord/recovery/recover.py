"""A new index from what is left of a damaged one, its newest good backup and the archives on disk."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from collectord.errors import CollectordError
from collectord.fs import NO_ROOM
from collectord.index.check import check_index
from collectord.index.engine import open_engine, readable_errors
from collectord.index.merge import transplant
from collectord.index.merge_target import Transplanted
from collectord.index.reader import IndexReader
from collectord.index.salvage import Salvage
from collectord.index.schema import upgrade
from collectord.index.wal import LogState
from collectord.recovery.disk import ArchivesOnDisk
from collectord.recovery.rederive import Progress, derive

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
