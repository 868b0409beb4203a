"""The kernel's event log: what was appended since it was read last."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from collectord.cyntra.events import WorkcellEnd, parse_end
from collectord.sources.files import open_regular

EVENTS_FILE = Path(".cyntra/logs/events.jsonl")
MAX_LINE_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class LogPosition:
    """How far a log was read: which file it was, and up to which byte."""

    stamp: str = ""
    position: int = 0


@dataclass(frozen=True, slots=True)
class LogLine:
    """A whole line: where it starts, where the next one does, and the workcell end in it, if any."""

    start: int
    after: int
    end: WorkcellEnd | None


@contextmanager
def appended(repo: Path, read: LogPosition) -> Iterator[tuple[str, Iterator[LogLine]]]:
    """The stamp of the log as it is, and its whole lines since `read`; from the start if it was replaced.

    Raises OSError where there is no readable log.
    """
    with open_regular(repo / EVENTS_FILE) as file:
        own = os.fstat(file.fileno())
        stamp = str(own.st_ino)
        replaced = stamp != read.stamp or own.st_size < read.position
        yield stamp, _whole_lines(file, 0 if replaced else read.position)


def _whole_lines(file: BinaryIO, position: int) -> Iterator[LogLine]:
    """Each line that is ended; one longer than the cap is passed over in pieces."""
    file.seek(position)
    while line := file.readline(MAX_LINE_BYTES):
        if not line.endswith(b"\n") and len(line) < MAX_LINE_BYTES:
            return
        start, position = position, position + len(line)
        yield LogLine(start, position, parse_end(line))
