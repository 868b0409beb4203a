"""`collectord ingest`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from collectord.cli.invocation import Invocation
from collectord.cli.output import complain, emit_json, json_option, line, note, progress_bar
from collectord.errors import CollectordError, LockHeld
from collectord.system.names import readable_name

if TYPE_CHECKING:
    from collectord.intake.ingest import IngestResult
    from collectord.model import Outcome


MAX_NOTED = 20
MAX_NOTICES = 5
_ALWAYS = ("indexed", "unchanged", "partial", "quarantined", "ignored")


@click.command(short_help="Bring the index up to date with the archives.")
@click.argument("workcell_id", nargs=-1)
@click.option("--accept-gone", is_flag=True, help="Believe at once that what is missing is gone.")
@json_option
@click.pass_obj
def ingest(invocation: Invocation, workcell_id: tuple[str, ...], accept_gone: bool, as_json: bool) -> None:
    """Bring the index up to date with the archives: all of them, or those named (names or paths).

    Safe to stop at any point and to repeat; an archive that did not change is not read again.
    """
    from collectord.intake.ingest import ingest as ingest_once
    from collectord.intake.ingest import leave_accept_gone, may_lack_archives

    settings = invocation.settings()
    no_folder = not settings.archives_dir.is_dir()
    if no_folder and not may_lack_archives(settings):
        raise CollectordError(
            f"{settings.archives_dir}: there is no archives folder; is --repo a Cyntra repo, "
            "and is the disk with its archives mounted?"
        )
    names = frozenset(readable_name(Path(given).name) for given in workcell_id) or None
    with progress_bar("reading archives") as progress:
        done = 0

        def report(outcome: Outcome, total: int) -> None:
            nonlocal done
            done += 1
            progress(done, total)
            if invocation.verbose and not as_json:
                line(f"{outcome.name}: {outcome.kind}" + (f": {outcome.reason}" if outcome.reason else ""))

        try:
            result = ingest_once(settings, names=names, accept_gone=accept_gone, report=report)
        except LockHeld:
            if not accept_gone or not leave_accept_gone(settings):
                raise
            note("left to the running daemon: what its next scan does not find counts as gone")
            return
    emit_json(_document(result)) if as_json else _print(result, is_listed=invocation.verbose)
    if no_folder and not as_json:
        line(f"{settings.archives_dir}: not there yet; the kernel makes it when its first run ends")
    if result.not_found:
        listed = ", ".join(sorted(result.not_found))
        raise CollectordError(f"{settings.archives_dir}: there is no archive named {listed}")


def _document(result: IngestResult) -> dict[str, object]:
    return {
        "schema": "collectord.ingest.v1",
        "outcomes": {**dict.fromkeys(_ALWAYS, 0), **result.outcomes},
        "noted": [{"name": o.name, "outcome": str(o.kind), "reason": o.reason} for o in result.noted],
        "gone": result.gone,
        "missing_not_yet": result.missing_not_yet,
        "missing_not_believed": result.missing_not_believed,
        "issues_changed": result.issues_changed,
        "events_read": result.events_read,
        "issue_lines_dropped": result.issue_lines_dropped,
        "not_found": sorted(result.not_found),
        "alerts": [{"event": n.event, "resolved": n.is_resolved, "fields": n.fields} for n in result.notices],
    }


def _print_notices(result: IngestResult) -> None:
    """What became known of the environment; that epochs open and close goes without saying."""
    from collectord.epochs.json_views import summary_of

    notices = [notice for notice in result.notices if not notice.event.startswith("epoch.")]
    for notice in notices[:MAX_NOTICES]:
        over = " (over)" if notice.is_resolved else ""
        line(f"{notice.event}{over}: {summary_of(notice.event, notice.fields)}")
    if (more := len(notices) - MAX_NOTICES) > 0:
        line(f"… and {more} more alerts: `collectord drift list` shows them")


def _print(result: IngestResult, *, is_listed: bool) -> None:
    for outcome in () if is_listed else result.noted[:MAX_NOTED]:
        line(f"{outcome.name}: {outcome.kind}: {outcome.reason}")
    if not is_listed and (more := len(result.noted) - MAX_NOTED) > 0:
        line(f"… and {more} more: `collectord status --json` lists all that are not whole")
    if result.missing_not_believed:
        complain(
            f"{result.missing_not_believed} known archives are missing at once, which looks more like an "
            "unmounted disk than like pruning: nothing was marked gone. "
            "If they were removed on purpose, run `collectord ingest --accept-gone`"
        )
    if result.missing_not_yet:
        line(
            f"{result.missing_not_yet} archives are missing; they count as gone when a pass in a minute or "
            "later misses them too, with `--accept-gone` at once"
        )
    if dropped := result.issue_lines_dropped:
        shown = ", ".join(map(str, dropped[:5])) + (", …" if len(dropped) > 5 else "")
        complain(f".beads/issues.jsonl: {len(dropped)} lines that no kernel reads (line {shown})")
    _print_notices(result)
    counts = [f"{result.outcomes.get(kind, 0)} {kind}" for kind in _ALWAYS]
    counts += [f"{n} {kind}" for kind, n in sorted(result.outcomes.items()) if kind not in _ALWAYS]
    gone = f", {result.gone} gone" if result.gone else ""
    line(f"{', '.join(counts)}{gone}; {result.issues_changed} issue records changed")
