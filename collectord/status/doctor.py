"""What breaks a service like this one: facts gathered and judged."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collectord.errors import CollectordError
from collectord.index.files import examine_log, log_path
from collectord.index.opening import now_ms
from collectord.repair.backups import FOLDER, backups_in
from collectord.repo.files import in_flight
from collectord.repo.kernel_processes import KernelFinder
from collectord.status.disk_usage import measure
from collectord.status.status import Life, hidden_words, kernel_document, stale_workcells, status
from collectord.system.mounts import free_space, is_network_filesystem

if TYPE_CHECKING:
    from collectord.config import Settings


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


OK, WARNING, ERROR = "ok", "warning", "error"
# https://sqlite.org/wal.html#walresetbug: concurrent checkpoints can corrupt the log before this version.
WAL_FIXED = (3, 51, 3)
LEAST_WATCHES, LEAST_INODES = 8192, 10_000
LEAST_FREE = 512 * 2**20
BACKUP_AGE_MS = 3 * 86_400_000
FUTURE_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `advice` is what to do, None where all is well."""

    check: str
    level: str
    said: str
    advice: str | None = None


def findings(facts: DoctorFacts) -> list[Check]:
    """Everything that was looked at, good and bad, in a fixed order."""
    parts = (
        *(_folders, _disk, _watch, _sqlite, _index, _backups, _clock, _daemon),
        *(_kernel, _labels, _times, _workcells),
    )
    return [finding for part in parts for finding in part(facts)]


def _folders(facts: DoctorFacts) -> Iterator[Check]:
    archives, state = facts.archives, facts.state
    if not archives.exists:
        yield Check("archives folder", WARNING, f"{archives.path} is not there", _ARCHIVES_MISSING)
    elif not archives.is_folder or not archives.readable:
        yield Check("archives folder", ERROR, f"{archives.path} cannot be read", "check its rights")
    else:
        yield Check("archives folder", OK, archives.path)
    if not state.writable:
        advice = "run as the user who owns it, or let that user write (ReadWritePaths= in a unit)"
        yield Check("state folder", ERROR, f"{state.path} cannot be written", advice)
    elif state.network:
        advice = "put it on a local disk (paths.state): locks and the log of SQLite do not hold there"
        yield Check("state folder", ERROR, f"{state.path} lies on a network file system", advice)
    elif state.mode is not None and state.mode & 0o077:
        yield Check("state folder", WARNING, f"others can enter {state.path}", f"chmod 700 {state.path}")
    else:
        yield Check("state folder", OK, state.path)


_ARCHIVES_MISSING = "is --repo a Cyntra repo, did a run ever finish? A daemon waits for it by itself"


def _disk(facts: DoctorFacts) -> Iterator[Check]:
    for name, folder in (("state", facts.state), ("benches", facts.benches)):
        yield _room(name, folder)


def _room(name: str, folder: FolderFacts) -> Check:
    check = f"disk of {name}"
    free, total, inodes = folder.free_bytes, folder.total_bytes, folder.free_inodes
    if free is None or total is None:
        return Check(check, WARNING, f"{folder.path}: its disk does not tell its size", "look at it with df")
    if free < max(min(LEAST_FREE, total // 10), total // 100):
        return Check(check, ERROR, f"{free >> 20} MiB free: writing pauses", "`collectord prune` makes room")
    if inodes is not None and inodes < LEAST_INODES:
        return Check(check, ERROR, f"{inodes} inodes free", "remove files; `collectord prune` helps")
    return Check(check, OK, f"{free >> 20} MiB free")


def _watch(facts: DoctorFacts) -> Iterator[Check]:
    watches = facts.watch_limits.get("max_user_watches")
    if facts.archives.network:
        yield Check("watching", OK, "the archives lie on a network file system and are polled")
    elif watches is not None and watches < LEAST_WATCHES:
        advice = "sysctl fs.inotify.max_user_watches=65536; until then the daemon may have to poll"
        yield Check("watching", WARNING, f"only {watches} watches for each user", advice)
    else:
        yield Check("watching", OK, f"{watches or 'unknown'} watches for each user")


def _sqlite(facts: DoctorFacts) -> Iterator[Check]:
    version = tuple(int(part) for part in facts.sqlite.split(".") if part.isdigit())
    if version >= WAL_FIXED:
        yield Check("SQLite", OK, facts.sqlite)
        return
    said = f"{facts.sqlite}: before 3.51.3 several writers that checkpoint at once can damage the log"
    yield Check("SQLite", OK, f"{said}; collectord has one writer, and its readers cannot checkpoint")


def _index(facts: DoctorFacts) -> Iterator[Check]:
    if facts.log_lost > 1:
        said = f"{facts.log_lost} transactions stand behind a damaged part of the log"
        yield Check("index", ERROR, said, "stop the daemon and run `collectord db recover`")
    elif facts.index_error is not None:
        yield Check("index", ERROR, facts.index_error, "where it is damaged, `collectord db recover`")
    elif facts.status is None:
        yield Check("index", WARNING, "there is none yet", "run `collectord ingest` or start the daemon")
    else:
        yield Check("index", OK, f"schema {facts.schema}; `collectord db check` looks closer")


def _backups(facts: DoctorFacts) -> Iterator[Check]:
    if facts.status is None:
        return
    if facts.newest_backup_ms is None:
        advice = "run `collectord db backup`: a pruned archive is only in the index"
        yield Check("backups", WARNING, "there is none", advice)
    elif facts.clock_ms - facts.newest_backup_ms > BACKUP_AGE_MS:
        days = (facts.clock_ms - facts.newest_backup_ms) // 86_400_000
        yield Check("backups", WARNING, f"the newest is {days} days old", "run `collectord db backup`")
    else:
        yield Check("backups", OK, f"{facts.backups}, the newest less than three days old")


def _clock(facts: DoctorFacts) -> Iterator[Check]:
    if facts.newest_ms is not None and facts.newest_ms - facts.clock_ms > FUTURE_MS:
        advice = "set the clock (timedatectl); nothing waits for it, but runs are dated by it"
        yield Check("clock", WARNING, "an archive was modified more than an hour in the future", advice)
    else:
        yield Check("clock", OK, "no archive is from the future")


_INSTALL = "`collectord service install` makes it start by itself; `collectord run` starts it here"
_LIVES = {
    Life.ALIVE: (OK, "alive", None),
    Life.STARTING: (OK, "starting", None),
    Life.NEVER: (WARNING, "never ran on this index", _INSTALL),
    Life.STOPPED: (WARNING, "stopped", _INSTALL),
    Life.SILENT: (ERROR, "runs, but has given no sign for too long", "look at its log, then restart it"),
    Life.DEAD: (ERROR, "dead: it went without a word", "look at its log (journalctl), then start it again"),
}


def _daemon(facts: DoctorFacts) -> Iterator[Check]:
    if facts.status is None:
        return
    life = str((facts.status.get("daemon") or {}).get("life", Life.NEVER))
    yield Check("daemon", *_LIVES[Life(life)])
    holder = facts.status.get("lock")
    if holder:
        yield Check("lock", OK, f"held by process {holder.get('pid', '?')} ({holder.get('command', '?')})")


_SEE_IT = (
    "run collectord as the user who runs the kernel, on the same machine; /proc must not be mounted with "
    "hidepid, and a unit must not have PrivateUsers=, PrivatePIDs= or ProcSubset=pid. Until then the "
    "environment of runs is told by what they show"
)


def _kernel(facts: DoctorFacts) -> Iterator[Check]:
    """Whether the kernel's process can be seen, and whether it has read what the files say."""
    running, hidden = facts.kernel["running"], facts.kernel["hidden"]
    for one in running:
        yield _process(one)
    if len(running) > 1:
        advice = "stop all but one: they take issues from each other, and what a run had is less certain"
        yield Check("kernel", WARNING, f"{len(running)} run at once on this repo", advice)
    if hidden:
        said = f"not visible: {hidden_words(hidden)} runs a kernel, and its folder may not be read"
        yield Check("kernel", WARNING, said, _SEE_IT)
    elif not running and facts.kernel["in_flight"] > len(facts.stale_workcells):
        said = f"not visible: {facts.kernel['in_flight']} in .workcells, and no process of a kernel is seen"
        yield Check("kernel", WARNING, said, _SEE_IT)
    elif not running:
        yield Check("kernel", OK, "none runs")


def _process(one: Mapping[str, Any]) -> Check:
    said = f"process {one['pid']}: {one['command']}"
    if one["wants_restart"]:
        advice = "restart `cyntra run`: the files were edited since, and nothing of it is in effect"
        return Check("kernel", WARNING, f"{said}, with an older configuration", advice)
    return Check("kernel", OK, said)


def _labels(facts: DoctorFacts) -> Iterator[Check]:
    if facts.status is None or not facts.status["runs"]:
        return
    runs, plans = facts.status["runs"], facts.status["plans"]
    if not plans:
        advice = "manifests without planner.executed_plan give no labels: set planner.mode to log"
        yield Check("labels", ERROR, f"none of {runs} runs has an executed plan", advice)
    elif plans < runs // 2:
        advice = "`collectord explain` says of each run why; was planner.mode off for a while?"
        yield Check("labels", WARNING, f"only {plans} of {runs} runs have an executed plan", advice)
    else:
        yield Check("labels", OK, f"{plans} of {runs} runs have an executed plan")


_CONFLICTS = {
    "completed_before_start": "were completed before they were dispatched",
    "shorter_than_duration": "were completed before their duration was over",
}


def _times(facts: DoctorFacts) -> Iterator[Check]:
    """Runs whose times contradict each other; a rebuilt history shows them from the later time on."""
    found = (facts.status or {}).get("time_conflicts", {})
    if found:
        said = ", ".join(f"{count} runs {_CONFLICTS.get(how, how)}" for how, count in found.items())
        advice = "a clock that was set, or times without a zone; histories may miss these runs, no more"
        yield Check("times", WARNING, said, advice)
    elif facts.status is not None and facts.status["runs"]:
        yield Check("times", OK, "of no run contradict each other")


def _workcells(facts: DoctorFacts) -> Iterator[Check]:
    if facts.stale_workcells:
        shown = ", ".join(facts.stale_workcells[:5])
        advice = "if no kernel works on them, `cyntra` or you may remove them; collectord never does"
        said = f"{len(facts.stale_workcells)} in .workcells unchanged for a day: {shown}"
        yield Check("workcells", WARNING, said, advice)
    else:
        yield Check("workcells", OK, "none is stale")


def examine(settings: Settings) -> tuple[list[Check], dict[str, int]]:
    """Findings, and bytes on disk by part."""
    facts = _facts(settings)
    return findings(facts), dict(facts.usage)


def _facts(settings: Settings) -> DoctorFacts:
    clock_ms, repo = now_ms(), settings.repo
    found, schema, error = _status(settings)
    backups = backups_in(settings.state_dir / FOLDER, clock_ms)
    return DoctorFacts(
        archives=folder_facts(settings.archives_dir),
        state=folder_facts(settings.state_dir),
        benches=folder_facts(settings.benches_dir),
        sqlite=sqlite_version(),
        watch_limits=watch_limits(),
        clock_ms=clock_ms,
        newest_ms=newest_change_ms(settings.archives_dir),
        schema=schema,
        index_error=error,
        log_lost=examine_log(log_path(settings.index_path)).lost,
        status=found,
        stale_workcells=stale_workcells(repo, clock_ms),
        usage=measure(settings)["bytes"],
        backups=len(backups),
        newest_backup_ms=backups[0].stat().st_mtime_ns // 1_000_000 if backups else None,
        kernel=(found or {}).get("kernel") or _kernel_now(settings),
    )


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
    except CollectordError as error:
        return None, None, str(error)
