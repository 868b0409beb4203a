"""`collectord runs`."""

from __future__ import annotations

from typing import Any

import click

from collectord.cli.invocation import Invocation, age_ms
from collectord.cli.output import column_time, emit_json, json_option, note, seconds_text, table


def since_start_ms(text: str | None) -> int | None:
    """Where `--since TEXT` begins, in milliseconds since the epoch; None without --since."""
    if text is None:
        return None
    from collectord.index.opening import now_ms

    return max(0, now_ms() - age_ms(text, "--since"))


@click.command(short_help="List runs, the newest first.")
@click.option("--since", help="Dispatched at most this long ago, such as 7d or 12h.")
@click.option("--status", type=click.Choice(["success", "failed", "timeout"]), help="How the run ended.")
@click.option("--swarm", help="Executed swarm.")
@click.option("--toolchain", help="Toolchain.")
@click.option("--issue", help="Issue id.")
@click.option(
    "--hash",
    "hash_state",
    type=click.Choice(["verified", "mismatch", "absent"]),
    help="The recorded input against its hash.",
)
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True)
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
    from collectord.index.opening import reader_for
    from collectord.index.queries import list_runs

    wanted = {
        "status": status,
        "swarm_id": swarm,
        "toolchain": toolchain,
        "issue_id": issue,
        "hash_state": hash_state,
    }
    since_ms = since_start_ms(since)
    with reader_for(invocation.settings()) as reader:
        found = list_runs(reader, since_ms=since_ms, wanted=wanted, limit=limit + 1)
    shown, more = found[:limit], len(found) > limit
    if as_json:
        emit_json({"schema": "collectord.runs.v1", "runs": shown, "more": more})
        return
    headers = ("dispatched", "workcell", "issue", "toolchain", "plan", "status", "archive")
    table(headers, [_cells(run) for run in shown], drop=("archive", "toolchain", "issue"))
    if more:
        note(f"only the newest {limit} are shown; --limit shows more")
    if not shown:
        note("no runs match")


def _cells(run: dict[str, Any]) -> tuple[str, ...]:
    return (
        column_time(run["started_ms"]),
        run["name"],
        run["issue_id"] or "-",
        run["toolchain"] or "-",
        _plan_text(run),
        run["status"],
        "gone" if run["gone_ms"] is not None else run["state"],
    )


def _plan_text(run: dict[str, Any]) -> str:
    if not run["explicit"]:
        return "no executed plan"
    candidates = "?" if run["max_candidates"] is None else run["max_candidates"]
    return f"{run['swarm_id']}×{candidates} {seconds_text(run['timeout_seconds'])}"
