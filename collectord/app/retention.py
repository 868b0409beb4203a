"""Archives pruned and restored, and everything raw written out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from collectord.app import now_ms, reader_for, writer_for
from collectord.errors import CollectordError, LockHeld
from collectord.model import ARCHIVE, WORLD, OutcomeKind
from collectord.names import readable_name

if TYPE_CHECKING:
    from collectord.config import Settings
    from collectord.index.writer import Change
    from collectord.retention.plan import Ages
    from collectord.retention.prune import Pruned, PrunePlan

Agree = Callable[["PrunePlan"], bool]


def prune(settings: Settings, ages: Ages, agree: Agree) -> tuple[PrunePlan, Pruned | None]:
    """Plan, ask, and remove; without agreement nothing is removed.

    Beside a daemon the index is only read: the daemon sees by itself what changed, and that it is nothing.
    """
    from collectord.archive import ArchiveRoot
    from collectord.retention.prune import Pruned, Pruner

    with reader_for(settings) as reader, ArchiveRoot(settings.archives_dir) as root:
        pruner = Pruner(reader, root, ages)
        plan = pruner.plan(now_ms())
        if not agree(plan):
            return plan, None
        done = Pruned(kept=dict(plan.kept))
        try:
            pruner.carry_out(plan, done)
        finally:
            _note(settings, done)
    return plan, done


def _note(settings: Settings, done: Pruned) -> None:
    """Tell the index that what is left is unchanged and what was removed is gone, if nobody else writes."""
    from collectord.index.writer import Gone, Seen

    changes: list[Change] = [Gone(ARCHIVE, name) for name in done.gone]
    for name, signature in done.touched.items():
        changes.append(Seen(ARCHIVE, name, OutcomeKind.UNCHANGED, signature))
    if not changes:
        return
    try:
        with writer_for(settings, "collectord prune") as writer:
            now = now_ms()
            writer.apply(changes, now_ms=now, first_ingest_ms=writer.first_ingest_ms(now))
    except LockHeld:
        return


@dataclass
class Restored:
    """Directories that were written, and those that were not, with the reason."""

    written: list[Path] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)


def restore(
    settings: Settings, wanted: Sequence[str] | None, *, to: Path | None = None, runs_to: Path | None = None
) -> Restored:
    """Write core files of archives back, of all of them for None; world runs with them.

    `to` is another folder than the archives'; world runs are then written to `runs_to` or not at all.
    """
    from collectord.index.stored import current_archives
    from collectord.retention.restore import InTheWay, restore_archive

    folders = {ARCHIVE: to or settings.archives_dir}
    if to is None or runs_to is not None:
        folders[WORLD] = runs_to or settings.repo / ".cyntra/runs"
    done = Restored()
    with reader_for(settings) as reader:
        for name in [None] if wanted is None else [readable_name(Path(given).name) for given in wanted]:
            found = [a for a in current_archives(reader.connection, name, None) if a.kind in folders]
            if not found and name is not None:
                raise CollectordError(
                    f"{name}: the index has no revision of it; `collectord runs` lists what it has"
                )
            for stored in found:
                try:
                    done.written.append(restore_archive(reader, stored, folders[stored.kind]))
                except InTheWay as error:
                    done.kept[stored.name] = str(error)
    return done


def export_artifacts(settings: Settings, folder: Path) -> tuple[int, int]:
    """Write every artifact out as a plain file; returns how many of them, and of how many revisions."""
    from collectord.retention.writing_out import write_out

    with reader_for(settings) as reader:
        return write_out(reader, folder)
