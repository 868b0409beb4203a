"""Everything raw that the index holds as plain files, so that nobody is locked in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from collectord.cyntra.jsonio import ascii_json
from collectord.errors import CollectordError
from collectord.index.reader import IndexReader
from collectord.index.stored import stored_revisions


def write_out(reader: IndexReader, folder: Path) -> tuple[int, int]:
    """Write `artifacts/<sha256>` and `revisions.jsonl` (one line a revision: which file had which bytes).

    The folder must be empty or missing. Returns how many artifacts and revisions were written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CollectordError(f"{folder}: is there already and not empty; name a new folder")
    artifacts = folder / "artifacts"
    artifacts.mkdir(parents=True)
    written: set[str] = set()
    revisions = 0
    with (folder / "revisions.jsonl").open("w", encoding="ascii") as lines:
        for stored in stored_revisions(reader.connection):
            revisions += 1
            files: dict[str, Any] = {}
            for file in stored.files:
                files[file.name] = {"sha256": file.sha256, "mtime_ns": file.mtime_ns}
                if file.sha256 is not None and file.sha256 not in written:
                    (artifacts / file.sha256).write_bytes(reader.artifact(file.sha256))
                    written.add(file.sha256)
            line = {"kind": stored.kind, "name": stored.name, "revision": stored.number, "files": files}
            lines.write(ascii_json({**line, "dir_mtime_ns": stored.dir_mtime_ns}) + "\n")
    return len(written), revisions
