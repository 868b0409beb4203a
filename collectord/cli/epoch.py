"""`collectord epoch`."""

from __future__ import annotations

from typing import Any

import click

from collectord.cli.environment import print_changes
from collectord.cli.invocation import Group, Invocation
from collectord.cli.output import column_time, emit_json, json_option, line, note, pairs, table, time_text
from collectord.errors import UsageError

_ORIGINS = {
    "policy": "read from the repo",
    "evidence": "never seen in the repo: only runs show it",
    "none": "not known",
}


@click.group(cls=Group, short_help="Stretches of runs under one environment.")
def epoch() -> None:
    """Stretches of runs under one environment; a dataset of one epoch is consistent."""


@epoch.command("list")
@json_option
@click.pass_obj
def epoch_list(invocation: Invocation, as_json: bool) -> None:
    """List the epochs with their runs, and what ended each."""
    from collectord.epochs.requests import list_epochs

    found = list_epochs(invocation.settings())
    if as_json:
        emit_json(found)
        return
    table(
        ("epoch", "first dispatch", "last dispatch", "runs", "environment", "state", "ended by"),
        [_cells(row) for row in found["epochs"]],
        drop=("last dispatch", "environment"),
        wrap="ended by",
    )
    if not found["epochs"]:
        note("there are no runs yet, so no epochs")
    for row in found["epochs"]:
        if words := _ending_words(row):
            note(f"epoch {row['number']} {words}")


def _ending_words(row: dict[str, Any]) -> str:
    """What is to be known of an epoch that ended and is the current one, or can still get runs."""
    said = []
    if row["current"] and row["ended_ms"]:
        said.append("stays the current one, which `export` takes, until a run of the next is indexed")
    if row["sealed_by_ms"]:
        by = time_text(row["sealed_by_ms"])
        said.append(f"is sealed once nothing of it can be in flight, at the latest at {by}")
    return "; it ".join(said)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    fingerprint = row["fingerprint"]
    prefix = "evidence-" if fingerprint.startswith("evidence-") else ""
    return (
        f"{row['number']}{' (current)' if row['current'] else ''}",
        column_time(row["first_ms"]),
        column_time(row["last_ms"]),
        f"{row['runs']}{_strays(row)}",
        prefix + fingerprint.removeprefix(prefix)[:12] or "-",
        row["state"],
        row["why"] or "-",
    )


def _strays(row: dict[str, Any]) -> str:
    return f" ({row['strays']} unexplained)" if row["strays"] else ""


@epoch.command("show")
@click.argument("number", type=click.IntRange(min=1))
@json_option
@click.pass_obj
def epoch_show(invocation: Invocation, number: int, as_json: bool) -> None:
    """Show one epoch: its environment, what changed before it, its snapshots and its runs."""
    from collectord.epochs.requests import show_epoch

    found = show_epoch(invocation.settings(), number)
    if as_json:
        emit_json(found)
        return
    row = found["epoch"]
    pairs(_rows(row, len(found["runs"])))
    if found["drift"]:
        line("changed before it:")
        print_changes(found["drift"])
    for snapshot in row["snapshots"]:
        superseded = " (superseded)" if snapshot["superseded"] else ""
        line(f"snapshot {snapshot['path']}, {time_text(snapshot['published_ms'])}{superseded}")


def _rows(row: dict[str, Any], runs: int) -> list[tuple[str, str]]:
    ended = f"{time_text(row['ended_ms'])}: {row['why']}" if row["ended_ms"] else "nothing has ended it"
    sealed = f" at {time_text(row['sealed_ms'])}: {row['sealed_because']}" if row["sealed_ms"] else ""
    return [
        ("epoch", f"{row['number']}{' (current)' if row['current'] else ''}"),
        ("environment", f"{row['fingerprint'] or '-'} ({_ORIGINS[row['origin']]})"),
        ("since", time_text(row["since_ms"])),
        ("dispatched", f"{time_text(row['first_ms'])} to {time_text(row['last_ms'])}"),
        ("runs", f"{runs}{_strays(row)}"),
        ("ended", ended),
        ("state", f"{row['state']}{sealed}{f': {words}' if (words := _ending_words(row)) else ''}"),
        *((name, digest[:12]) for name, digest in row["digests"].items()),
    ]


@epoch.command("cut")
@click.option("--why", required=True, help="The reason, for those who read it later.")
@json_option
@click.pass_obj
def epoch_cut(invocation: Invocation, why: str, as_json: bool) -> None:
    """End the current epoch now: runs dispatched from now on are of another one.

    For what no file shows, such as a new kernel.
    """
    from collectord.epochs.requests import cut_epoch

    if not why.strip():
        raise UsageError("--why is empty: say why, for those who read it later")
    done = cut_epoch(invocation.settings(), why.strip())
    if as_json:
        emit_json(done)
        return
    line(f"cut at {time_text(done['at_ms'])}: {done['why']}")
    if not done["done"]:
        line("the running collectord carries it out within a minute")
