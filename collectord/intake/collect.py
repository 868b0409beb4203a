"""One directory on disk, Beads, the event log → changes of the index. Reads, never writes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from collectord import archive
from collectord.archive import CORE_FILES, ArchiveRoot
from collectord.index.info import DROPPED_LINES, put_info
from collectord.index.repo_records import read_position, record_ends, record_issues, set_position
from collectord.index.writer import Change, IndexWriter, Seen
from collectord.intake.interpret import interpret, refused
from collectord.model import Known, Observation, OutcomeKind
from collectord.repo.files import (
    BEADS_FILE,
    EVENTS_FILE,
    LogLine,
    LogPosition,
    appended,
    read_beads_and_dropped,
    stamp_of,
)


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """What one archive may make us read: bytes of a core file, top-level entries."""

    json_bytes: int = 8 * 2**20
    entries: int = 10_000


def is_stray(name: str, kind: str, ignore: frozenset[str]) -> str | None:
    """Why an entry of the archives folder is no archive, or None for one that may be."""
    if kind != archive.DIRECTORY:
        return f"a {kind}, not a directory"
    return "not an archive (watch.ignore)" if name in ignore else None


def undecodable(kind: str, key: str) -> Seen:
    """The change for a directory whose name no database can hold as it is; `key` is the name readable."""
    return _seen(kind, key, OutcomeKind.QUARANTINED, "name: not UTF-8")


def is_known(known: Known | None, signature: str) -> bool:
    """Whether the index has the directory as it looks now."""
    return known is not None and known.signature == signature and known.gone_ms is None


def worktree_in_place(kind: str, seen: Observation) -> Seen | None:
    """The change for a git worktree that was moved among the archives; None for all else."""
    if not seen.has(".git"):
        return None
    return _seen(kind, seen.name, OutcomeKind.IGNORED, "a git worktree, not an archive", seen.signature)


def foreign_folder(kind: str, seen: Observation) -> Seen | None:
    """The change for a folder of a synchroniser or a desktop (`.stversions`, `x.sync-conflict-…`).

    No name of the kernel has a dot; one that has, and no core file, is no archive.
    """
    if "." not in seen.name or any(seen.has(core) for core in CORE_FILES[kind]):
        return None
    return _seen(
        kind, seen.name, OutcomeKind.IGNORED, "a folder of something else, not an archive", seen.signature
    )


def refused_directory(refusal: archive.ArchiveRefused) -> str:
    """The reason under which a directory that cannot be read as an archive is kept."""
    return f"directory: {refusal.reason}"


def read(root: ArchiveRoot, before: Observation, limits: ReadLimits, kind: str) -> Change:
    """The change that a directory makes to the index, read once; raises Vanished and ArchiveRefused.

    The bytes are worth nothing unless another observation after the read has the signature of `before`.
    """
    name = before.name
    artifacts = archive.read_core(root, name, CORE_FILES[kind], max_bytes=limits.json_bytes)
    if reason := refused(artifacts):
        return _seen(kind, name, OutcomeKind.QUARANTINED, reason, before.signature)
    return interpret(kind, before, artifacts)


def _seen(kind: str, name: str, outcome: OutcomeKind, reason: str, signature: str | None = None) -> Seen:
    return Seen(kind, name, outcome, signature, reason)


_BATCH = 1000


def lines_dropped(writer: IndexWriter) -> list[int]:
    """Numbers of the lines of Beads that no kernel reads, as of the last look."""
    found: list[int] = json.loads(writer.info(DROPPED_LINES) or "[]")
    return found


def ingest_beads(writer: IndexWriter, repo: Path, now_ms: int) -> int:
    """Keep the records that changed since the last look; returns how many. An unchanged file costs a stat."""
    stamp, path = stamp_of(repo / BEADS_FILE), str(BEADS_FILE)
    with writer.transaction() as connection:
        known, _ = read_position(connection, path)
    if not stamp or stamp == known:
        return 0
    issues, dropped = read_beads_and_dropped(repo)
    if issues is None:
        return 0
    # Changed while it was read: no stamp is kept, so that the next look reads it again.
    new_stamp = stamp if stamp == stamp_of(repo / BEADS_FILE) else ""
    with writer.transaction() as connection:
        changed = record_issues(connection, issues, now_ms)
        set_position(connection, path, new_stamp, 0)
        put_info(connection, DROPPED_LINES, json.dumps(dropped))
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
                    found += _store(writer, batch, stamp)
                    batch = []
            return found + _store(writer, batch, stamp)
    except OSError:
        return found


def _store(writer: IndexWriter, lines: Sequence[LogLine], stamp: str) -> int:
    ends = [(line.start, line.end) for line in lines if line.end is not None]
    if lines:
        with writer.transaction() as connection:
            record_ends(connection, ends)
            set_position(connection, str(EVENTS_FILE), stamp, lines[-1].after)
    return len(ends)
