"""What `doctor` looks at: the machine, the folders, the index. Gathers values, judges nothing."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collectord.fs import free_space, is_network_filesystem

_INOTIFY = Path("/proc/sys/fs/inotify")


@dataclass(frozen=True, slots=True)
class FolderFacts:
    """One folder: whether it is there, may be read and written, how full its disk is, where it lies."""

    path: str
    exists: bool
    is_folder: bool
    readable: bool
    writable: bool
    network: bool
    free_bytes: int | None = None
    total_bytes: int | None = None
    free_inodes: int | None = None
    mode: int | None = None
    owned: bool = True


@dataclass(frozen=True, slots=True)
class DoctorFacts:
    """Everything that is judged. `status` is the status document, None where the index cannot be read.

    `watch_limits` are max_user_watches and max_user_instances, where the system has them; `stale_workcells`
    are names in .workcells older than a day, `usage` bytes on disk by part; `newest_ms` is the youngest
    archive's time of change, `schema` the version of the index file, `kernel` the document of the processes
    (see `overview.kernel`).
    """

    archives: FolderFacts
    state: FolderFacts
    benches: FolderFacts
    sqlite: str
    watch_limits: Mapping[str, int]
    clock_ms: int
    newest_ms: int | None
    schema: str | None
    index_error: str | None
    log_lost: int
    status: Mapping[str, Any] | None
    stale_workcells: tuple[str, ...]
    usage: Mapping[str, int]
    backups: int
    newest_backup_ms: int | None
    kernel: Mapping[str, Any]


def folder_facts(path: Path) -> FolderFacts:
    """Look at a folder; one that is missing has the disk of the nearest parent that is there."""
    exists = path.exists()
    standing = next(p for p in (path, *path.parents) if p.exists())
    facts: dict[str, Any] = {}
    with suppress(OSError):
        facts["free_bytes"], facts["total_bytes"] = free_space(standing)
        inodes = os.statvfs(standing)
        facts["free_inodes"] = inodes.f_favail if inodes.f_files else None
        own = standing.stat()
        facts["mode"] = own.st_mode & 0o777 if exists else None
        facts["owned"] = own.st_uid == os.geteuid()
    return FolderFacts(
        str(path),
        exists,
        path.is_dir(),
        os.access(standing, os.R_OK | os.X_OK),
        os.access(standing, os.W_OK | os.X_OK),
        is_network_filesystem(standing),
        **facts,
    )


def watch_limits() -> dict[str, int]:
    """The limits of inotify, empty where the system has none."""
    found = {}
    for name in ("max_user_watches", "max_user_instances"):
        with suppress(OSError, ValueError):
            found[name] = int((_INOTIFY / name).read_text())
    return found


def stale_workcells(repo: Path, clock_ms: int, older_than_ms: int = 86_400_000) -> tuple[str, ...]:
    """Runs in flight whose directory nobody changed for a day: a kernel that died left them."""
    found = []
    with suppress(OSError), os.scandir(repo / ".workcells") as listing:
        for entry in listing:
            if not entry.is_dir(follow_symlinks=False):
                continue
            with suppress(OSError):
                own = entry.stat(follow_symlinks=False)
                if clock_ms - own.st_mtime_ns // 1_000_000 > older_than_ms:
                    found.append(entry.name)
    return tuple(sorted(found))


def newest_change_ms(archives: Path) -> int | None:
    """The youngest time of change of a directory in the archives folder."""
    newest: int | None = None
    with suppress(OSError), os.scandir(archives) as listing:
        for entry in listing:
            with suppress(OSError):
                newest = max(newest or 0, entry.stat(follow_symlinks=False).st_mtime_ns // 1_000_000)
    return newest


def sqlite_version() -> str:
    """The SQLite that Python was built with."""
    return sqlite3.sqlite_version
