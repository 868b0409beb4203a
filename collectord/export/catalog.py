"""The published directories beside each other in the benches folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from collectord.errors import CollectordError
from collectord.export.publish import LINK, PublishPlace, candidates, read_snapshot
from collectord.export.snapshot import DATASET_FILE

LATEST = "latest"


def list_snapshots(benches: Path) -> list[dict[str, Any]]:
    """Name, path and snapshot.json (None for a directory of something else), the newest name first."""
    latest = _latest(benches)
    return [
        {
            "name": folder.name,
            "path": str(folder),
            "latest": latest is not None and folder == latest,
            "snapshot": read_snapshot(folder),
        }
        for folder in (candidates(PublishPlace(benches)) if benches.is_dir() else [])
    ]


def find_snapshot(benches: Path, name: str) -> Path:
    """The directory of that name or path, or where the link leads; raises CollectordError where none is."""
    if name == LATEST:
        latest = _latest(benches)
        if latest is None:
            raise CollectordError(f"{benches / LINK}: leads to no dataset; `collectord export` publishes one")
        return latest
    for folder in (benches / name, Path(name)):
        if (folder / DATASET_FILE).is_file():
            return folder
    raise CollectordError(f"{name}: no dataset directory; `collectord snapshot list` names those there are")


def _latest(benches: Path) -> Path | None:
    link = benches / LINK
    if not (link / DATASET_FILE).is_file():
        return None
    return benches / link.readlink() if link.is_symlink() else link
