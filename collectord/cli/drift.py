"""`collectord drift`."""

from __future__ import annotations

import json
from typing import Any

import click

from collectord.cli.environment import print_changes
from collectord.cli.invocation import Group, Invocation
from collectord.cli.output import column_time, emit_json, json_option, line, note, pairs, table, time_text
from collectord.cli.runs import since_start_ms
from collectord.epochs.json_views import NOTED, summary_of
from collectord.errors import UsageError

_TOLD_APART = frozenset({"changes", "more_changes"})


@click.group(cls=Group, short_help="Alerts about the environment and labels.")
def drift() -> None:
    """Alerts about the environment: what changed, stale kernels, unexplained runs, contradictory labels."""


@drift.command("list")
@click.option("--since", help="Only what is open, or was at most this long ago, such as 7d or 12h.")
@json_option
@click.pass_obj
def drift_list(invocation: Invocation, since: str | None, as_json: bool) -> None:
    """List alerts, the newest first."""
    from collectord.epochs.requests import list_alerts

    found = list_alerts(invocation.settings(), since_start_ms(since))
    if as_json:
        emit_json(found)
        return
    rows = [
        (
            str(a["id"]),
            column_time(a["opened_ms"]),
            a["event"],
            a["state"],
            summary_of(a["event"], a["fields"]),
        )
        for a in found["alerts"]
    ]
    table(("id", "since", "alert", "state", "what"), rows, wrap="what")
    if not rows:
        note("there are no alerts")


@drift.command("show")
@click.argument("number", type=click.IntRange(min=1))
@json_option
@click.pass_obj
def drift_show(invocation: Invocation, number: int, as_json: bool) -> None:
    """Show everything about one alert, by its id."""
    from collectord.epochs.requests import show_alert

    document = show_alert(invocation.settings(), number)
    if as_json:
        emit_json(document)
        return
    found = document["alert"]
    fields = {key: value for key, value in found["fields"].items() if key not in _TOLD_APART}
    pairs(
        [
            ("alert", f"{found['id']}: {found['event']} ({found['state']})"),
            ("opened", time_text(found["opened_ms"])),
            *_times(found),
            *(
                (_label(key), _text(key, value))
                for key, value in fields.items()
                if value not in (None, [], "")
            ),
        ]
    )
    print_changes(found["fields"].get("changes", []))
    if more := found["fields"].get("more_changes"):
        line(f"… and {more} more changes: `collectord environment diff` shows them all")


def _times(alert: dict[str, Any]) -> list[tuple[str, str]]:
    told = {"resolved": alert["resolved_ms"], "acknowledged": alert["acked_ms"]}
    if alert["state"] == NOTED:
        del told["resolved"]
    return [(name, time_text(at_ms)) for name, at_ms in told.items() if at_ms is not None]


def _label(key: str) -> str:
    return key.removesuffix("_ms").replace("_", " ")


def _text(key: str, value: object) -> str:
    if key.endswith("_ms") and isinstance(value, int):
        return time_text(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "; ".join(value) or "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@drift.command("ack")
@click.argument("numbers", nargs=-1, type=click.IntRange(min=1), metavar="[ID]...")
@click.option("--all", "everything", is_flag=True, help="Every alert.")
@json_option
@click.pass_obj
def drift_ack(invocation: Invocation, numbers: tuple[int, ...], everything: bool, as_json: bool) -> None:
    """Mark alerts as seen, by their ids."""
    from collectord.epochs.requests import acknowledge_alerts

    if bool(numbers) == everything:
        raise UsageError("name the ids of alerts, or --all; `collectord drift list` shows them")
    done = acknowledge_alerts(invocation.settings(), None if everything else numbers)
    if as_json:
        emit_json(done)
    elif done["done"]:
        line(f"{done['changed']} marked as seen")
    else:
        line("the running collectord carries it out within a minute")
