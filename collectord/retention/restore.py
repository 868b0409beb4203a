"""Archives put back from the index: their core files byte for byte, with their times."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from collectord.archive.opening import demand_component
from collectord.errors import CollectordError
from collectord.fs import publish_directory
from collectord.index.reader import IndexReader
from collectord.index.revisions import StoredArchive
from collectord.names import OWN_PREFIX


class InTheWay(CollectordError):
    """Something has the name already, and nothing is ever written over."""


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
