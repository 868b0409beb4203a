"""Builds the parts of the loop from the settings; nothing else does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from collectord.archive import ArchiveRoot
from collectord.config import Settings
from collectord.daemon.applying import Applier
from collectord.daemon.beside import FILES, Beside
from collectord.daemon.chores import Chore, Chores
from collectord.daemon.clocks import Clocks
from collectord.daemon.disk import FIRST_WAIT_S, DiskGuard
from collectord.daemon.environment import EnvironmentChore
from collectord.daemon.folder import Folder
from collectord.daemon.heart import Heart
from collectord.daemon.jobs import Jobs
from collectord.daemon.keeping import Hands, is_pruning, storage_chores
from collectord.daemon.loop import Parts
from collectord.daemon.places import WORLDS, NoEvents, Place, rules_of
from collectord.daemon.pressure import SMALL_DISK_SHARE, DiskRules
from collectord.daemon.signals import Signals
from collectord.daemon.tally import Tally
from collectord.daemon.telling import Telling
from collectord.daemon.weekly import WeeklyAudit
from collectord.errors import CollectordError
from collectord.fs import StateLock, is_network_filesystem
from collectord.index.reader import IndexReader
from collectord.index.writer import IndexWriter
from collectord.model import ARCHIVE, WORLD
from collectord.watch import Watcher

CHECK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Lasting:
    """What stays for the life of the process, through every reload of the configuration."""

    lock: StateLock
    writer: IndexWriter
    clocks: Clocks
    telling: Telling
    signals: Signals
    heart: Heart
    jobs: Jobs
    applier: Applier
    tally: Tally


def wire(settings: Settings, lasting: Lasting) -> Parts:
    """The parts of a loop under these settings."""
    watcher = _watcher(settings)
    folders = _folders(settings, lasting, watcher)
    return Parts(
        clocks=lasting.clocks,
        telling=lasting.telling,
        signals=lasting.signals,
        watcher=watcher,
        folders=folders,
        beside=Beside(
            lasting.writer, settings.repo, lasting.telling, lasting.clocks.mono, lasting.clocks.wall_ms
        ),
        applier=lasting.applier,
        tally=lasting.tally,
        disk=DiskGuard(settings.state_dir, _disk_rules(settings), _quick(settings, FIRST_WAIT_S, 4)),
        chores=Chores(chores_of(settings, lasting, watcher), lasting.telling.chore_failed),
        jobs=lasting.jobs,
        heart=lasting.heart,
        heartbeat_s=settings.config.daemon.heartbeat_interval,
        check_s=_quick(settings, CHECK_EVERY_S, 1),
        demand_lock=lambda: _demand_lock(settings, lasting.lock),
    )


def chores_of(settings: Settings, lasting: Lasting, watcher: Watcher) -> Sequence[Chore]:
    """Every chore of the daemon, in the order in which they run when several are due."""
    return (
        EnvironmentChore(
            settings, lasting.writer, lasting.jobs, lasting.applier, lasting.telling, lasting.clocks.wall_ms
        ),
        _weekly_audit(settings, lasting),
        *storage_chores(
            settings,
            Hands(lasting.writer, lasting.applier, lasting.jobs, lasting.clocks, lasting.telling),
        ),
    )


def _weekly_audit(settings: Settings, lasting: Lasting) -> WeeklyAudit:
    config, log = settings.config.audit, lasting.telling.log
    return WeeklyAudit(
        repo=settings.repo,
        weekday=config.weekly,
        hour=config.hour,
        jobs=lasting.jobs,
        clocks=lasting.clocks,
        began_ms=lambda: _began_ms(settings),
        info=log.info,
        warning=log.warning,
    )


def _began_ms(settings: Settings) -> int | None:
    # Read beside the writer, as any reader does: it must not wait for a lock that another process holds.
    with IndexReader(settings.index_path) as reader:
        found = reader.info("first_ingest_ms")
    return int(found) if found else None


def _watcher(settings: Settings) -> Watcher:
    config = settings.config.watch
    return Watcher(
        settings.archives_dir,
        files=[settings.repo / file for file in FILES],
        mode=config.mode,
        poll_interval=config.poll_interval,
        is_network=is_network_filesystem,
    )


def _folders(settings: Settings, lasting: Lasting, watcher: Watcher) -> list[Folder]:
    worlds = settings.repo / WORLDS
    ignore = frozenset(settings.config.watch.ignore)
    places = (
        Place(
            ARCHIVE,
            settings.archives_dir,
            ignore,
            watcher,
            lambda root: watcher.evidence(root.device, root.inode),
        ),
        Place(WORLD, worlds, frozenset(), NoEvents(), _identity),
    )
    folders = [
        Folder(
            place,
            rules_of(settings),
            lasting.writer,
            lasting.applier,
            lasting.telling,
            lasting.tally.add,
            lasting.clocks.mono,
        )
        for place in places
    ]
    folders[0].absences.held = lambda: is_pruning(settings, lasting.jobs)
    return folders


def _identity(root: ArchiveRoot) -> tuple[int, int] | None:
    """The identity of a folder that nobody watches: it counts while its path leads to it."""
    return (root.device, root.inode) if root.is_current() else None


def _quick(settings: Settings, usual_s: float, scans: int) -> float:
    """Who scans every few hundred milliseconds also wants to know as soon that there is room again."""
    return min(usual_s, scans * settings.config.watch.poll_interval)


def _disk_rules(settings: Settings) -> DiskRules:
    config = settings.config.disk
    # What somebody wrote down counts as it is; the default would be most of a small disk.
    is_default = settings.sources["disk.min_free_bytes"] == "default"
    share = SMALL_DISK_SHARE if is_default else math.inf
    return DiskRules(config.min_free_percent, config.min_free_bytes, share)


def _demand_lock(settings: Settings, lock: StateLock) -> None:
    if not lock.is_at(settings.lock_path):
        raise CollectordError(
            f"{settings.state_dir}: the state folder was removed or replaced under the daemon, which could "
            "only write where nobody finds it; start it again"
        )
