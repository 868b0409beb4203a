"""`collectord prune` and `collectord restore`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from collectord.cli.invocation import Invocation
from collectord.cli.output import complain, emit_json, json_option, line, size_text
from collectord.errors import CollectordError, UsageError

if TYPE_CHECKING:
    from collectord.retention.prune import Pruned, PrunePlan, Removal
    from collectord.retention.restore import Restored


_MAX_SHOWN = 20


def _seconds(option: str, text: str | None) -> float | None:
    if text is None:
        return None
    from collectord.config.schema import duration_with_unit

    try:
        return duration_with_unit(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error


@click.command(short_help="Remove heavy parts of old archives.")
@click.option(
    "--logs-older-than", metavar="AGE", help="Remove logs/ of archives older than this, such as 14d."
)
@click.option("--renders-older-than", metavar="AGE", help="Remove renders/, output/ and assets/ likewise.")
@click.option(
    "--archives-older-than", metavar="AGE", help="Remove whole archives that the index can restore."
)
@click.option("--dry-run", is_flag=True, help="Say what would be removed, remove nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def prune(
    invocation: Invocation,
    logs_older_than: str | None,
    renders_older_than: str | None,
    archives_older_than: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Remove heavy parts of old archives that are indexed, unchanged since, and stored whole in the index.

    An archive is as old as the youngest entry directly in it. `collectord restore` brings core files back;
    logs, renders, telemetry and prompts are not in the index and do not come back.
    """
    from collectord.retention.plan import Ages
    from collectord.retention.prune import prune as prune_archives

    ages = Ages(
        _seconds("--logs-older-than", logs_older_than),
        _seconds("--renders-older-than", renders_older_than),
        _seconds("--archives-older-than", archives_older_than),
    )
    if ages.nothing:
        raise UsageError("say what may go: --logs-older-than, --renders-older-than or --archives-older-than")
    if not dry_run and not yes and not sys.stdin.isatty():
        raise UsageError("nobody can be asked here: give --yes to remove, or --dry-run to look")

    def agree(plan: PrunePlan) -> bool:
        if not as_json:
            _print_plan(plan)
        if dry_run or not plan.removals:
            return False
        return yes or click.confirm(
            "Remove it? Logs, renders and what else is not in the index do not come back", err=True
        )

    plan, done = prune_archives(invocation.settings(), ages, agree, dry_run=dry_run)
    if as_json:
        emit_json(_document(plan, done))
    elif done is not None:
        _print_done(plan, done)
    if plan.stuck or (done is not None and set(done.kept) - set(plan.kept)):
        raise CollectordError("not everything that was planned could be removed; see above")


def _print_plan(plan: PrunePlan) -> None:
    for removal in plan.removals[:_MAX_SHOWN]:
        line(f"{removal.name}: {_what(removal)} ({size_text(removal.bytes)})")
    if (more := len(plan.removals) - _MAX_SHOWN) > 0:
        line(f"… and {more} more archives (--json lists all)")
    for name, why in plan.stuck.items():
        complain(f"{name}: {why}")
    for name, why in list(plan.kept.items())[:_MAX_SHOWN]:
        complain(f"{name}: stays: {why}")
    if (more := len(plan.kept) - _MAX_SHOWN) > 0:
        complain(f"… and {more} more stay (--json lists all)")
    whole = sum(removal.due.whole for removal in plan.removals)
    size = size_text(sum(removal.bytes for removal in plan.removals))
    line(f"to remove: {whole} whole archives, parts of {len(plan.removals) - whole}; {size}")


def _what(removal: Removal) -> str:
    return "the whole archive" if removal.due.whole else ", ".join(f"{part}/" for part in removal.due.parts)


def _print_done(plan: PrunePlan, done: Pruned) -> None:
    for name, why in done.kept.items():
        if name not in plan.kept and name not in plan.stuck:
            complain(f"{name}: stays: {why}")
    line(f"removed: {len(done.gone)} whole archives, parts of {len(done.touched)}; {size_text(done.bytes)}")


def _document(plan: PrunePlan, done: Pruned | None) -> dict[str, object]:
    planned = [
        {"name": r.name, "whole": r.due.whole, "parts": list(r.due.parts), "bytes": r.bytes}
        for r in plan.removals
    ]
    return {
        "schema": "collectord.prune.v1",
        "planned": planned,
        "kept": done.kept if done else plan.kept | plan.stuck,
        "pruned": done is not None,
        "gone": done.gone if done else [],
        "touched": sorted(done.touched) if done else [],
        "bytes": done.bytes if done else 0,
    }


@click.command(short_help="Write core files of archives back from the index.")
@click.argument("workcell_id", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every archive and world run that the index has.")
@click.option("--to", type=click.Path(path_type=Path), help="Into this folder, not the archives folder.")
@click.option("--runs-to", type=click.Path(path_type=Path), help="With --to: where world runs go.")
@click.option("--revision", type=click.IntRange(min=1), help="This revision instead of the current one.")
@json_option
@click.pass_obj
def restore(
    invocation: Invocation,
    workcell_id: tuple[str, ...],
    everything: bool,
    to: Path | None,
    runs_to: Path | None,
    revision: int | None,
    as_json: bool,
) -> None:
    """Write core files of archives back, byte for byte and with their times; never over what is there."""
    from collectord.retention.restore import restore as restore_archives

    if bool(workcell_id) == everything:
        raise UsageError("name the archives to restore, or give --all")
    if revision is not None and len(workcell_id) != 1:
        raise UsageError("--revision goes with one archive; `collectord explain` lists its revisions")
    if runs_to is not None and to is None:
        raise UsageError("--runs-to goes with --to; without it world runs go to .cyntra/runs")
    places = [Path(os.path.normpath(path.absolute())) if path else None for path in (to, runs_to)]
    done = restore_archives(
        invocation.settings(),
        None if everything else workcell_id,
        to=places[0],
        runs_to=places[1],
        revision=revision,
    )
    if as_json:
        written = [str(path) for path in done.written]
        emit_json(
            {"schema": "collectord.restore.v1", "written": written, "kept": done.kept, "failed": done.failed}
        )
    else:
        _print_restored(done)
    if done.failed:
        raise CollectordError(f"{len(done.failed)} archives could not be restored; all others are in place")
    if done.kept and not everything:
        raise CollectordError("\n".join(done.kept.values()))


def _print_restored(done: Restored) -> None:
    for path in done.written[:_MAX_SHOWN]:
        line(f"restored {path}")
    for name, why in list(done.failed.items())[:_MAX_SHOWN]:
        complain(f"{name}: {why}")
    if (more := len(done.failed) - _MAX_SHOWN) > 0:
        complain(f"… and {more} more could not be restored (--json lists all)")
    failed = f", {len(done.failed)} could not be restored" if done.failed else ""
    line(f"{len(done.written)} restored, {len(done.kept)} were there already{failed}")
