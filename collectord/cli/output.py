"""Streams that can be closed at any time, and the forms in which commands print."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from collectord.system.names import printable

if TYPE_CHECKING:
    from collectord.model import Progress


def prepare_streams() -> None:
    """Fill what the caller closed, and write what an encoding cannot hold as an escape."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            # The next file that is opened would be standard output, and our words would go into it.
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush_or_discard() -> None:
    """Write out what waits to be; where it cannot be, keep the interpreter from trying again at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


# What json.dumps leaves as it is and a terminal, a line reader or an encoder could trip over.
_UNSAFE = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def emit_json(document: object) -> None:
    """One JSON document on stdout."""
    in_ascii = "utf" not in (sys.stdout.encoding or "").lower()
    text = json.dumps(document, ensure_ascii=in_ascii, indent=2, sort_keys=True)
    click.echo(_UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def line(text: str) -> None:
    """One line on stdout."""
    click.echo(printable(text))


def styled(text: str, colour: str | None) -> None:
    """One line on stdout, in a colour where that is a terminal and nobody forbids it."""
    plain = colour is None or "NO_COLOR" in os.environ
    click.echo(printable(text) if plain else click.style(printable(text), fg=colour))


def complain(text: str) -> None:
    """A message on stderr, each of its lines with our name."""
    for part in text.split("\n"):
        click.echo(f"collectord: {printable(part)}", err=True)


def note(text: str) -> None:
    """A message on stderr that is no error; --quiet leaves it out."""
    if not is_quiet():
        complain(text)


def is_quiet() -> bool:
    """Whether only results and errors are wanted."""
    context = click.get_current_context(silent=True)
    return context is not None and getattr(context.find_root().obj, "quiet", False)


_GAP = 2  # between two columns, as rich draws them without a box
_LEAST_WRAPPED = 24
COLOURS = {
    **dict.fromkeys(("indexed", "success", "sealed", "verified", "good"), "green"),
    **dict.fromkeys(("failed", "quarantined", "act", "mismatch"), "red"),
    **dict.fromkeys(("timeout", "partial", "gone", "open", "closing", "watch"), "yellow"),
}


def fitting(
    widths: Mapping[str, int], drop: Sequence[str], room: int, wrap: str | None
) -> tuple[list[str], int]:
    """The columns of `widths` without as many of `drop`, in order, as it takes to fit; and how wide that is.

    The column `wrap` can be as narrow as some words; no other is ever cut. Pure.
    """
    columns = list(widths)
    for name in (*drop, None):
        least = [min(widths[c], _LEAST_WRAPPED) if c == wrap else widths[c] for c in columns]
        needed = sum(least) + _GAP * (len(columns) - 1)
        if needed <= room or name is None:
            break
        columns.remove(name)
    return columns, max(room, needed)


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    drop: Sequence[str] = (),
    wrap: str | None = None,
) -> None:
    """Columns on a terminal, tab-separated lines elsewhere.

    Where a terminal is too narrow, the columns `drop` go, in that order, and the column `wrap` wraps.
    """
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(printable(cell) for cell in row))
        return
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    cells = [dict(zip(headers, map(printable, row), strict=True)) for row in rows]
    widths = {name: max([len(name), *(cell_len(row[name]) for row in cells)]) for name in headers}
    # As wide as it needs: a name that was cut short cannot be copied into the next command.
    columns, width = fitting(widths, drop, Console().width, wrap)
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        drawn.add_column(name, no_wrap=name != wrap)
    for named in cells:
        drawn.add_row(*[Text(named[name], style=COLOURS.get(named[name], "")) for name in columns])
    Console(width=width).print(drawn)


def pairs(rows: Sequence[tuple[str, str]]) -> None:
    """Names and values, the values under each other."""
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        line(f"{name:<{width}}  {value}")


@contextmanager
def progress_bar(what: str) -> Iterator[Progress]:
    """A bar on stderr if that is a terminal, else nothing."""
    if not sys.stderr.isatty() or is_quiet():
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)


def time_text(ms: int | None) -> str:
    """A time for a person, in UTC."""
    if ms is None:
        return "-"
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"


def column_time(ms: int | None) -> str:
    """A time for a table: without seconds and zone on a terminal, where columns are short of room."""
    text = time_text(ms)
    return text[: -len(":00 UTC")] if sys.stdout.isatty() and text.endswith(" UTC") else text


def seconds_text(seconds: int | None) -> str:
    """A duration for a person; None where it did not fit into the index."""
    if seconds is None:
        return "?"
    return f"{seconds // 60} min" if seconds >= 60 and seconds % 60 == 0 else f"{seconds} s"


def size_text(size: int) -> str:
    """Bytes for a person."""
    value = float(size)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def usage_text(parts: Mapping[str, int]) -> str:
    """Bytes by part, of those that take any."""
    return ", ".join(f"{name} {size_text(size)}" for name, size in parts.items() if size) or "nothing"


def json_option(function: Callable[..., int | None]) -> Callable[..., int | None]:
    """The --json flag of every read command."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")(function)
