"""Archives pruned and restored, and everything raw written out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from collectord.app import now_ms, reader_for, writer_for
from collectord.errors import CollectordError, LockHeld
from collectord.fs import NO_ROOM, StateLock
from collectord.model import ARCHIVE, WORLD, OutcomeKind
from collectord.names import readable_name

if TYPE_CHECKING:
    from collectord.config import Settings
    from collectord.index.reader import IndexReader
    from collectord.index.revisions import StoredArchive
    from collectord.index.writer import Change
    from collectord.retention.export_artifacts import WrittenOut
    from collectord.retention.plan import Ages
    from collectord.retention.prune import Pruned, PrunePlan

Agree = Callable[["PrunePlan"], bool]


def prune(
    settings: Settings, ages: Ages, agree: Agree, *, dry_run: bool = False
) -> tuple[PrunePlan, Pruned | None]:
    """Plan, ask, and remove; without agreement nothing is removed, and a dry run moves nothing at all.

    Beside a daemon the index is only read: the daemon sees by itself that what is left did not change, and
    takes the names of those that are gone from a note. Raises LockHeld beside another prune.
    """
    with ExitStack() as held:
        reader = held.enter_context(reader_for(settings))
        if not dry_run:
            held.enter_context(StateLock.acquire(prune_lock(settings), "collectord prune"))
        return _prune(settings, reader, ages, agree, dry_run)


def prune_lock(settings: Settings) -> Path:
    """PendingChange while a prune may have archives out of the way."""
    return settings.state_dir / "prune.lock"


def _prune(
    settings: Settings, reader: IndexReader, ages: Ages, agree: Agree, dry_run: bool
) -> tuple[PrunePlan, Pruned | None]:
    from collectord.archive import ArchiveRoot
    from collectord.retention.prune import Pruned, Pruner, put_back_unchecked

    with ArchiveRoot(settings.archives_dir) as root:
        stuck = {} if dry_run else put_back_unchecked(root)[1]
        pruner = Pruner(reader, root, ages)
        plan = pruner.plan(now_ms())
        plan.stuck = stuck
        if not agree(plan):
            return plan, None
        done = Pruned(kept=plan.kept | stuck)
        began_ms = _announce(settings, plan)
        try:
            pruner.carry_out(plan, done)
        finally:
            _note(settings, done, began_ms)
    return plan, done


def _announce(settings: Settings, plan: PrunePlan) -> int:
    """Leave the note first: whoever is killed cannot any more. Returns its time."""
    from collectord.retention.plan import leave_note

    began_ms = now_ms()
    try:
        leave_note(settings.state_dir, [one.name for one in plan.removals if one.due.whole], began_ms)
    except OSError as error:
        # A full disk is what a prune is called for; the note at its end then finds room.
        if error.errno not in NO_ROOM:
            raise
    return began_ms


def _note(settings: Settings, done: Pruned, began_ms: int) -> None:
    """Tell the index that what is left is unchanged and what was removed is gone, or whoever writes it."""
    from collectord.index.writer import Gone, Seen
    from collectord.retention.plan import leave_note

    changes: list[Change] = [Gone(ARCHIVE, name) for name in done.gone]
    for name, signature in done.touched.items():
        changes.append(Seen(ARCHIVE, name, OutcomeKind.UNCHANGED, signature))
    told_others = done.gone
    if changes:
        with suppress(LockHeld), writer_for(settings, "collectord prune") as writer:
            now = now_ms()
            writer.apply(changes, now_ms=now, first_ingest_ms=writer.first_ingest_ms(now))
            told_others = []
    leave_note(settings.state_dir, told_others, began_ms)


@dataclass
class Restored:
    """Directories that were written; `kept`, which were there already, and `failed`, with the reason."""

    written: list[Path] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def restore(
    settings: Settings,
    wanted: Sequence[str] | None,
    *,
    to: Path | None = None,
    runs_to: Path | None = None,
    revision: int | None = None,
) -> Restored:
    """Write core files of archives back, of all of them for None; world runs with them.

    `to` is another folder than the archives'; world runs are then written to `runs_to` or not at all. The
    current revision unless another is named. One that is damaged holds up no other; a full disk does.
    """
    from collectord.index.revisions import stored_archives

    folders = {ARCHIVE: to or settings.archives_dir}
    if to is None or runs_to is not None:
        folders[WORLD] = runs_to or settings.repo / ".cyntra/runs"
    done = Restored()
    with reader_for(settings) as reader:
        for name in [None] if wanted is None else [readable_name(Path(given).name) for given in wanted]:
            listed = stored_archives(reader.connection, name, None, revision)
            found = [one for one in listed if one.kind in folders]
            if not found and name is not None:
                raise CollectordError(_no_revision(name, revision))
            for stored in found:
                _restore_one(reader, stored, folders[stored.kind], done)
    return done


def _no_revision(name: str, revision: int | None) -> str:
    if revision is None:
        return f"{name}: the index has no revision of it; `collectord runs` lists what it has"
    return f"{name}: the index has no revision {revision} of it; `collectord explain {name}` lists them"


def _restore_one(reader: IndexReader, stored: StoredArchive, folder: Path, done: Restored) -> None:
    from collectord.retention.restore import InTheWay, restore_archive

    try:
        done.written.append(restore_archive(reader, stored, folder))
    except InTheWay as error:
        done.kept[stored.name] = str(error)
    except KeyError as missing:
        done.failed[stored.name] = (
            f"artifact {missing.args[0]} is not in the index; run `collectord db recover`"
        )
    except (CollectordError, ValueError) as error:
        done.failed[stored.name] = str(error)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise
        done.failed[stored.name] = str(error)


def export_artifacts(settings: Settings, folder: Path) -> WrittenOut:
    """Write every artifact out as a plain file; what is damaged is named and holds up no other."""
    from collectord.index.engine import readable_errors
    from collectord.retention.export_artifacts import write_out

    with reader_for(settings) as reader, readable_errors(settings.index_path):
        return write_out(reader, folder)
