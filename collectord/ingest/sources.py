"""What stands beside the archives goes into the index: Beads records and workcell ends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from collectord.index.events import read_position, record_ends, set_position
from collectord.index.issues import record_issues
from collectord.index.writer import IndexWriter
from collectord.sources.beads import BEADS_FILE, read_beads
from collectord.sources.event_log import EVENTS_FILE, LogLine, LogPosition, appended
from collectord.sources.files import stamp_of

_BATCH = 1000


def ingest_beads(writer: IndexWriter, repo: Path, now_ms: int) -> int:
    """Keep the records that changed since the last look; returns how many. An unchanged file costs a stat."""
    stamp, path = stamp_of(repo / BEADS_FILE), str(BEADS_FILE)
    with writer.transaction() as connection:
        known, _ = read_position(connection, path)
    if not stamp or stamp == known:
        return 0
    issues = read_beads(repo)
    if issues is None:
        return 0
    # Changed while it was read: no stamp is kept, so that the next look reads it again.
    kept = stamp if stamp == stamp_of(repo / BEADS_FILE) else ""
    with writer.transaction() as connection:
        changed = record_issues(connection, issues, now_ms)
        set_position(connection, path, kept, 0)
    return changed


def ingest_events(writer: IndexWriter, repo: Path) -> int:
    """Read what was appended to the event log since the last look; returns how many ends were found."""
    with writer.transaction() as connection:
        read = LogPosition(*read_position(connection, str(EVENTS_FILE)))
    found = 0
    batch: list[LogLine] = []
    try:
        with appended(repo, read) as (stamp, lines):
            for line in lines:
                batch.append(line)
                if len(batch) >= _BATCH:
                    found += _keep(writer, batch, stamp)
                    batch = []
            return found + _keep(writer, batch, stamp)
    except OSError:
        return found


def _keep(writer: IndexWriter, lines: Sequence[LogLine], stamp: str) -> int:
    ends = [(line.start, line.end) for line in lines if line.end is not None]
    if lines:
        with writer.transaction() as connection:
            record_ends(connection, ends)
            set_position(connection, str(EVENTS_FILE), stamp, lines[-1].after)
    return len(ends)
