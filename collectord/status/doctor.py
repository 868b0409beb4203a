"""The facts that health is judged from, gathered without ever failing on what they are about."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from collectord.config.schema import OFF
from collectord.errors import CollectordError
from collectord.index.files import examine_log, log_path
from collectord.index.info import PUSHED
from collectord.index.opening import now_ms, reader_for
from collectord.index.queries import names_there, newest_mtime_ms
from collectord.repair.backups import FOLDER, backups_in
from collectord.repo.files import in_flight
from collectord.repo.kernel_processes import KernelFinder
from collectord.status.health import Check, FolderFacts, HealthFacts, State, checks
from collectord.status.status import kernel_document, stale_workcells, status
from collectord.system.mounts import free_space, is_network_filesystem
from collectord.system.owner import foreign_in, name_of, owner_of

if TYPE_CHECKING:
    from collectord.config import Settings

T = TypeVar("T")
_INOTIFY = Path("/proc/sys/fs/inotify")


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


def newest_change_ms(archives: Path) -> int | None:
    """The youngest time of change of a directory in the archives folder, where no index tells it."""
    newest: int | None = None
    with suppress(OSError), os.scandir(archives) as listing:
        for entry in listing:
            with suppress(OSError):
                newest = max(newest or 0, entry.stat(follow_symlinks=False).st_mtime_ns // 1_000_000)
    return newest


@dataclass(frozen=True, slots=True)
class Examined:
    """`status` is the status document, None where the index cannot be read; `usage` bytes on disk by part."""

    checks: list[Check]
    status: dict[str, Any] | None
    usage: dict[str, int]


def examine(settings: Settings, *, walk: bool = True) -> Examined:
    """Looks at everything that can break; without `walk` the disk is not measured."""
    looks = _Looks()
    facts = _facts(settings, looks, walk=walk)
    times = {"backup_ms": facts.newest_backup_ms, "pushed_ms": facts.pushed_ms}
    found = {**facts.status, **times} if facts.status is not None else None
    return Examined([*looks.failed, *checks(facts)], found, dict(facts.usage))


class _Looks:
    """Takes looks that may fail; each failure is a finding and costs no other look."""

    def __init__(self) -> None:
        self.failed: list[Check] = []

    def at(self, what: str, look: Callable[[], T], otherwise: T) -> T:
        """What the look gives, or `otherwise`."""
        try:
            return look()
        except (OSError, CollectordError, ValueError) as error:
            advice = "check the rights of that path, or run as its owner"
            self.failed.append(Check(what, State.WATCH, f"could not be looked at: {error}", advice))
            return otherwise


def _facts(settings: Settings, looks: _Looks, *, walk: bool) -> HealthFacts:
    clock_ms, repo = now_ms(), settings.repo
    found, schema, error = _status(settings)
    backups: list[Path] = []
    backups = looks.at("backups", lambda: backups_in(settings.state_dir / FOLDER, clock_ms), backups)
    newest = looks.at(
        "backups", lambda: backups[0].stat().st_mtime_ns // 1_000_000 if backups else None, None
    )
    seen = looks.at("absence", lambda: _seen(settings, found is not None), _Seen())
    empty: dict[str, Any] = {"running": [], "hidden": [], "in_flight": 0}
    kernel = (found or {}).get("kernel") or looks.at("kernel", lambda: _kernel_now(settings), empty)
    unknown = FolderFacts("", False, False, False, False, False)
    return HealthFacts(
        archives=looks.at("archives folder", lambda: folder_facts(settings.archives_dir), unknown),
        state=looks.at("state folder", lambda: folder_facts(settings.state_dir), unknown),
        benches=looks.at("benches folder", lambda: folder_facts(settings.benches_dir), unknown),
        sqlite=sqlite3.sqlite_version,
        watch_limits=watch_limits(),
        clock_ms=clock_ms,
        newest_ms=seen.newest_ms,
        schema=schema,
        index_error=error,
        log_lost=looks.at("index", lambda: examine_log(log_path(settings.index_path)).lost, 0),
        status=found,
        stale_workcells=stale_workcells(repo, clock_ms),
        usage=looks.at("disk usage", lambda: _usage(settings), {}) if walk else {},
        backups=len(backups),
        newest_backup_ms=newest,
        kernel=kernel,
        disk=settings.disk_rules,
        owner=name_of(owner_of(repo)),
        foreign=looks.at("ownership", lambda: foreign_in(settings.state_dir, owner_of(repo)), ()),
        without_effect=looks.at("severities", lambda: _without_effect(settings), ()),
        known=seen.known,
        missing=seen.missing,
        backup_at=settings.config.backup.at,
        pushes=OFF not in (settings.config.fleet.url, settings.config.fleet.source),
        pushed_ms=looks.at("fleet", lambda: _pushed_ms(settings), None) if found is not None else None,
    )


def _pushed_ms(settings: Settings) -> int | None:
    with reader_for(settings) as reader:
        said = reader.info(PUSHED)
    return int(said) if said else None


def _without_effect(settings: Settings) -> tuple[str, ...]:
    if not settings.config.environment.severity and not settings.config.environment.ignore:
        return ()
    from collectord.epochs.requests import overrides_without_effect

    return overrides_without_effect(settings)


def _usage(settings: Settings) -> dict[str, int]:
    from collectord.status.disk_usage import measure

    found: dict[str, int] = measure(settings)["bytes"]
    return found


@dataclass(frozen=True, slots=True)
class _Seen:
    """Archives that the index holds to be there, how many of them are not, and when the youngest changed."""

    known: int | None = None
    missing: int | None = None
    newest_ms: int | None = None


def _seen(settings: Settings, has_index: bool) -> _Seen:
    if not has_index:
        return _Seen(newest_ms=newest_change_ms(settings.archives_dir))
    with reader_for(settings) as reader:
        known, newest_ms = names_there(reader), newest_mtime_ms(reader)
    if not settings.archives_dir.is_dir():
        return _Seen(newest_ms=newest_ms)
    return _Seen(len(known), len(known.difference(os.listdir(settings.archives_dir))), newest_ms)


def _kernel_now(settings: Settings) -> dict[str, Any]:
    """The kernels that run, where no index knows anything of them."""
    look = KernelFinder(settings.repo).look(now_ms())
    return kernel_document(look, [], len(in_flight(settings.repo)))


def _status(settings: Settings) -> tuple[dict[str, Any] | None, str | None, str | None]:
    """(status document, schema, error) of the index; nothing of all where there is none."""
    from collectord.index.schema import version_of

    if not settings.index_path.exists():
        return None, None, None
    try:
        return status(settings), version_of(settings.index_path), None
    except (CollectordError, OSError) as error:
        return None, None, str(error)
