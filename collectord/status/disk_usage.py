"""Bytes on disk by part: of archives by what could be pruned, and of what collectord keeps itself."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collectord import archive
from collectord.archive import ARCHIVE_FILES, ArchiveRoot, open_archive
from collectord.errors import CollectordError
from collectord.index.files import log_path
from collectord.index.opening import now_ms
from collectord.model import WORLD_RUNS
from collectord.repair.backups import FOLDER, scratch_folders
from collectord.retention.plan import LOGS, RENDERS
from collectord.retention.prune import size_of_entry

if TYPE_CHECKING:
    from collectord.config import Settings


CORE_PART, LOGS_PART, RENDERS_PART, OTHER_PART = (
    f"archives {part}" for part in ("core", "logs", "renders", "other")
)


def usage_of(archives: Path, parts: Mapping[str, Iterable[Path]]) -> dict[str, int]:
    """Bytes on disk of archives by part, then of each of the other parts; no link is followed.

    What cannot be read, or lies on another device, counts as nothing. Takes seconds for 20,000 archives.
    """
    found = dict.fromkeys((CORE_PART, LOGS_PART, RENDERS_PART, OTHER_PART), 0)
    with suppress(archive.RootUnusable, OSError), ArchiveRoot(archives) as root:
        for name, kind in archive.names(root):
            if kind == archive.DIRECTORY:
                _add_archive(found, root, name)
            else:
                found[OTHER_PART] += _size(root.fd, name, root.device)
    return found | {name: sum(map(_size_at, paths)) for name, paths in parts.items()}


def _add_archive(found: dict[str, int], root: ArchiveRoot, name: str) -> None:
    try:
        fd, own = open_archive(root, name)
    except (CollectordError, archive.ArchiveRefused, archive.Vanished, OSError, ValueError):
        return
    try:
        found[CORE_PART] += own.st_blocks * 512
        for entry in os.listdir(fd):
            found[part_of(entry)] += _size(fd, entry, own.st_dev)
    finally:
        os.close(fd)


def part_of(entry: str) -> str:
    """Which part an entry of an archive counts to."""
    if entry in ARCHIVE_FILES:
        return CORE_PART
    if entry in LOGS:
        return LOGS_PART
    return RENDERS_PART if entry in RENDERS else OTHER_PART


def _size(parent_fd: int, name: str, device: int) -> int:
    with suppress(CollectordError, OSError):
        return size_of_entry(parent_fd, name, device)
    return 0


def _size_at(path: Path) -> int:
    with suppress(OSError):
        fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return _size(fd, path.name, os.fstat(fd).st_dev)
        finally:
            os.close(fd)
    return 0


def measure(settings: Settings) -> dict[str, Any]:
    """Bytes on disk by part, and when that was looked at. Walks every archive."""
    index, state = settings.index_path, settings.state_dir
    parts = {
        "world runs": [settings.repo / WORLD_RUNS],
        "workcells": [settings.repo / ".workcells"],
        "index": [index, log_path(index)],
        # What recoveries, rebuilds and upgrades kept of the index as it was, or were killed over.
        "index set aside": [*sorted(index.parent.glob(f"{index.name}.*")), *scratch_folders(state)],
        "backups": [state / FOLDER],
        "row cache": [state / "cache"],
        "snapshots": [settings.benches_dir],
    }
    return {"measured_ms": now_ms(), "bytes": usage_of(settings.archives_dir, parts)}
