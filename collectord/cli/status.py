"""`collectord status`, and `collectord stats`, which is `status --stats`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from collectord.cli.invocation import Invocation
from collectord.cli.output import emit_json, json_option, line, pairs, size_text, time_text, usage_text
from collectord.cli.status_texts import _MAX_ATTENTION, archives_text, daemon_rows, kernel_text
from collectord.errors import UsageError


@click.command(short_help="Show what the index holds and how it is.")
@click.option("--disk", is_flag=True, help="Measure the disk now: walks every archive.")
@click.option("--check", is_flag=True, help="One line; exit 0 (good), 1 (watch) or 2 (act).")
@click.option("--watch", is_flag=True, help="A full screen that goes on until ctrl-C.")
@click.option("--stats", "with_stats", is_flag=True, help="Count run summaries as the kernel's planner does.")
@click.option("--interval", default="2s", show_default=True, help="Between two looks of --watch.")
@json_option
@click.pass_context
def status(
    context: click.Context,
    disk: bool,
    check: bool,
    watch: bool,
    with_stats: bool,
    interval: str,
    as_json: bool,
) -> None:
    """Show what the index holds, what was not taken, who is writing to it, and how all of it is."""
    from collectord.status.doctor import examine
    from collectord.status.health import State, in_a_line, worst
    from collectord.status.status import status as status_document

    if with_stats:
        context.invoke(stats, include_world=None, as_json=as_json)
        return
    settings = context.obj.settings()
    if watch:
        from collectord.cli.live import watch as watch_status

        watch_status(settings, _interval(interval))
        return
    examined = examine(settings, walk=False)
    checks = examined.checks
    if check:
        line(in_a_line(checks))
        context.exit(list(State).index(worst(checks)))
    found = examined.status
    if disk or found is None:
        found = status_document(settings, measure=disk)
    found["health"] = {
        "state": worst(checks),
        "checks": [asdict(one) for one in checks if one.state is not State.GOOD],
    }
    if as_json:
        emit_json(found)
        return
    if not found["index"]["exists"]:
        line(f"no index yet at {found['index']['path']}: run `collectord ingest`")
        return
    pairs(_status_rows(found))
    for archive in found["attention"][:_MAX_ATTENTION]:
        line(f"{archive['name']}: {archive['state']}: {archive['reason']}")
    if (more := len(found["attention"]) - _MAX_ATTENTION) > 0:
        line(f"… and {more} more that are not whole: `collectord status --json` lists them")


def _interval(text: str) -> float:
    from collectord.config.schema import duration

    try:
        return max(0.2, duration(text))
    except ValueError as error:
        raise UsageError(f"--interval: {error}") from error


def _status_rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    index, snapshot = found["index"], found["snapshot"]
    return [
        ("repo", found["repo"]),
        ("index", f"{index['path']} ({size_text(index['bytes'])})"),
        ("schema", index["schema"]),
        ("archives", archives_text(found)),
        ("runs", f"{found['runs']} ({found['plans']} with an executed plan)"),
        ("issues", str(found["issues"])),
        ("last ingest", time_text(found["last_ingest_ms"])),
        ("writer now", _holder_text(found["lock"])),
        *daemon_rows(found["daemon"]),
        ("kernel", kernel_text(found["kernel"])),
        ("environment", _environment_text(found["environment"])),
        ("last snapshot", _snapshot_text(snapshot) if snapshot else "none: run `collectord export`"),
        ("on disk", _disk_text(found["disk"])),
        *_workcell_rows(found["stale_workcells"]),
        ("health", _health_text(found["health"])),
    ]


def _health_text(health: dict[str, Any]) -> str:
    if health["state"] == "good":
        return "good"
    named = ", ".join(dict.fromkeys(f"{one['check']} ({one['state']})" for one in health["checks"]))
    return f"{health['state']}: {named}; `collectord doctor` says what to do"


def _disk_text(disk: dict[str, Any] | None) -> str:
    if disk is None:
        return (
            "not measured yet: the daemon does it every night; `status --disk` measures for this one answer"
        )
    return f"{usage_text(disk['bytes'])} ({time_text(disk['measured_ms'])})"


def _workcell_rows(stale: list[str]) -> list[tuple[str, str]]:
    if not stale:
        return []
    shown = ", ".join(stale[:_MAX_ATTENTION]) + (", …" if len(stale) > _MAX_ATTENTION else "")
    return [("stale workcells", f"{len(stale)} in .workcells unchanged for a day: {shown}")]


def _environment_text(environment: dict[str, Any]) -> str:
    known = environment["fingerprint"]
    if known is None:
        text = "not known: no policy file of the repo was read yet"
    else:
        text = f"{known[:12]}, seen {time_text(environment['looked_ms'])}"
    alerts = ", ".join(f"{count} {event}" for event, count in environment["alerts"].items())
    return f"{text}; open alerts: {alerts} (`collectord drift list`)" if alerts else text


def _holder_text(holder: dict[str, Any] | None) -> str:
    if holder is None:
        return "none"
    if "pid" not in holder:
        return "a process that has not given its name yet"
    since = f" since {time_text(holder['since_ms'])}" if "since_ms" in holder else ""
    return f"process {holder['pid']} ({holder.get('command', '?')}){since}"


def _snapshot_text(snapshot: dict[str, Any]) -> str:
    gone = "" if snapshot["exists"] else " and no longer there"
    when = time_text(snapshot["published_ms"])
    return f"{snapshot['path']} ({snapshot['example_count']} rows, {snapshot['profile']}, {when}{gone})"


@click.command(short_help="Count run summaries as the kernel's planner does.")
@click.option("--include-world/--no-include-world", default=None, help="Also world runs; default no.")
@json_option
@click.pass_obj
def stats(invocation: Invocation, include_world: bool | None, as_json: bool) -> None:
    """Count run summaries by job type and domain, as `cyntra planner stats` does."""
    from collectord.status.status import stats as stats_document

    settings = invocation.settings({"export.include_world": include_world})
    found = stats_document(settings, include_world=settings.config.export.include_world)
    if as_json:
        emit_json(found)
        return
    rows = [("summaries", str(found["example_count"]))]
    for group in ("by_job_type", "by_domain"):
        rows += [(f"{group[3:].replace('_', ' ')} {key}", str(n)) for key, n in found[group].items()]
    pairs([*rows, ("default universe", found["default_universe_id"] or "none")])
