"""`collectord db`: the index file and its copies."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from collectord.cli.invocation import Group, Invocation
from collectord.cli.output import complain, emit_json, json_option, line, progress_bar, size_text
from collectord.cli.rebuild import rebuild
from collectord.errors import CollectordError

if TYPE_CHECKING:
    from collectord.repair.recover import Recovered


_MAX_SHOWN = 20


@click.group(cls=Group, short_help="Upgrade, check, back up, rebuild or recover the index.")
def db() -> None:
    """Upgrade, check, back up, rebuild or recover the index."""


db.add_command(rebuild)


@db.command("upgrade")
@json_option
@click.pass_obj
def db_upgrade(invocation: Invocation, as_json: bool) -> None:
    """Bring the index to the schema of this collectord; a backup is made first."""
    from collectord.index.opening import upgrade as upgrade_index

    done = upgrade_index(invocation.settings())
    backup = str(done.backup) if done.backup else None
    if as_json:
        document = {"before": done.before, "after": done.after, "backup": backup}
        emit_json({"schema": "collectord.db_upgrade.v1", **document})
    elif done.before == done.after:
        line(f"nothing to do: the index has schema {done.after}")
    else:
        before = f"; the index as it was: {backup}" if backup else ""
        line(f"schema {done.before or 'none'} → {done.after}{before}")


@db.command("check")
@json_option
@click.pass_obj
def db_check(invocation: Invocation, as_json: bool) -> None:
    """Check the index: pages, references, every digest, every run derived again from its artifacts."""
    from collectord.repair.check import check

    settings = invocation.settings()
    with progress_bar("deriving runs again") as progress:
        found = check(settings, progress=progress)
    if as_json:
        counts = {"artifacts": found.artifacts, "revisions": found.revisions}
        document = {"ok": not found.findings, "findings": found.findings, **counts}
        emit_json({"schema": "collectord.db_check.v1", **document})
    else:
        for finding in found.findings:
            line(finding)
    if found.findings:
        raise CollectordError(
            f"{settings.index_path}: {len(found.findings)} findings. Stop the daemon and run `collectord db "
            "recover`: it keeps the file and makes a new index from it, the newest backup and the archives. "
            "Runs whose archives were pruned are only there and in the backups: delete neither"
        )
    if not as_json:
        line(
            f"{settings.index_path}: fine ({found.artifacts} artifacts have their digests, "
            f"{found.revisions} revisions are what their artifacts say)"
        )


@db.command("backup")
@click.option("--to", type=click.Path(path_type=Path), help="A file that does not exist yet.")
@json_option
@click.pass_obj
def db_backup(invocation: Invocation, to: Path | None, as_json: bool) -> None:
    """Copy the index beside whatever writes it, check the copy, and remove the oldest beyond backup.keep."""
    from collectord.repair.backups import backup

    target = Path(os.path.normpath(to.absolute())) if to else None
    made = backup(invocation.settings(), target)
    if as_json:
        removed = [str(path) for path in made.removed]
        document = {
            "path": str(made.path),
            "bytes": made.bytes,
            "artifacts": made.artifacts,
            "removed": removed,
        }
        emit_json({"schema": "collectord.db_backup.v1", **document})
        return
    line(f"{made.path}: {size_text(made.bytes)}, whole ({made.artifacts} artifacts have their digests)")
    for path in made.removed:
        line(f"removed {path}")


@db.command("export-artifacts")
@click.argument("directory", type=click.Path(path_type=Path))
@json_option
@click.pass_obj
def db_export_artifacts(invocation: Invocation, directory: Path, as_json: bool) -> None:
    """Write every core file that the index holds out as a plain file named by its sha256."""
    from collectord.retention.restore import export_artifacts

    done = export_artifacts(invocation.settings(), directory)
    if as_json:
        counts = {"artifacts": done.artifacts, "revisions": done.revisions, "failed": done.failed}
        emit_json({"schema": "collectord.db_export_artifacts.v1", "path": str(directory), **counts})
    else:
        line(f"{directory}: {done.artifacts} artifacts of {done.revisions} revisions, see revisions.jsonl")
        for why in list(done.failed.values())[:_MAX_SHOWN]:
            complain(why)
    if done.failed:
        raise CollectordError(
            f"{directory}: {len(done.failed)} artifacts could not be written out; all others are there"
        )


@db.command("recover")
@click.option("--force", is_flag=True, help="Without a check, also where nothing is wrong.")
@json_option
@click.pass_obj
def db_recover(invocation: Invocation, force: bool, as_json: bool) -> None:
    """Make a new index from what is left of a damaged one, the newest good backup and the archives.

    The damaged file is kept beside it under a name with the date. Nothing is lost without being named.
    """
    from collectord.repair.recover import recover

    settings = invocation.settings()
    with progress_bar("deriving archives again") as progress:
        done = recover(settings, force=force, progress=progress)
    if as_json:
        emit_json(_document(done))
    elif not done.damage:
        line(f"{settings.index_path}: nothing to do, it is fine (--force makes a new one all the same)")
    else:
        _print(done)
    if done.lost or done.unknown:
        raise CollectordError(
            f"{settings.index_path}: recovered, but not all of it: see above for what is lost or unknown"
        )


def _document(done: Recovered) -> dict[str, object]:
    return {
        "schema": "collectord.db_recover.v1",
        "recovered": bool(done.damage),
        "damage": done.damage,
        "aside": [str(path) for path in done.aside],
        "backup": str(done.backup) if done.backup else None,
        "rejected_backups": {str(path): why for path, why in done.rejected.items()},
        "taken": done.taken,
        "refused": done.refused,
        "unreadable": done.unreadable,
        "artifacts_from_archives": done.from_disk,
        "ingested": done.ingested,
        "read_again": done.read_again,
        "lost": done.lost,
        "doubtful": done.doubtful,
        "unknown": done.unknown,
    }


def _print(done: Recovered) -> None:
    _list("damage", done.damage)
    for path in done.aside:
        line(f"kept: {path}")
    for path, why in done.rejected.items():
        complain(f"backup {path} is no good: {why}")
    line(f"started from: {done.backup or 'an empty index, as there is no good backup'}")
    line(f"taken from the damaged file: {_counts(done.taken)}")
    if done.refused or done.unreadable:
        unreadable = _counts(done.unreadable)
        line(f"not taken from it: refused {_counts(done.refused)}; unreadable places {unreadable}")
    line(f"artifacts taken from archives on disk: {done.from_disk}")
    line(f"read from archives: {_counts(done.ingested)}")
    _list("read again from its archive", done.read_again)
    _list("doubtful", done.doubtful)
    _list("unknown", done.unknown)
    _list("LOST", done.lost)
    if not done.lost and not done.unknown:
        line("nothing is lost")


def _list(what: str, items: list[str]) -> None:
    for item in items[:_MAX_SHOWN]:
        line(f"{what}: {item}")
    if (more := len(items) - _MAX_SHOWN) > 0:
        line(f"{what}: and {more} more (--json lists all)")


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "nothing"
