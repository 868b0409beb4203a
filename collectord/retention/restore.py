"""Archives put back from the index byte for byte, and everything raw written out as plain files."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from collectord.archive import demand_component
from collectord.errors import CollectordError, IndexDamaged
from collectord.index.engine import readable_errors
from collectord.index.opening import reader_for
from collectord.index.reader import (
    IndexReader,
    StoredArchive,
    StoredRevision,
    stored_archives,
    stored_revisions,
)
from collectord.kernel.jsonio import ascii_json
from collectord.model import ARCHIVE, WORLD, WORLD_RUNS
from collectord.retention.prune import InTheWay
from collectord.system.durable import NO_ROOM, publish_directory
from collectord.system.names import OWN_PREFIX, readable_name

if TYPE_CHECKING:
    from collectord.config import Settings
    from collectord.index.reader import IndexReader, StoredArchive


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
                _write_plain(reader, artifacts, digest, done)
            _list(stored, lines)
    return done


def _write_plain(reader: IndexReader, folder: Path, digest: str, done: WrittenOut) -> None:
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


def restore_archive(reader: IndexReader, stored: StoredArchive, folder: Path) -> Path:
    """Write the core files of the current revision to `folder`/<name>, with the pinned time of the directory.

    Raises InTheWay where anything has that name, IndexDamaged, and OSError. It appears whole or not at all.
    """
    demand_component(stored.name)
    final = folder / stored.name
    if os.path.lexists(final):
        raise InTheWay(f"{final}: is there already, and nothing is written over")
    folder.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f"{OWN_PREFIX}restoring-", dir=folder))
    try:
        for file in stored.files:
            if file.sha256 is not None:
                _write(made / file.name, reader.artifact(file.sha256), file.mtime_ns)
        made.chmod(0o755)
        os.utime(made, ns=(stored.dir_mtime_ns, stored.dir_mtime_ns))
        publish_directory(made, final)
    except FileExistsError as error:
        raise InTheWay(f"{final}: is there already, and nothing is written over") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return final


def _write(path: Path, data: bytes, mtime_ns: int | None) -> None:
    demand_component(path.name)
    path.write_bytes(data)
    path.chmod(0o644)
    if mtime_ns is not None:
        os.utime(path, ns=(mtime_ns, mtime_ns))


@dataclass
class Restored:
    """Directories that were written; `kept`, which were there already, and `failed`, with the reason."""

    written: list[Path] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def restore(
    settings: Settings,
    wanted: Sequence[str] | None,
    *,
    to: Path | None = None,
    runs_to: Path | None = None,
    revision: int | None = None,
) -> Restored:
    """Write core files of archives back, of all of them for None; world runs with them.

    `to` is another folder than the archives'; world runs are then written to `runs_to` or not at all. The
    current revision unless another is named. One that is damaged holds up no other; a full disk does.
    """
    folders = {ARCHIVE: to or settings.archives_dir}
    if to is None or runs_to is not None:
        folders[WORLD] = runs_to or settings.repo / WORLD_RUNS
    done = Restored()
    with reader_for(settings) as reader:
        for name in [None] if wanted is None else [readable_name(Path(given).name) for given in wanted]:
            listed = stored_archives(reader.connection, name, None, revision)
            found = [one for one in listed if one.kind in folders]
            if not found and name is not None:
                raise CollectordError(_no_revision(name, revision))
            for stored in found:
                _restore_one(reader, stored, folders[stored.kind], done)
    return done


def _no_revision(name: str, revision: int | None) -> str:
    if revision is None:
        return f"{name}: the index has no revision of it; `collectord runs` lists what it has"
    return f"{name}: the index has no revision {revision} of it; `collectord explain {name}` lists them"


def _restore_one(reader: IndexReader, stored: StoredArchive, folder: Path, done: Restored) -> None:
    try:
        done.written.append(restore_archive(reader, stored, folder))
    except InTheWay as error:
        done.kept[stored.name] = str(error)
    except KeyError as missing:
        done.failed[stored.name] = (
            f"artifact {missing.args[0]} is not in the index; run `collectord db recover`"
        )
    except (CollectordError, ValueError) as error:
        done.failed[stored.name] = str(error)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise
        done.failed[stored.name] = str(error)


def export_artifacts(settings: Settings, folder: Path) -> WrittenOut:
    """Write every artifact out as a plain file; what is damaged is named and holds up no other."""
    with reader_for(settings) as reader, readable_errors(settings.index_path):
        return write_out(reader, folder)
