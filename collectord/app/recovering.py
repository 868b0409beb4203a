"""A damaged index brought back from whatever is left of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from collectord.app import Progress, ingest_options, now_ms
from collectord.app.storage import check
from collectord.fs import StateLock, ensure_private_dir
from collectord.model import ARCHIVE, WORLD

if TYPE_CHECKING:
    from collectord.config import Settings
    from collectord.index.merge import Transplanted
    from collectord.ingest.bulk import IngestResult
    from collectord.recovery.recover import ArchivesOnDisk


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
    from collectord.index.swap import finish_exchange

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
    from collectord.index.backups import FOLDER, backups_in
    from collectord.index.salvage import Salvage
    from collectord.index.swap import RECOVERED, put_ready, stamp_of_ms
    from collectord.index.wal import examine_log, log_path
    from collectord.recovery.recover import (
        RECOVERING,
        fill_from,
        scratch_folder,
        start_from_backup,
        what_is_unknown,
    )

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
    from collectord.recovery.recover import ArchivesOnDisk

    folders = {ARCHIVE: settings.archives_dir, WORLD: settings.repo / ".cyntra/runs"}
    return ArchivesOnDisk(folders, ingest_options(settings).limits)


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
    from collectord.index.queries import set_arrivals
    from collectord.index.writer import IndexWriter
    from collectord.ingest.bulk import ingest_repo

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
    from collectord.index.check import check_index
    from collectord.index.merge import UNREADABLE
    from collectord.index.reader import IndexReader
    from collectord.index.revisions import revision_keys

    with IndexReader(target) as reader:
        there = revision_keys(reader.connection)
        listed = list(reader.known())
        findings, _ = check_index(reader)
    known = {(found.kind, found.name) for found in listed}
    # The transplant takes the signature from what it lost, and only a reading of today gives one again.
    there |= {(found.kind, found.name, UNREADABLE) for found in listed if found.signature and found.digest}
    done.read_again = sorted(name for kind, name, digest in taken.lost if (kind, name, digest) in there)
    lost = [(name, digest[:12] or "unreadable") for kind, name, digest in {*taken.lost} - there]
    done.lost = sorted(f"{name}: a revision of it ({digest})" for name, digest in lost)
    done.lost += sorted(f"{name}: everything but its name" for kind, name in names - known)
    done.lost += [f"issue {issue}: one of its earlier states" for issue in taken.lost_issues]
    done.doubtful = sorted({*taken.doubtful, *findings})
