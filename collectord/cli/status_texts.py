"""What `status` says in words, on a page and in its live view."""

from __future__ import annotations

from typing import Any

from collectord.cli.output import time_text
from collectord.status.status import hidden_words

_MAX_ATTENTION = 5


def archives_text(found: dict[str, Any]) -> str:
    """`66 indexed, 0 partial, …`."""
    counts = ", ".join(f"{count} {state}" for state, count in found["archives"].items())
    vanished = found["vanished"]
    return f"{counts}; {vanished} removed before they were read" if vanished else counts


def kernel_text(kernel: dict[str, Any]) -> str:
    """One line: each process, since when, which configuration it has, and whether it wants a restart."""
    parts = [_process_text(one) for one in kernel["running"]]
    if kernel["hidden"]:
        hidden = hidden_words(kernel["hidden"])
        parts.append(f"{hidden} may be one of this repo (`collectord doctor` says how to see it)")
    if parts:
        return "; ".join(parts)
    if kernel["in_flight"]:
        count = f"{kernel['in_flight']} in .workcells"
        return f"no process can be seen ({count}; `collectord doctor` says why that may be)"
    return "none runs"


def _process_text(one: dict[str, Any]) -> str:
    text = f"process {one['pid']} since {time_text(one['started_ms'])}"
    if one["command"] != "cyntra run":
        text += f" ({one['command']})"
    if one["environment"] is None:
        return f"{text}; nothing says what it had read at its start"
    epoch = f"epoch {one['epoch']}" if one["epoch"] is not None else "an epoch to come"
    if one["wants_restart"]:
        edited = time_text(one["changed_ms"])
        return f"{text}, with the configuration of {epoch}; restart it: edited {edited}, not in effect"
    return f"{text}, with the configuration of {epoch}, up to date"


Rows = list[tuple[str, str]]


def daemon_rows(daemon: dict[str, Any]) -> Rows:
    """One row that says whether it lives, and what it last said of itself while it does."""
    rows = [("daemon", _life_text(daemon))]
    if daemon["life"] not in ("alive", "silent"):
        return rows
    waits = f"{daemon['settling']} settling, {daemon['stalled']} stalled"
    checking = f", {daemon['checking']} known ones to be checked" if daemon["checking"] else ""
    rows.append(("pending", f"{daemon['pending']} ({waits}){checking}"))
    rows += [("waiting", _waiting_text(one)) for one in (daemon.get("waiting") or [])[:_MAX_ATTENTION]]
    rows.append(("lag", f"{daemon['lag_ms'] / 1000:.1f} s"))
    rows.append(("last rescan", time_text(daemon["last_rescan_ms"])))
    if daemon["paused"]:
        rows.append(("paused", daemon["paused"]))
    rows += [("degraded", reason) for reason in daemon["degraded"]]
    return rows


def _waiting_text(one: dict[str, Any]) -> str:
    how = "stands still" if one["stalled"] else "settles"
    return f"{one['name']} {how} since {time_text(one['since_ms'])}: waits for {one['waits_for']}"


def _life_text(daemon: dict[str, Any]) -> str:
    match daemon["life"]:
        case "never":
            return "never ran: `collectord run` indexes archives as they land"
        case "starting":
            return "starting"
        case "alive":
            paused = "; PAUSED" if daemon["paused"] else ""
            return f"alive, {_age_text(daemon['age_ms'])} ago, {daemon['pending']} pending{paused}"
        case "silent":
            return (
                f"silent: process {daemon['pid']} holds the lock, and its last sign of life is "
                f"{_age_text(daemon['age_ms'])} old: look at its log"
            )
        case "stopped":
            return f"stopped at {time_text(daemon['stopped_ms'])}"
    return (
        f"dead since {time_text(daemon['beat_ms'])}: process {daemon['pid']} went without a word; "
        "look at its log and start it again"
    )


def _age_text(ms: int) -> str:
    seconds = max(0, ms) // 1000
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
