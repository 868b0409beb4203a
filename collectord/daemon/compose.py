"""Builds the components of the loop from the settings; nothing else does."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

from collectord.archive import ArchiveRoot
from collectord.config import Settings
from collectord.daemon.daemon_log import CROWD, DaemonLog
from collectord.daemon.disk_guard import FIRST_WAIT_S, DiskGuard
from collectord.daemon.environment import EnvironmentTask
from collectord.daemon.heartbeat import Clocks, HeartbeatWriter, VanishedCount
from collectord.daemon.jobs import Jobs
from collectord.daemon.loop import Components
from collectord.daemon.maintenance import TaskContext, fleet_chores, is_pruning, storage_chores, weekly_report
from collectord.daemon.schedule import Schedule, ScheduledTask
from collectord.daemon.sidecar_files import FILES, SidecarFiles
from collectord.daemon.signals import Signals
from collectord.errors import CollectordError
from collectord.index.writer import IndexWriter, KnownKey
from collectord.intake.commit import Committer
from collectord.intake.folder import Folder
from collectord.intake.queue import NoEvents, WatchedFolder, rules_of
from collectord.model import ARCHIVE, WORLD, WORLD_RUNS
from collectord.system.lock import StateLock
from collectord.system.mounts import is_network_filesystem
from collectord.watch import Wakeup, Watcher

CHECK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class ProcessState:
    """What stays for the life of the process, through every reload of the configuration."""

    lock: StateLock
    writer: IndexWriter
    clocks: Clocks
    journal: DaemonLog
    signals: Signals
    wakeup: Wakeup
    heart: HeartbeatWriter
    jobs: Jobs
    applier: Committer
    tally: VanishedCount


def wire(settings: Settings, process_state: ProcessState) -> Components:
    """The components of a loop under these settings."""
    watcher = _watcher(settings, process_state.wakeup)
    folders = _folders(settings, process_state, watcher)
    return Components(
        clocks=process_state.clocks,
        journal=process_state.journal,
        signals=process_state.signals,
        watcher=watcher,
        folders=folders,
        beside=SidecarFiles(
            process_state.writer,
            settings.repo,
            process_state.journal,
            process_state.clocks.mono,
            process_state.clocks.wall_ms,
        ),
        applier=process_state.applier,
        tally=process_state.tally,
        disk=DiskGuard(settings.state_dir, settings.disk_rules, _quick(settings, FIRST_WAIT_S, 4)),
        chores=Schedule(chores_of(settings, process_state, folders), process_state.journal.chore_failed),
        jobs=process_state.jobs,
        heart=process_state.heart,
        heartbeat_s=settings.config.daemon.heartbeat_interval,
        check_s=_quick(settings, CHECK_EVERY_S, 1),
        demand_lock=lambda: _demand_lock(settings, process_state.lock),
    )


def chores_of(
    settings: Settings, process_state: ProcessState, folders: Sequence[Folder]
) -> Sequence[ScheduledTask]:
    """Every chore of the daemon, in the order in which they run when several are due."""
    context = TaskContext(
        process_state.writer,
        process_state.applier,
        process_state.jobs,
        process_state.clocks,
        process_state.journal,
    )
    return (
        EnvironmentTask(
            settings,
            process_state.writer,
            process_state.jobs,
            process_state.applier,
            process_state.journal,
            process_state.clocks.wall_ms,
            _Folders(folders, process_state.clocks.mono),
        ),
        *weekly_report(settings, context),
        *storage_chores(settings, context),
        *fleet_chores(settings, context),
    )


@dataclass(frozen=True, slots=True)
class _Folders:
    folders: Sequence[Folder]
    mono: Callable[[], float]

    def look_again(self, keys: Collection[KnownKey]) -> None:
        """Look at these directories soon."""
        for folder in self.folders:
            folder.intake.note([name for kind, name in keys if kind == folder.place.kind], self.mono())

    def accept_gone(self) -> None:
        """Believe that what the next scan misses is gone."""
        for folder in self.folders:
            folder.absences.accept()

    def are_crowded(self) -> bool:
        """Whether so much waits to be read that all else can wait."""
        return sum(len(folder.intake.pending) for folder in self.folders) > CROWD


def _watcher(settings: Settings, wakeup: Wakeup) -> Watcher:
    config = settings.config.watch
    return Watcher(
        settings.archives_dir,
        wakeup,
        files=[settings.repo / file for file in FILES],
        mode=config.mode,
        poll_interval=config.poll_interval,
        is_network=is_network_filesystem,
    )


def _folders(settings: Settings, process_state: ProcessState, watcher: Watcher) -> list[Folder]:
    worlds = settings.repo / WORLD_RUNS
    ignore = frozenset(settings.config.watch.ignore)
    places = (
        WatchedFolder(
            ARCHIVE,
            settings.archives_dir,
            ignore,
            watcher,
            lambda root: watcher.evidence(root.device, root.inode),
        ),
        WatchedFolder(WORLD, worlds, frozenset(), NoEvents(), _identity),
    )
    return [
        Folder(
            place,
            rules_of(settings),
            process_state.writer,
            process_state.applier,
            process_state.journal,
            process_state.tally.add,
            process_state.clocks.mono,
            wall_s=lambda: process_state.clocks.wall_ms() / 1000,
            held=partial(_is_held, settings, process_state.jobs, place.kind),
        )
        for place in places
    ]


def _is_held(settings: Settings, jobs: Jobs, kind: str) -> bool:
    """Whether what is missing may be away by our own hand: only archives are pruned."""
    return kind == ARCHIVE and is_pruning(settings, jobs)


def _identity(root: ArchiveRoot) -> tuple[int, int] | None:
    """The identity of a folder that nobody watches: it counts while its path leads to it."""
    return (root.device, root.inode) if root.is_current() else None


def _quick(settings: Settings, usual_s: float, scans: int) -> float:
    """Who scans every few hundred milliseconds also wants to know as soon that there is room again."""
    return min(usual_s, scans * settings.config.watch.poll_interval)


def _demand_lock(settings: Settings, lock: StateLock) -> None:
    if not lock.is_at(settings.lock_path):
        raise CollectordError(
            f"{settings.state_dir}: the state folder was removed or replaced under the daemon, which could "
            "only write where nobody finds it; start it again"
        )
