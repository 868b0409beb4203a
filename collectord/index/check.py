"""A full check of the index: pages, references, digests, and what its columns say about each other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, select

from collectord.cyntra.events import WorkcellEnd
from collectord.cyntra.jsonio import ascii_json
from collectord.cyntra.policy import MATERIAL
from collectord.errors import IndexDamaged
from collectord.index import tables
from collectord.index.codec import text_digest, unpack
from collectord.index.engine import readable_errors
from collectord.index.reader import IndexReader
from collectord.index.writer import info
from collectord.model import ARCHIVE, WORLD, OutcomeKind

MAX_FINDINGS = 100
STATES = frozenset(map(str, OutcomeKind))
_ARTIFACT = (tables.artifacts.c.sha256, tables.artifacts.c.codec, tables.artifacts.c.data)


def check_index(reader: IndexReader) -> tuple[list[str], int]:
    """Sentences for what is wrong, at most a hundred, and how many artifacts were looked at."""
    findings: list[str] = []
    looked_at = 0
    try:
        with readable_errors(reader.path):
            for part in (_pages, _archives, _issues, _ends, _environments, _documents):
                findings += part(reader.connection)
            for digest, codec, data in reader.connection.execute(select(*_ARTIFACT)):
                looked_at += 1
                findings += _artifact(digest, codec, data)
    except IndexDamaged as damage:
        cause = damage.__cause__
        findings.append(f"cannot be read to its end: {getattr(cause, 'orig', None) or cause}")
    return findings[:MAX_FINDINGS], looked_at


def _pages(connection: Connection) -> Iterator[str]:
    for (said,) in connection.exec_driver_sql(f"PRAGMA integrity_check({MAX_FINDINGS})"):
        if said != "ok":
            yield f"pages: {said}"
    for row in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        yield f"{row[0]}: row {row[1]} names a row of {row[2]} that is not there"


def _archives(connection: Connection) -> Iterator[str]:
    """Columns that no index of SQLite and no artifact stands behind, held against each other."""
    a, r = tables.archives, tables.revisions
    current = (r.c.archive_id == a.c.id) & (r.c.number == a.c.revision)
    first_ingest = _whole(info(connection, "first_ingest_ms"))
    first = {
        row.archive_id: row
        for row in connection.execute(
            select(r.c.archive_id, r.c.dir_mtime_ns, r.c.seen_ms).filter_by(number=1)
        )
    }
    for row in connection.execute(select(a, r.c.digest).select_from(a.outerjoin(r, current))):
        if row.kind not in (ARCHIVE, WORLD) or row.state not in STATES:
            yield f"archives: {row.name}: {row.kind} {row.state}: no such kind or state"
        if row.revision is not None and row.digest is None:
            yield f"archives: {row.name}: its current revision {row.revision} is not there"
        if not _arrived(row.complete_ms, first.get(row.id), first_ingest):
            yield f"archives: {row.name}: its time of arrival is not the one of its first revision"


def _arrived(complete_ms: int | None, first: Any | None, first_ingest_ms: int | None) -> bool:
    """Whether an archive was first complete when the writer's rule says; true where nothing tells."""
    if first is None or first_ingest_ms is None:
        return True
    pinned_ms = first.dir_mtime_ns // 1_000_000
    return bool(complete_ms == (pinned_ms if pinned_ms <= first_ingest_ms else first.seen_ms))


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _issues(connection: Connection) -> Iterator[str]:
    table = tables.issue_revisions
    for row in connection.execute(select(table.c.id, table.c.issue_id, table.c.digest, table.c.record)):
        if not is_issue_whole(row.digest, row.record):
            yield f"issue_revisions: row {row.id} of {row.issue_id}: its record has another digest"


def is_issue_whole(digest: object, record: object) -> bool:
    """Whether a Beads record is the one that was stored; a damaged page can give any type."""
    return isinstance(record, str) and record.isascii() and text_digest(record) == digest


def _ends(connection: Connection) -> Iterator[str]:
    for row in connection.execute(select(tables.workcell_ends)):
        if not is_end_whole(row._mapping.__getitem__):
            yield f"workcell_ends: an event of {row.workcell_id} has another digest"


def is_end_whole(value: Callable[[str], Any]) -> bool:
    """Whether an event is the one that was stored; true where a column could not hold what was digested."""
    workcell, duration, at_ms = value("workcell_id"), value("duration_ms"), value("at_ms")
    end = WorkcellEnd(workcell, value("type"), at_ms, bool(value("timed_out")), duration)
    if text_digest(ascii_json(asdict(end))) == value("digest"):
        return True
    return at_ms is None or duration == 0 or "\\" in str(workcell)


def _environments(connection: Connection) -> Iterator[str]:
    for row in connection.execute(select(tables.environments)):
        if not is_environment_whole(row._mapping.__getitem__):
            yield f"environments: {row.fingerprint}: what it consists of has other digests"


def is_environment_whole(value: Callable[[str], Any]) -> bool:
    """Whether a stored environment still is what its digests and its fingerprint were taken of."""
    try:
        components, digests = json.loads(value("components")), json.loads(value("digests"))
        again = {name: text_digest(ascii_json(part)) for name, part in components.items()}
        of_those = text_digest(ascii_json({name: digests[name] for name in MATERIAL}))
        return again == digests and of_those == value("fingerprint") and _is_list(value("unrecognised"))
    except (ValueError, TypeError, KeyError, AttributeError):
        return False


def _is_list(text: str) -> bool:
    return isinstance(json.loads(text), list)


def _documents(connection: Connection) -> Iterator[str]:
    for table, column in ((tables.alerts, "fields"), (tables.snapshots, "options"), (tables.daemon, "state")):
        for (text,) in connection.execute(select(table.c[column])):
            try:
                json.loads(text)
            except (ValueError, TypeError, RecursionError):
                yield f"{table.name}: a row whose {column} cannot be parsed"


def _artifact(digest: str, codec: str, data: bytes) -> list[str]:
    try:
        unpack(digest, codec, data)
    except IndexDamaged as damage:
        return [str(damage).partition(";")[0]]
    return []
