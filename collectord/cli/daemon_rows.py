"""How the daemon is, in the rows of `collectord status`."""

from __future__ import annotations

from typing import Any

from collectord.cli.output import time_text

Rows = list[tuple[str, str]]


def daemon_rows(daemon: dict[str, Any]) -> Rows:
    """One row that says whether it lives, and what it last said of itself while it does."""
    rows = [("daemon", _life_text(daemon))]
    if daemon["life"] not in ("alive", "silent"):
        return rows
    waits = f"{daemon['settling']} settling, {daemon['stalled']} stalled"
    checking = f", {daemon['checking']} known ones to be checked" if daemon["checking"] else ""
    rows.append(("pending", f"{daemon['pending']} ({waits}){checking}"))
    rows.append(("lag", f"{daemon['lag_ms'] / 1000:.1f} s"))
    rows.append(("last rescan", time_text(daemon["last_rescan_ms"])))
    if daemon["paused"]:
        rows.append(("paused", daemon["paused"]))
    rows += [("degraded", reason) for reason in daemon["degraded"]]
    return rows


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
