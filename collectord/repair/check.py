"""A full check of the index: pages, references, digests, and every run derived again from its artifacts."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from collectord.archive import CORE_FILES
from collectord.errors import CollectordError, IndexDamaged, IndexMissing, IndexTooNew, IndexTooOld
from collectord.index import rows
from collectord.index.engine import IndexConnection, readable_errors
from collectord.index.files import examine_log, log_path
from collectord.index.info import info
from collectord.index.opening import reader_for
from collectord.index.reader import IndexReader, StoredRevision, count_revisions, stored_revisions
from collectord.index.rows import text_digest, unpack
from collectord.intake.interpret import interpret
from collectord.kernel.events import WorkcellEnd
from collectord.kernel.jsonio import ascii_json
from collectord.kernel.policy import MATERIAL
from collectord.model import (
    ARCHIVE,
    WORLD,
    Artifacts,
    CoreFile,
    FileRecord,
    FileState,
    Observation,
    OutcomeKind,
    Progress,
    Reading,
    Run,
)

if TYPE_CHECKING:
    from collectord.config import Settings


MAX_FINDINGS = 100
STATES = frozenset(map(str, OutcomeKind))


def check_index(reader: IndexReader) -> tuple[list[str], int]:
    """Sentences for what is wrong, at most a hundred, and how many artifacts were looked at."""
    findings: list[str] = []
    looked_at = 0
    try:
        with readable_errors(reader.path):
            for part in (_pages, _archives, _issues, _ends, _environments, _documents):
                findings += part(reader.connection)
            for digest, codec, data in reader.connection.execute("SELECT sha256, codec, data FROM artifacts"):
                looked_at += 1
                findings += _artifact(digest, codec, data)
    except IndexDamaged as damage:
        findings.append(f"cannot be read to its end: {damage.__cause__}")
    return findings[:MAX_FINDINGS], looked_at


def _pages(connection: IndexConnection) -> Iterator[str]:
    for (said,) in connection.execute(f"PRAGMA integrity_check({MAX_FINDINGS})"):
        if said != "ok":
            yield f"pages: {said}"
    for row in connection.execute("PRAGMA foreign_key_check"):
        yield f"{row[0]}: row {row[1]} names a row of {row[2]} that is not there"


def _archives(connection: IndexConnection) -> Iterator[str]:
    """Columns that neither an index of SQLite nor an artifact can prove, compared with each other."""
    first_ingest = _integer(info(connection, "first_ingest_ms"))
    query = "SELECT archive_id, dir_mtime_ns, seen_ms FROM revisions WHERE number = 1"
    first = {archive_id: (mtime_ns, seen_ms) for archive_id, mtime_ns, seen_ms in connection.execute(query)}
    query = (
        "SELECT a.id, a.kind, a.name, a.state, a.complete_ms, a.revision, r.id AS revision_id"
        " FROM archives a LEFT JOIN revisions r ON r.archive_id = a.id AND r.number = a.revision"
    )
    for row in connection.execute(query):
        kind, name, state = row["kind"], row["name"], row["state"]
        if kind not in (ARCHIVE, WORLD) or state not in STATES:
            yield f"archives: {name}: {kind} {state}: no such kind or state"
        if row["revision"] is not None and row["revision_id"] is None:
            yield f"archives: {name}: its current revision {row['revision']} is not there"
        if not _arrived(row["complete_ms"], first.get(row["id"]), first_ingest):
            yield f"archives: {name}: its time of arrival is not the one of its first revision"


def _arrived(complete_ms: int | None, first: tuple[int, int] | None, first_ingest_ms: int | None) -> bool:
    """Whether `complete_ms` is what the writer's rule gives; true where what the rule needs is not stored."""
    if first is None or first_ingest_ms is None:
        return True
    mtime_ns, seen_ms = first
    pinned_ms = mtime_ns // 1_000_000
    return complete_ms == (pinned_ms if pinned_ms <= first_ingest_ms else seen_ms)


def _integer(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _issues(connection: IndexConnection) -> Iterator[str]:
    query = "SELECT id, issue_id, digest, record FROM issue_revisions"
    for row_id, issue_id, digest, record in connection.execute(query):
        if not is_issue_intact(digest, record):
            yield f"issue_revisions: row {row_id} of {issue_id}: its record has another digest"


def is_issue_intact(digest: object, record: object) -> bool:
    """Whether a Beads record is the one that was stored; a damaged page can give any type."""
    return isinstance(record, str) and record.isascii() and text_digest(record) == digest


def _ends(connection: IndexConnection) -> Iterator[str]:
    for row in connection.execute("SELECT * FROM workcell_ends"):
        if not is_end_intact(row.__getitem__):
            yield f"workcell_ends: an event of {row['workcell_id']} has another digest"


def is_end_intact(value: Callable[[str], Any]) -> bool:
    """Whether an event is the one that was stored; true where a column cannot hold all that was digested."""
    workcell, duration, at_ms = value("workcell_id"), value("duration_ms"), value("at_ms")
    end = WorkcellEnd(workcell, value("type"), at_ms, bool(value("timed_out")), duration)
    if text_digest(ascii_json(asdict(end))) == value("digest"):
        return True
    return at_ms is None or duration == 0 or "\\" in str(workcell)


def _environments(connection: IndexConnection) -> Iterator[str]:
    for row in connection.execute("SELECT * FROM environments"):
        if not is_environment_intact(row.__getitem__):
            yield f"environments: {row['fingerprint']}: its components have other digests"


def is_environment_intact(value: Callable[[str], Any]) -> bool:
    """Whether the digests and the fingerprint of a stored environment are those of its components."""
    try:
        components, digests = json.loads(value("components")), json.loads(value("digests"))
        derived = {name: text_digest(ascii_json(part)) for name, part in components.items()}
        fingerprint = text_digest(ascii_json({name: digests[name] for name in MATERIAL}))
        return derived == digests and fingerprint == value("fingerprint") and _is_list(value("unrecognised"))
    except (ValueError, TypeError, KeyError, AttributeError):
        return False


def _is_list(text: str) -> bool:
    return isinstance(json.loads(text), list)


def _documents(connection: IndexConnection) -> Iterator[str]:
    for table, column in (("alerts", "fields"), ("snapshots", "options"), ("daemon", "state")):
        for (text,) in connection.execute(f"SELECT {column} FROM {table}"):
            try:
                json.loads(text)
            except (ValueError, TypeError, RecursionError):
                yield f"{table}: a row whose {column} cannot be parsed"


def _artifact(digest: str, codec: str, data: bytes) -> list[str]:
    try:
        unpack(digest, codec, data)
    except IndexDamaged as damage:
        return [str(damage).partition(";")[0]]
    return []


# Columns that runs of an older index have no value in.
_ADDED = frozenset({"evidence", "situation", "executed", "issue_text", "time_conflict", "artifact_facts"})

BytesOf = Callable[[str], bytes]


def derive(
    kind: str, name: str, dir_mtime_ns: int, files: Sequence[FileRecord], bytes_of: BytesOf
) -> Reading:
    """Interprets stored files as if they had just been read from disk; the result has no signature.

    `bytes_of` gives the bytes of an artifact by its sha256 and raises KeyError or IndexDamaged without.
    """
    by_name = {file.name: file for file in files}
    core = tuple(_core_file(name, by_name.get(name), bytes_of) for name in CORE_FILES.get(kind, ()))
    seen = Observation(name, dir_mtime_ns, 0, 0, 0, (), "")
    return interpret(kind, seen, Artifacts(core))


def _core_file(name: str, record: FileRecord | None, bytes_of: BytesOf) -> CoreFile:
    if record is None:
        return CoreFile(name, FileState.MISSING)
    if record.sha256 is None:
        return CoreFile(name, FileState(record.state), reason=record.reason)
    data = bytes_of(record.sha256)
    return CoreFile(name, FileState(record.state), data, record.sha256, record.mtime_ns, record.reason)


def differences(reader: IndexReader, progress: Progress = lambda _done, _total: None) -> Iterator[str]:
    """A sentence for each revision whose stored digest, run or label is not what its artifacts give."""
    for done, stored in enumerate(stored_revisions(reader.connection), 1):
        found = _difference(stored, reader)
        if found:
            yield f"{stored.name}: revision {stored.number}: {found}"
        progress(done, 0)


def _difference(stored: StoredRevision, reader: IndexReader) -> str | None:
    try:
        wanted = [file.sha256 for file in stored.files if file.sha256 is not None]
        held = reader.artifacts(wanted)
        again = derive(stored.kind, stored.name, stored.dir_mtime_ns, stored.files, held.__getitem__)
    except KeyError as missing:
        return f"artifact {missing.args[0]} is not there"
    except (IndexDamaged, ValueError) as error:
        return f"cannot be derived again: {str(error).partition(';')[0]}"
    differing = differing_parts(stored, again)
    if again.run is not None and _stores_another_row(again.run, reader):
        differing.append("row")
    return f"its artifacts give another {', '.join(differing)}" if differing else None


def _stores_another_row(run: Run, reader: IndexReader) -> bool:
    """Whether a row is stored for the run and is not what its artifacts give."""
    if run.row is None:
        return False
    stored = reader.kept_rows([run.row.key]).get(run.row.key)
    try:
        return stored is not None and zlib.decompress(stored) != run.row.data
    except zlib.error:
        return True


def differing_parts(stored: StoredRevision, again: Reading) -> list[str]:
    """Names of stored parts that are not what is derived now."""
    run = None if again.run is None else rows.run_row(stored.id, again.run)
    label = (
        None if again.run is None or again.run.label is None else rows.label_row(stored.id, again.run.label)
    )
    whole = (("digest", stored.digest, again.digest), ("partial", stored.partial, again.partial))
    found = [name for name, before, after in whole if before != after]
    found += _differing_columns("run", stored.run, run)
    return found + _differing_columns("label", stored.label, label)


def _differing_columns(what: str, stored: dict[str, Any] | None, again: dict[str, Any] | None) -> list[str]:
    if stored is None or again is None:
        return [] if stored is again else [what]
    return [
        f"{what}.{column}"
        for column, value in again.items()
        if stored.get(column) != value and not (column in _ADDED and stored.get(column) is None)
    ]


@dataclass(frozen=True, slots=True)
class Checked:
    """What a full check found, and how much of it was looked at."""

    findings: list[str]
    artifacts: int
    revisions: int


def check(settings: Settings, *, progress: Progress = lambda _done, _total: None) -> Checked:
    """Pages, references, digests, and every run derived again from its artifacts; changes nothing."""
    from collectord.index.schema import version_of

    log = examine_log(log_path(settings.index_path))
    torn = [f"log: {log.lost} transactions come after a damaged part of it"] if log.damaged else []
    try:
        with reader_for(settings) as reader, readable_errors(settings.index_path):
            findings, artifacts = check_index(reader)
            if findings:
                return Checked(torn + findings, artifacts, 0)
            findings = list(differences(reader, progress))[:MAX_FINDINGS]
            return Checked(torn + findings, artifacts, count_revisions(reader.connection))
    except (IndexTooNew, IndexMissing):
        raise
    except IndexTooOld:
        if version_of(settings.index_path) is not None:
            raise
        return Checked([*torn, "its schema has no version any more"], 0, 0)
    except (CollectordError, TypeError, ValueError) as damage:
        # Damage in the schema's own text shows as columns that are missing or of another type.
        return Checked([*torn, f"cannot be read: {damage.__cause__ or damage}"], 0, 0)
