"""A damaged index brought back from what is left: the newest whole backup, the damaged file, the archives."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from collectord import archive
from collectord.archive import CORE_FILES, ArchiveRoot
from collectord.errors import CollectordError
from collectord.index.engine import connect, readable_errors, transaction
from collectord.index.files import (
    RECOVERED,
    LogState,
    examine_log,
    finish_exchange,
    log_path,
    put_ready,
    stamp_of_ms,
)
from collectord.index.opening import now_ms
from collectord.index.queries import set_arrivals
from collectord.index.reader import IndexReader, looked_at, revision_keys
from collectord.index.schema import upgrade
from collectord.index.writer import IndexWriter
from collectord.intake.collect import ReadLimits
from collectord.intake.ingest import ingest_options, ingest_repo
from collectord.intake.queue import rules_of
from collectord.model import ARCHIVE, WORLD, WORLD_RUNS, Progress
from collectord.repair.backups import FOLDER, RECOVERING, backups_in, scratch_folder
from collectord.repair.check import check, check_index, derive
from collectord.repair.merge import UNREADABLE, Transplanted, transplant
from collectord.repair.salvage import Salvage
from collectord.system.durable import NO_ROOM, ensure_private_dir
from collectord.system.lock import StateLock

if TYPE_CHECKING:
    from collectord.config import Settings
    from collectord.intake.ingest import IngestResult
    from collectord.repair.merge import Transplanted


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
    with (
        readable_errors(target),
        closing(connect(target, read_only=False)) as connection,
        transaction(connection),
    ):
        return transplant(source, connection, derive, disk.bytes_of, progress)


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


@dataclass
class Recovered:
    """What a recovery did; without `damage` nothing was done, as nothing was wrong.

    Counts are rows by table: `taken` from the damaged file, `refused` for not proving itself, `unreadable`
    where nothing could be read. `lost`, `doubtful` and `unknown` are sentences; unknown is what stood where
    nothing can be read and nothing else names it.
    """

    damage: list[str]
    aside: tuple[Path, ...] = ()
    backup: Path | None = None
    rejected: dict[Path, str] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    unreadable: dict[str, int] = field(default_factory=dict)
    from_disk: int = 0
    ingested: dict[str, int] = field(default_factory=dict)
    read_again: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    doubtful: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def recover(
    settings: Settings, *, force: bool = False, progress: Progress = lambda _done, _total: None
) -> Recovered:
    """Set a damaged index aside and put a new one in its place, from whatever is left of it.

    Sources: the newest good backup, the damaged file, the archives. With `force` also where nothing is wrong.
    Raises LockHeld. Killed at any moment it leaves the old index or the new one.
    """
    ensure_private_dir(settings.state_dir)
    with StateLock.acquire(settings.lock_path, "collectord db recover"):
        finish_exchange(settings.index_path)
        damage = _damage(settings, force)
        if not damage:
            return Recovered([])
        done = _build(settings, Recovered(damage), progress)
        done.aside = finish_exchange(settings.index_path)
        return done


def _damage(settings: Settings, force: bool) -> list[str]:
    """What is wrong with the index; with `force` not asked: a damaged one may look newer."""
    if not settings.index_path.exists():
        return ["there is no index"]
    return ["not looked for (--force)"] if force else check(settings).findings


def _build(settings: Settings, done: Recovered, progress: Progress) -> Recovered:
    log = examine_log(log_path(settings.index_path))
    with scratch_folder(settings.state_dir, RECOVERING, "collectord db recover") as scratch:
        target = scratch / "new.sqlite3"
        base = start_from_backup(target, backups_in(settings.state_dir / FOLDER, now_ms()))
        done.backup, done.rejected = base.backup, base.rejected
        with (
            Salvage(settings.index_path, _made(scratch / "old")) as source,
            archives_on_disk(settings) as disk,
        ):
            taken = fill_from(source, target, disk, progress)
            names = source.names()
            done.unknown = what_is_unknown(source, taken, log)
            done.unreadable = dict(source.unreadable)
        result = ingest_into(settings, target, taken)
        done.taken, done.refused, done.from_disk = taken.taken, taken.refused, taken.from_disk
        done.ingested = dict(result.outcomes)
        _account(done, target, taken, names)
        forget_derived(settings)
        put_ready(target, settings.index_path, stamp_of_ms(now_ms()), RECOVERED)
    return done


def archives_on_disk(settings: Settings) -> ArchivesOnDisk:
    """The folders in which bytes that an index lacks may still stand."""
    folders = {ARCHIVE: settings.archives_dir, WORLD: settings.repo / WORLD_RUNS}
    return ArchivesOnDisk(folders, rules_of(settings).limits)


def forget_derived(settings: Settings) -> None:
    """Remove what exports and audits kept beside an index that another one is to replace."""
    cache = settings.state_dir / "cache"
    for path in [path for path in cache.glob("*") if path.is_file()]:
        path.unlink(missing_ok=True)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def ingest_into(settings: Settings, target: Path, taken: Transplanted) -> IngestResult:
    """Read the archives into a new index; those whose revision was lost keep their times of arrival."""
    writer = IndexWriter(target)
    try:
        options = ingest_options(settings)
        result = ingest_repo(writer, settings.repo, settings.archives_dir, options, clock_ms=now_ms)
        set_arrivals(writer, taken.arrivals)
        return result
    finally:
        writer.close()


def _account(done: Recovered, target: Path, taken: Transplanted, names: set[tuple[str, str]]) -> None:
    """Say of everything that was once there and could not be taken what became of it."""
    with IndexReader(target) as reader:
        there = revision_keys(reader.connection)
        known = {(found.kind, found.name) for found in reader.known()}
        # The transplant takes the signature from what it lost, and only a reading of today gives one again.
        there |= {(kind, name, UNREADABLE) for kind, name in looked_at(reader.connection)}
        findings, _ = check_index(reader)
    done.read_again = sorted(name for kind, name, digest in taken.lost if (kind, name, digest) in there)
    lost = [(name, digest[:12] or "unreadable") for kind, name, digest in {*taken.lost} - there]
    done.lost = sorted(f"{name}: a revision of it ({digest})" for name, digest in lost)
    done.lost += sorted(f"{name}: everything but its name" for kind, name in names - known)
    done.lost += [f"issue {issue}: one of its earlier states" for issue in taken.lost_issues]
    done.doubtful = sorted({*taken.doubtful, *findings})
