"""Everything raw that the index holds as plain files, so that nobody is locked in."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from collectord.cyntra.jsonio import ascii_json
from collectord.errors import CollectordError, IndexDamaged
from collectord.index.reader import IndexReader
from collectord.index.revisions import StoredRevision, stored_revisions


@dataclass
class WrittenOut:
    """How much was written, and by sha256 what could not be, with the reason."""

    artifacts: int = 0
    revisions: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def write_out(reader: IndexReader, folder: Path) -> WrittenOut:
    """Write `artifacts/<sha256>` and `revisions.jsonl` (one line a revision: which file had which bytes).

    The folder must be empty or missing. An artifact that is damaged or missing is named, and has no file.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CollectordError(f"{folder}: is there already and not empty; name a new folder")
    artifacts = folder / "artifacts"
    artifacts.mkdir(parents=True)
    done, seen = WrittenOut(), set[str]()
    with (folder / "revisions.jsonl").open("w", encoding="ascii") as lines:
        for stored in stored_revisions(reader.connection):
            done.revisions += 1
            for digest in {file.sha256 for file in stored.files if file.sha256 is not None} - seen:
                seen.add(digest)
                _write(reader, artifacts, digest, done)
            _list(stored, lines)
    return done


def _write(reader: IndexReader, folder: Path, digest: str, done: WrittenOut) -> None:
    try:
        data = reader.artifact(digest)
    except KeyError:
        done.failed[digest] = f"artifact {digest}: is not in the index; run `collectord db recover`"
    except IndexDamaged as damage:
        done.failed[digest] = str(damage)
    else:
        (folder / digest).write_bytes(data)
        done.artifacts += 1


def _list(stored: StoredRevision, lines: IO[str]) -> None:
    files: dict[str, Any] = {
        file.name: {"sha256": file.sha256, "mtime_ns": file.mtime_ns} for file in stored.files
    }
    line = {"kind": stored.kind, "name": stored.name, "revision": stored.number, "files": files}
    lines.write(ascii_json({**line, "dir_mtime_ns": stored.dir_mtime_ns}) + "\n")
