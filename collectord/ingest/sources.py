"""What stands beside the archives: the Beads file and the kernel's event log."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from collectord.cyntra.beads import parse_issues
from collectord.cyntra.events import WorkcellEnd, parse_end
from collectord.cyntra.jsonio import JsonObject
from collectord.index.events import read_position, record_ends, set_position
from collectord.index.issues import record_issues
from collectord.index.writer import IndexWriter

BEADS_FILE = Path(".beads/issues.jsonl")
EVENTS_FILE = Path(".cyntra/logs/events.jsonl")
MAX_BEADS_BYTES = 256 * 2**20
MAX_LINE_BYTES = 2**20
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_BATCH = 1000


def read_beads(repo: Path) -> dict[str, JsonObject] | None:
    """Today's issues of a repo; None if there is no readable file. Raises nothing for what is in it."""
    try:
        with _open_regular(repo / BEADS_FILE) as file:
            data = file.read(MAX_BEADS_BYTES + 1)
        return parse_issues(data.decode("utf-8")) if len(data) <= MAX_BEADS_BYTES else None
    except (OSError, UnicodeDecodeError):
        return None


def _open_regular(path: Path) -> BinaryIO:
    file = os.fdopen(os.open(path, _OPEN), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(f"{path} is not a regular file")
    return file


def _beads_stamp(repo: Path) -> str:
    try:
        found = (repo / BEADS_FILE).stat()
    except OSError:
        return ""
    return f"{found.st_ino}:{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}"


def ingest_beads(writer: IndexWriter, repo: Path, now_ms: int) -> int:
    """Keep the records that changed since the last look; returns how many. An unchanged file costs a stat."""
    stamp, path = _beads_stamp(repo), str(BEADS_FILE)
    with writer.transaction():
        known, _ = read_position(writer.connection, path)
    if not stamp or stamp == known:
        return 0
    issues = read_beads(repo)
    if issues is None:
        return 0
    with writer.transaction():
        changed = record_issues(writer.connection, issues, now_ms)
        # Changed while it was read: no stamp is kept, so that the next look reads it again.
        set_position(writer.connection, path, stamp if stamp == _beads_stamp(repo) else "", 0)
    return changed


def ingest_events(writer: IndexWriter, repo: Path) -> int:
    """Read what was appended to the event log since the last look; returns the ends that were found."""
    path = str(EVENTS_FILE)
    try:
        file = _open_regular(repo / EVENTS_FILE)
    except OSError:
        return 0
    with file:
        with writer.transaction():
            stamp, position = read_position(writer.connection, path)
        own = os.fstat(file.fileno())
        if stamp != str(own.st_ino) or own.st_size < position:
            position = 0
        if own.st_size == position:
            return 0
        return _read_appended(writer, file, str(own.st_ino), position)


def _read_appended(writer: IndexWriter, file: BinaryIO, stamp: str, position: int) -> int:
    file.seek(position)
    found = 0
    batch: list[tuple[int, WorkcellEnd]] = []
    for start, line in _whole_lines(file, position):
        position = start + len(line)
        if end := parse_end(line):
            batch.append((start, end))
            found += 1
        if len(batch) >= _BATCH:
            _commit(writer, batch, stamp, position)
            batch = []
    _commit(writer, batch, stamp, position)
    return found


def _commit(writer: IndexWriter, batch: list[tuple[int, WorkcellEnd]], stamp: str, position: int) -> None:
    with writer.transaction():
        record_ends(writer.connection, batch)
        set_position(writer.connection, str(EVENTS_FILE), stamp, position)


def _whole_lines(file: BinaryIO, position: int) -> Iterator[tuple[int, bytes]]:
    """(start, line) of each line that is ended; one longer than the cap is passed over in pieces."""
    while line := file.readline(MAX_LINE_BYTES):
        if not line.endswith(b"\n") and len(line) < MAX_LINE_BYTES:
            return
        yield position, line
        position += len(line)
