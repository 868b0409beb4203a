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

import click

from collectord.model import Progress
from collectord.system.names import printable


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


_UNBOUNDED = 10_000
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


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns on a terminal, tab-separated lines elsewhere."""
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(printable(cell) for cell in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(*headers, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        drawn.add_row(*[Text(printable(cell)) for cell in row])
    # As wide as it needs: a name that was cut short cannot be copied into the next command.
    Console(width=_UNBOUNDED).print(drawn)


def pairs(rows: Sequence[tuple[str, str]]) -> None:
    """Names and values, the values under each other."""
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        line(f"{name:<{width}}  {value}")


@contextmanager
def progress_bar(what: str) -> Iterator[Progress]:
    """A bar on stderr if that is a terminal, else nothing."""
    if not sys.stderr.isatty():
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
