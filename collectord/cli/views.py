"""`collectord status`, `runs`, `explain` and `stats`."""

from __future__ import annotations

import re
from typing import Any

import click

from collectord import app
from collectord.cli.invocation import Invocation
from collectord.cli.output import emit_json, json_option, line, pairs, size_text, table, time_text
from collectord.errors import UsageError

_AGE = re.compile(r"(\d+)([smhdw])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


@click.command(short_help="Show what the index holds and how it is.")
@json_option
@click.pass_obj
def status(invocation: Invocation, as_json: bool) -> None:
    """Show what the index holds, what was not taken, and who is writing to it."""
    found = app.status(invocation.settings())
    if as_json:
        emit_json(found)
        return
    if not found["index"]["exists"]:
        line(f"no index yet at {found['index']['path']}: run `collectord ingest`")
        return
    counts = ", ".join(f"{count} {state}" for state, count in found["archives"].items())
    holder = found["lock"]
    snapshot = found["snapshot"]
    pairs(
        [
            ("repo", found["repo"]),
            ("index", f"{found['index']['path']} ({size_text(found['index']['bytes'])})"),
            ("schema", found["index"]["schema"]),
            ("archives", counts),
            ("runs", f"{found['runs']} ({found['plans']} with an executed plan)"),
            ("issues", str(found["issues"])),
            ("last ingest", time_text(found["last_ingest_ms"])),
            ("writer now", f"process {holder.get('pid')} ({holder.get('command')})" if holder else "none"),
            ("last snapshot", _snapshot_line(snapshot) if snapshot else "none: run `collectord export`"),
        ]
    )


def _snapshot_line(snapshot: dict[str, Any]) -> str:
    when = time_text(snapshot["published_ms"])
    return f"{snapshot['path']} ({snapshot['example_count']} rows, {snapshot['profile']}, {when})"


def _since_ms(text: str | None) -> int | None:
    if text is None:
        return None
    found = _AGE.fullmatch(text)
    if found is None:
        raise UsageError(f"--since: '{text}' is not an age; write a number and s, m, h, d or w, such as 7d")
    return app.now_ms() - int(found[1]) * _UNITS[found[2]] * 1000


@click.command(short_help="List runs, the newest first.")
@click.option("--since", help="Dispatched at most this long ago, such as 7d or 12h.")
@click.option("--status", type=click.Choice(["success", "failed", "timeout"]), help="How the run ended.")
@click.option("--swarm", help="Executed swarm.")
@click.option("--toolchain", help="Toolchain.")
@click.option("--issue", help="Issue id.")
@click.option("--hash", "hash_state", type=click.Choice(["verified", "mismatch", "absent"]))
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@json_option
@click.pass_obj
def runs(
    invocation: Invocation,
    since: str | None,
    status: str | None,
    swarm: str | None,
    toolchain: str | None,
    issue: str | None,
    hash_state: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List runs, the newest first."""
    wanted = {
        "status": status,
        "swarm_id": swarm,
        "toolchain": toolchain,
        "issue_id": issue,
        "hash_state": hash_state,
    }
    found = app.runs(invocation.settings(), since_ms=_since_ms(since), wanted=wanted, limit=limit)
    if as_json:
        emit_json({"schema": "collectord.runs.v1", "runs": found})
        return
    headers = ("dispatched", "workcell", "issue", "toolchain", "plan", "status", "archive")
    table(headers, [_run_cells(run) for run in found])
    if not found:
        click.echo("no runs match", err=True)


def _run_cells(run: dict[str, Any]) -> tuple[str, ...]:
    plan = "no executed plan"
    if run["explicit"]:
        minutes = run["timeout_seconds"] // 60
        plan = f"{run['swarm_id']}×{run['max_candidates'] or '?'} {minutes} min"
    archive = "gone" if run["gone_ms"] is not None else run["state"]
    return (
        time_text(run["started_ms"]),
        run["name"],
        run["issue_id"] or "-",
        run["toolchain"] or "-",
        plan,
        run["status"],
        archive,
    )


@click.command(short_help="Say what became of one archive, and why.")
@click.argument("workcell_id")
@json_option
@click.pass_obj
def explain(invocation: Invocation, workcell_id: str, as_json: bool) -> None:
    """Say what was read of one archive, what became of it, and why it is or is not in a dataset."""
    found = app.explain(invocation.settings(), workcell_id)
    if as_json:
        emit_json(found)
        return
    archive = found["archive"]
    outcome = archive["state"] + (f": {archive['reason']}" if archive["reason"] else "")
    line(f"{archive['name']}: {outcome}")
    line(
        f"  first seen {time_text(archive['first_seen_ms'])}, last changed {time_text(archive['changed_ms'])}"
    )
    if archive["gone_ms"] is not None:
        line(f"  gone from disk since {time_text(archive['gone_ms'])}; its run and artifacts are kept")
    for revision in found["revisions"]:
        _print_revision(revision, revision["number"] == archive["revision"])
    for profile, verdict in found["datasets"].items():
        line(f"  {profile} dataset: {verdict}")
    if found["advice"]:
        line(f"  {found['advice']}")


def _print_revision(revision: dict[str, Any], current: bool) -> None:
    mark = "current" if current else "superseded"
    line(f"  revision {revision['number']} ({mark}), read {time_text(revision['seen_ms'])}")
    for file in revision["files"]:
        digest = file["sha256"] or file["reason"]
        line(f"    {file['name']:<14} {size_text(file['size'] or 0):>10}  {digest}")
    run, label = revision["run"], revision["label"]
    if run is None:
        line("    no run can be made of it")
        return
    started = f"{time_text(run['started_ms'])} (from {run['started_source']})"
    line(f"    run {run['run_id']}: {run['status']}, dispatched {started}")
    line(f"    recorded input: {run['input_state']}, its hash: {run['hash_state']}")
    if label and label["explicit"]:
        line(
            f"    executed plan: {label['swarm_id']}, {label['max_candidates']} candidates, "
            f"{label['timeout_seconds']} s"
        )
    else:
        line("    no executed plan was recorded")


@click.command(short_help="Count run summaries as the kernel's planner does.")
@click.option("--include-world/--no-include-world", default=None, help="Also world runs; default no.")
@json_option
@click.pass_obj
def stats(invocation: Invocation, include_world: bool | None, as_json: bool) -> None:
    """Count run summaries by job type and domain, as `cyntra planner stats` does."""
    settings = invocation.settings({"export.include_world": include_world})
    found = app.stats(settings, include_world=settings.config.export.include_world)
    if as_json:
        emit_json(found)
        return
    rows = [("summaries", str(found["example_count"]))]
    for group in ("by_job_type", "by_domain"):
        rows += [(f"{group[3:].replace('_', ' ')} {key}", str(n)) for key, n in found[group].items()]
    pairs([*rows, ("default universe", found["default_universe_id"] or "none")])
