"""A new index made from what the old one and the archives hold, compared with it, and put in its place."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from collectord.app import Progress, now_ms
from collectord.fs import StateLock, ensure_private_dir, holder

if TYPE_CHECKING:
    from collectord.config import Settings
    from collectord.index.compare import Difference
    from collectord.index.merge import Transplanted

# What nobody can derive again: a row of these that only the old index has must not go away with it.
WITNESSED = frozenset(
    {
        *("archives", "revisions", "artifacts", "issue_revisions", "workcell_ends", "index_info"),
        *("environments", "environment_observations", "epoch_cuts", "sealed_epochs", "epoch_snapshots"),
        *("alerts", "snapshots"),
    }
)


@dataclass
class Rebuilt:
    """What the new index has and how it differs; `lost` differences are why it may not replace the old one.

    `counts` are rows by table in the new index, `from_disk` artifacts that only an archive still had.
    `beside`: another process writes the index, so archives were only asked for bytes that it lacks.
    """

    differences: list[Difference] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    from_disk: int = 0
    ingested: dict[str, int] = field(default_factory=dict)
    beside: bool = False
    replaced: bool = False
    aside: tuple[Path, ...] = ()

    @property
    def lost(self) -> list[Difference]:
        """Rows that the new index should have and has not."""
        return [one for one in self.differences if one.side == "old" and one.table in WITNESSED]


def rebuild(
    settings: Settings, *, replace: bool = False, progress: Progress = lambda _done, _total: None
) -> Rebuilt:
    """Derive everything again into a new index and compare; with `replace` put it in place if it differs.

    Without `replace` nothing of the old index changes, and whoever writes it goes on. Raises LockHeld, and
    CollectordError where the old index is damaged. Killed at any moment it leaves the old one or the new one.
    """
    from collectord.index.schema import require_current
    from collectord.index.swap import finish_exchange
    from collectord.index.writer import IndexWriter

    require_current(settings.index_path)
    ensure_private_dir(settings.state_dir)
    with ExitStack() as held:
        if replace:
            held.enter_context(StateLock.acquire(settings.lock_path, "collectord rebuild --replace"))
            finish_exchange(settings.index_path)
            # Brings the log into the index: moved apart, they would be another index for a moment.
            IndexWriter(settings.index_path).close()
        beside = not replace and holder(settings.lock_path) is not None
        return _rebuild(settings, Rebuilt(beside=beside), replace, progress)


def _rebuild(settings: Settings, done: Rebuilt, replace: bool, progress: Progress) -> Rebuilt:
    from collectord.app.recovering import forget_derived, ingest_into
    from collectord.index.backup import backup_file
    from collectord.index.compare import compare_indexes, count_rows
    from collectord.index.swap import REBUILT, finish_exchange, put_ready, stamp_of_ms
    from collectord.recovery.recover import REBUILDING, scratch_folder

    with scratch_folder(settings.state_dir, REBUILDING, "collectord rebuild") as scratch:
        old, new = scratch / "old.sqlite3", scratch / "new.sqlite3"
        backup_file(settings.index_path, old)
        taken = _fill(settings, old, new, progress)
        done.from_disk = taken.from_disk
        if not done.beside:
            done.ingested = dict(ingest_into(settings, new, taken).outcomes)
        done.differences = list(compare_indexes(old, new))
        done.counts = count_rows(new)
        if replace and done.differences and not done.lost:
            forget_derived(settings)
            put_ready(new, settings.index_path, stamp_of_ms(now_ms()), REBUILT)
            done.aside = finish_exchange(settings.index_path)
            done.replaced = True
    return done


def _fill(settings: Settings, old: Path, new: Path, progress: Progress) -> Transplanted:
    """A new index with all that the old one witnessed, and everything derived anew."""
    from collectord.app.recovering import archives_on_disk
    from collectord.index.salvage import Salvage
    from collectord.index.schema import upgrade
    from collectord.recovery.recover import fill_from

    upgrade(new)
    copies = old.parent / "copies"
    copies.mkdir()
    with Salvage(old, copies) as source, archives_on_disk(settings) as disk:
        return fill_from(source, new, disk, progress)
