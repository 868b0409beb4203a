"""`collectord quarantine`."""

from __future__ import annotations

from typing import Any

import click

from collectord.cli.invocation import Group, Invocation
from collectord.cli.output import column_time, emit_json, json_option, line, note, table, time_text
from collectord.errors import UsageError


@click.group(cls=Group, short_help="Archives that were not taken.")
def quarantine() -> None:
    """Archives that were not taken."""


@quarantine.command("list")
@json_option
@click.pass_obj
def quarantine_list(invocation: Invocation, as_json: bool) -> None:
    """List them with their reasons; they are tried again when they change."""
    from collectord.index.opening import reader_for
    from collectord.index.queries import quarantined

    with reader_for(invocation.settings()) as reader:
        found = quarantined(reader)
    if as_json:
        emit_json({"schema": "collectord.quarantine.v1", "quarantined": found})
        return
    table(
        ("archive", "reason", "tries", "since"),
        [(q["name"], q["reason"], str(q["tries"]), column_time(q["first_ms"])) for q in found],
        drop=("tries", "since"),
        wrap="reason",
    )
    if not found:
        note("nothing is in quarantine")


@quarantine.command("show")
@click.argument("workcell_id")
@json_option
@click.pass_obj
def quarantine_show(invocation: Invocation, workcell_id: str, as_json: bool) -> None:
    """Say why one of them was not taken, and what helps."""
    from collectord.status.quarantine import in_quarantine

    found = in_quarantine(invocation.settings(), workcell_id)
    if as_json:
        emit_json({"schema": "collectord.quarantine.v1", "quarantined": found})
        return
    for row in found:
        _print(row)


def _print(row: dict[str, Any]) -> None:
    line(f"{row['name']} ({row['kind']}): {row['reason']}")
    if row["detail"]:
        line(f"  {row['detail']}")
    line(f"  tried {row['tries']} times since {time_text(row['first_ms'])}, last {time_text(row['last_ms'])}")
    if row["advice"]:
        line(f"  {row['advice']}")


@quarantine.command("requeue")
@click.argument("workcell_id", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that are in quarantine.")
@click.pass_obj
def quarantine_requeue(invocation: Invocation, workcell_id: tuple[str, ...], everything: bool) -> None:
    """Have some of them, or all, read again although nothing in them changed.

    A running daemon does so at once, without one the next `collectord ingest`.
    """
    from collectord.status.quarantine import requeue

    if bool(workcell_id) == everything:
        raise UsageError("name the archives to read again, or give --all")
    names, is_done = requeue(invocation.settings(), None if everything else workcell_id)
    for name in names:
        line(f"{name}: will be read again")
    if names:
        who = "`collectord ingest` reads them now" if is_done else "the running daemon reads them now"
        line(f"{len(names)} requeued; {who}")
    else:
        line("nothing is in quarantine")
