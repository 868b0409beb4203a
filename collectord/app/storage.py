"""What keeps the index: checks and backups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from collectord.app import now_ms, reader_for
from collectord.errors import CollectordError, IndexMissing, IndexTooNew, IndexTooOld
from collectord.fs import ensure_private_dir

if TYPE_CHECKING:
    from collectord.config import Settings
    from collectord.index.backups import Backup

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Checked:
    """What a full check found, and how much of it was looked at."""

    findings: list[str]
    artifacts: int
    revisions: int


def check(settings: Settings, *, progress: Progress = lambda _done, _total: None) -> Checked:
    """Pages, references, digests, and every run derived again from its artifacts; changes nothing."""
    from collectord.index.check import MAX_FINDINGS, check_index
    from collectord.index.engine import readable_errors
    from collectord.index.revisions import count_revisions
    from collectord.index.schema import version_of
    from collectord.index.wal import examine_log, log_path
    from collectord.recovery.rederive import differences

    log = examine_log(log_path(settings.index_path))
    torn = [f"log: {log.lost} transactions stand behind a damaged part of it"] if log.damaged else []
    try:
        with reader_for(settings) as reader, readable_errors(settings.index_path):
            findings, artifacts = check_index(reader)
            if findings:
                return Checked(torn + findings, artifacts, 0)
            findings = list(differences(reader, progress))[:MAX_FINDINGS]
            return Checked(torn + findings, artifacts, count_revisions(reader.connection))
    except (IndexTooNew, IndexMissing):
        raise
    except IndexTooOld:
        if version_of(settings.index_path) is not None:
            raise
        return Checked([*torn, "its schema has no version any more"], 0, 0)
    except (CollectordError, TypeError, ValueError) as damage:
        # Damage in the schema's own text shows as columns that are missing or of another type.
        return Checked([*torn, f"cannot be read: {damage.__cause__ or damage}"], 0, 0)


def backup(settings: Settings, target: Path | None) -> Backup:
    """Copy the index to a file, or among the dated backups; beside a writer at any time."""
    from dataclasses import replace

    from collectord.index.backups import FOLDER, free_place, make_backup, remove_expired, remove_unfinished
    from collectord.index.schema import require_exists
    from collectord.recovery.recover import remove_scratch

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
