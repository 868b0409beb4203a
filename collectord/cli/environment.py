"""`collectord environment`."""

from __future__ import annotations

import json
from typing import Any

import click

from collectord.cli.invocation import Group, Invocation
from collectord.cli.output import (
    column_time,
    complain,
    emit_json,
    json_option,
    line,
    note,
    pairs,
    styled,
    table,
    time_text,
)
from collectord.errors import UsageError

_COLOURS = {"add": "green", "remove": "red", "replace": "yellow", "move": "cyan"}
_SIGNS = {"add": "+", "remove": "-", "replace": "~", "move": "↕"}
_MAX_VALUE = 100


@click.group(cls=Group, short_help="What decides labels: shown, compared, over time.")
def environment() -> None:
    """What decides labels: the configuration, universe, prompts and control modes of the kernel."""


@environment.command("show")
@click.option("--at", "at", help="A time such as 2026-01-31T08:00Z, or an age such as 7d.")
@json_option
@click.pass_obj
def environment_show(invocation: Invocation, at: str | None, as_json: bool) -> None:
    """Show the environment that stands, or stood at a time; secrets in it are hidden."""
    from collectord.epochs.requests import show_environment

    found = show_environment(invocation.settings(), _moment(at))
    if as_json:
        emit_json(found)
    elif found["environment"] is None:
        line("no environment is known yet: `collectord ingest` takes a look")
    else:
        _print_environment(found)


def _moment(text: str | None) -> int | None:
    if text is None:
        return None
    from collectord.epochs.named import moment
    from collectord.index.opening import now_ms

    found = moment(text, now_ms())
    if found is None:
        raise UsageError(f"--at {text}: not a time; write 2026-01-31T08:00Z, now, or an age such as 7d")
    return found


def _print_environment(found: dict[str, Any]) -> None:
    shown, stretch = found["environment"], found["stretch"]
    if not found["known"]:
        line("nothing is known of that time; this is the earliest environment that is known")
    pairs(
        [
            ("fingerprint", shown["fingerprint"]),
            ("since", f"{time_text(stretch['since_ms'])} ({_source_text(stretch)})"),
            ("until", time_text(stretch["until_ms"]) if stretch["until_ms"] else "it stands"),
            ("epochs", ", ".join(map(str, found["epochs"])) or "none: no run had it yet"),
            *((name, digest[:12]) for name, digest in shown["digests"].items()),
            ("not recognised", ", ".join(shown["unrecognised"]) or "nothing"),
        ]
    )
    now = found["now"]
    if now and now["unreadable"]:
        line(f"the repo's environment is unknown at the moment: {now['unreadable']}")
    elif now and now["fingerprint"] != shown["fingerprint"]:
        line(
            f"the repo has another one now, {now['fingerprint'][:12]}, which nobody noted yet: "
            "`collectord ingest` does"
        )


def _source_text(stretch: dict[str, Any]) -> str:
    if stretch["commit"]:
        return f"git commit {stretch['commit'][:12]}"
    return {"daemon": "seen by the daemon"}.get(stretch["source"], "found when somebody looked")


@environment.command("history")
@json_option
@click.pass_obj
def environment_history(invocation: Invocation, as_json: bool) -> None:
    """List every environment that stood, from when to when, and how that is known."""
    from collectord.epochs.requests import environment_history

    found = environment_history(invocation.settings())
    if as_json:
        emit_json(found)
        return
    rows = [
        (
            column_time(s["since_ms"]),
            column_time(s["until_ms"]) if s["until_ms"] else "now",
            _short(s["fingerprint"]),
            str(s["runs"]),
            _source_text(s) if s["source"] != "evidence" else "only runs show it",
        )
        for s in found["stretches"]
    ]
    table(("since", "until", "environment", "runs", "known from"), rows, wrap="known from")
    if not rows:
        note("no environment is known yet: `collectord ingest` takes a look")


def _short(fingerprint: str) -> str:
    """As much of a fingerprint as tells it apart, and as other commands understand."""
    prefix = "evidence-" if fingerprint.startswith("evidence-") else ""
    return prefix + fingerprint.removeprefix(prefix)[:12]


@environment.command("diff")
@click.argument("before")
@click.argument("after")
@click.option("--exit-code", "exit_code", is_flag=True, help="Exit 1 where they differ.")
@json_option
@click.pass_obj
def environment_diff(invocation: Invocation, before: str, after: str, exit_code: bool, as_json: bool) -> int:
    """Show what changed between two environments and what it does to labels.

    Each is named by an epoch's number, a time (2026-01-31T08:00Z, now, 7d), a fingerprint or its
    beginning, or a configuration file.
    """
    from collectord.epochs.requests import diff_environments

    found = diff_environments(invocation.settings(), before, after)
    if as_json:
        emit_json(found)
    else:
        _print_difference(found)
    return 1 if exit_code and not found["same"] else 0


def _print_difference(found: dict[str, Any]) -> None:
    if found["same"]:
        line(f"the same environment: {_short(found['before'])}")
        return
    line(f"{_short(found['before'])} → {_short(found['after'])}")
    if not found["comparable"]:
        line("one of them was never read: only runs show it; compare what they show with --json")
    print_changes(found["changes"])
    if not found["changes"] and found["comparable"]:
        line("nothing that could be told apart")
    for words in found["affected"]:
        line(f"  {words}")


def print_changes(changes: list[dict[str, Any]]) -> None:
    """Changes in the form of a plan, coloured on a terminal."""
    for change in changes:
        sign = _SIGNS.get(change["op"], "?")
        text = f"{sign} {change['pointer']}: {_values(change)}"
        moves = f", can move {', '.join(change['moves'])}" if change["moves"] else ""
        styled(f"{text} [{change['severity']} by {change['rule_id']}{moves}]", _COLOURS.get(change["op"]))
        if change["words"]:
            line(f"    {change['words']}")
        if change["ignored"]:
            line(f"    ignored: {change['ignored']}")


def _values(change: dict[str, Any]) -> str:
    shown = {name: _shown(change[name]) for name in ("before", "after")}
    return {"add": shown["after"], "remove": shown["before"]}.get(
        change["op"], f"{shown['before']} → {shown['after']}"
    )


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= _MAX_VALUE else text[:_MAX_VALUE] + "…"


@environment.command("backfill")
@json_option
@click.pass_obj
def environment_backfill(invocation: Invocation, as_json: bool) -> None:
    """Read the repo's git history of its policy files, so that older archives get their environments.

    Only reads, executes nothing of the repo, and can be repeated: a newer reading replaces the one before.
    """
    from collectord.epochs.requests import backfill_history

    done = backfill_history(invocation.settings())
    if as_json:
        emit_json(done)
        return
    for skipped in done["unreadable"]:
        complain(f"commit {skipped['commit'][:12]}: {skipped['reason']}; the environment before it stands")
    for commit in done["early"]:
        complain(
            f"commit {commit[:12]}: its time has not come yet; the time of the next commit stands for it"
        )
    line(
        f"{done['commits']} commits touch policy files, {done['environments']} of them change the environment"
    )
    if done["shallow"]:
        first = done["shallow"][:12]
        line(f"history begins at {first}: shallow; `git fetch --unshallow` brings what was before")
    if not done["environments"]:
        why = ": .cyntra is a link, and git does not follow it" if done["linked"] else ""
        line(f"no commit holds .cyntra/config.yaml{why}; there is nothing to learn from this history")
    if not done["done"]:
        line("the running collectord takes them in within a minute")
