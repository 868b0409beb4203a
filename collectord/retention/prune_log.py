"""What a prune removes beside another writer, or before it is killed, left for the daemon to note."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from collectord.cyntra.jsonio import Unparsable, ascii_json, parse_object
from collectord.fs import atomic_write, ensure_private_dir

FOLDER = "pruned"
_MAX_BYTES = 64 * 2**20


def leave_note(state_dir: Path, names: Sequence[str], now_ms: int) -> None:
    """Leave the names of archives that are gone or about to be, in place of this process's note of that time.

    Without names there is no such note afterwards.
    """
    path = state_dir / FOLDER / f"{now_ms}-{os.getpid()}.json"
    if not names:
        path.unlink(missing_ok=True)
        return
    ensure_private_dir(state_dir / FOLDER)
    atomic_write(path, ascii_json({"gone": list(names)}).encode("ascii"))


def notes_left(state_dir: Path) -> Iterator[tuple[Path, list[str]]]:
    """Each note with its names, the oldest first; one that cannot be read has none."""
    for path in sorted((state_dir / FOLDER).glob("*.json")):
        try:
            with path.open("rb") as file:
                names = parse_object(file.read(_MAX_BYTES)).get("gone")
        except (OSError, Unparsable):
            names = None
        yield path, [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
