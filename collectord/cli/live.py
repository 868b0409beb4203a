"""`collectord status --watch`: the status as a full screen that goes on."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from collectord.audit.layout import percent
from collectord.cli.output import line, time_text
from collectord.cli.status_texts import archives_text, daemon_rows, kernel_text
from collectord.status.live import Frame, Watching, sparkline
from collectord.status.metrics import lane_of
from collectord.system.names import printable

if TYPE_CHECKING:
    from rich.console import Group

    from collectord.config import Settings

_COLOURS = {"good": "green", "watch": "yellow", "act": "red"}
_BANDS = {"A": "50–70 %", "B": "20–40 %", "C": "5–15 %"}


def watch(settings: Settings, interval_s: float) -> None:
    """Until it is interrupted: a screen on a terminal, elsewhere one status a tick."""
    watching = Watching(settings)
    with suppress(KeyboardInterrupt):
        if sys.stdout.isatty():
            _on_screen(watching, interval_s)
        _as_lines(watching, interval_s)


def _as_lines(watching: Watching, interval_s: float) -> None:
    while True:
        for text in lines_of(watching.frame(time.monotonic())):
            line(text)
        line("")
        sys.stdout.flush()
        time.sleep(interval_s)


def _on_screen(watching: Watching, interval_s: float) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(screen_of(watching.frame(time.monotonic()), *console.size), refresh=True)
            time.sleep(interval_s)


def screen_of(frame: Frame, width: int, height: int) -> Group:
    """The lines of a frame as far as they fit, coloured."""
    from rich.console import Group
    from rich.text import Text

    shown = [printable(text)[:width] for text in lines_of(frame)][:height]
    return Group(*[Text(text, style=_style(text), no_wrap=True, overflow="crop") for text in shown])


def _style(text: str) -> str:
    return next((colour for state, colour in _COLOURS.items() if text.startswith(f"{state:<6}")), "")


def lines_of(frame: Frame) -> list[str]:
    """What a person looks at, the most important first, in lines of 80 columns. Pure."""
    head = f"collectord  {time_text(frame.at_ms)}"
    if frame.status is None:
        return [head, "", frame.error or "", *_checks(frame)]
    status = frame.status
    return [
        f"{head}  {status['repo']}",
        *_checks(frame),
        "",
        *(f"{name:<12}{text}" for name, text in daemon_rows(status["daemon"])[:9]),
        f"{'kernel':<12}{kernel_text(status['kernel'])}",
        f"{'archives':<12}{archives_text(status)}",
        f"{'epoch':<12}{_epoch(status)}",
        f"{'lanes':<12}{_lanes(status)}",
        f"{'last 24 h':<12}{sparkline(frame.arrivals)} {sum(frame.arrivals)} runs",
        "",
        *_runs(frame),
    ]


def _checks(frame: Frame) -> list[str]:
    bad = [check for check in frame.checks if check.state != "good"]
    bad.sort(key=lambda check: check.state != "act")
    return [f"{check.state:<6}{check.check}: {check.said}" for check in bad[:4]] or ["good  nothing to do"]


def _epoch(status: dict[str, Any]) -> str:
    epoch, alerts = status["environment"]["epoch"], status["environment"]["alerts"]
    opened = {event: count for event, count in alerts.items() if not event.startswith("epoch.")}
    said = ", ".join(f"{count} {event}" for event, count in opened.items()) or "no open alerts"
    if not epoch:
        return f"none yet; {said}"
    return f"{epoch['number']} since {time_text(epoch['since_ms'])}, {epoch['runs']} runs; {said}"


def _lanes(status: dict[str, Any]) -> str:
    counts: Counter[str] = Counter()
    for row in status["outcomes"]:
        counts[lane_of(row["swarm_id"], row["max_candidates"])] += row["runs"]
    total = sum(count for lane, count in counts.items() if lane != "none")
    shares = (f"{lane} {percent(counts[lane] / total)} (of {band})" for lane, band in _BANDS.items() if total)
    return ", ".join(shares) or "no run has an executed plan"


def _runs(frame: Frame) -> Iterator[str]:
    for run in frame.runs:
        plan = f"{run['swarm_id']}×{run['max_candidates']}" if run["explicit"] else "no plan"
        yield f"{time_text(run['started_ms'])[5:16]}  {run['status']:<8} {plan:<18} {run['name']}"
