"""Stored bytes → the reading they gave, and where the index says something else."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from collectord.errors import IndexDamaged
from collectord.index import rows
from collectord.index.reader import IndexReader
from collectord.index.revisions import StoredRevision, stored_revisions
from collectord.ingest.interpret import CORE_FILES, interpret
from collectord.model import Artifacts, CoreFile, FileRecord, FileState, Observation, Reading, Run

# Columns that runs of an older index have no value in.
_ADDED = frozenset({"evidence", "situation", "executed", "issue_text", "time_conflict"})

BytesOf = Callable[[str], bytes]
Progress = Callable[[int, int], None]


def derive(
    kind: str, name: str, dir_mtime_ns: int, files: Sequence[FileRecord], bytes_of: BytesOf
) -> Reading:
    """The reading that these files gave when they were read from disk; it has no signature.

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
    if again.run is not None and _keeps_another_row(again.run, reader):
        differing.append("row")
    return f"its artifacts give another {', '.join(differing)}" if differing else None


def _keeps_another_row(run: Run, reader: IndexReader) -> bool:
    """Whether the row that is kept for the run is not what its artifacts give; none kept is fine."""
    if run.row is None:
        return False
    kept = reader.kept_rows([run.row.key]).get(run.row.key)
    try:
        return kept is not None and zlib.decompress(kept) != run.row.data
    except zlib.error:
        return True


def differing_parts(stored: StoredRevision, again: Reading) -> list[str]:
    """Names of what was stored and is derived otherwise now."""
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
