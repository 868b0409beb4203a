"""The turn: what changed, what is due, one transaction, a sign of life, and again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from collectord.daemon.daemon_log import DaemonLog
from collectord.daemon.disk_guard import DiskGuard
from collectord.daemon.heartbeat import Clocks, HeartbeatWriter, VanishedCount, Vitals
from collectord.daemon.jobs import Jobs
from collectord.daemon.schedule import Schedule
from collectord.daemon.sidecar_files import SidecarFiles
from collectord.daemon.signals import Signals
from collectord.errors import IndexBusy, IndexFull
from collectord.intake.commit import Committer
from collectord.intake.folder import Folder
from collectord.system.names import readable_name
from collectord.watch import Dirty, Watcher

BUSY_WAIT_S = 1.0
MAX_WAITING = 20  # as many are named in a heartbeat


@dataclass(frozen=True, slots=True)
class Components:
    """Everything that a turn uses.

    The first of `folders` is the one that the watcher watches. `demand_lock` raises if the state folder is
    no longer the one that was locked. Every `check_s` it is looked whether watch and disk are as they were.
    """

    clocks: Clocks
    journal: DaemonLog
    signals: Signals
    watcher: Watcher
    folders: Sequence[Folder]
    beside: SidecarFiles
    applier: Committer
    tally: VanishedCount
    disk: DiskGuard
    chores: Schedule
    jobs: Jobs
    heart: HeartbeatWriter
    heartbeat_s: float
    check_s: float
    demand_lock: Callable[[], None]


class Loop:
    """One thread owns it, and with it the index."""

    def __init__(self, components: Components) -> None:
        self._components = components
        self._next_check = float("-inf")
        self._not_before = float("-inf")
        self._last_rescan_ms: int | None = None
        self._pause_logged = False
        self._stalled_logged: set[str] = set()

    def run(self) -> None:
        """Turns until a stop or a reload is asked for."""
        signals = self._components.signals
        while not signals.stopping and not signals.reload_asked:
            self.turn()

    def turn(self) -> None:
        """One turn: bounded in what it does, so that signals and signs of life wait for at most one."""
        components = self._components
        mono = components.clocks.mono()
        if mono >= self._next_check:
            self._check(mono)
        dirty = components.watcher.take(max(0.0, self._next_due() - mono))
        mono = components.clocks.mono()
        components.folders[0].intake.note(dirty.names, mono)
        components.beside.note(dirty.files, mono)
        try:
            self._work(dirty, mono)
        except IndexFull:
            components.disk.hit(components.clocks.mono())
        except IndexBusy as error:
            components.journal.repeated("index.busy", "", said=str(error))
            self._not_before = components.clocks.mono() + BUSY_WAIT_S
        self._log_pause(components.clocks.mono())
        self._show_signs(components.clocks.mono())

    def close(self, *, stopped: bool) -> None:
        """Stops what runs beside the loop; with `stopped` the last heartbeat says that it was orderly."""
        components = self._components
        components.watcher.stop()
        if stopped:
            components.jobs.stop()
            state = self.vitals().as_document(components.heartbeat_s)
            components.heart.beat(state, components.applier.applied, stopped=True)

    def vitals(self) -> Vitals:
        """How it is now."""
        components = self._components
        mono = components.clocks.mono()
        counts = [folder.counts() for folder in components.folders]
        alarms = [folder.absences.alarm for folder in components.folders]
        lags = [folder.lag_s(mono) for folder in components.folders]
        return Vitals(
            pending=sum(pending for pending, _ in counts),
            stalled=sum(stuck for _, stuck in counts),
            checking=sum(folder.intake.doubtful for folder in components.folders),
            lag_ms=int(1000 * max(lags)),
            last_rescan_ms=self._last_rescan_ms,
            vanished=components.tally.total,
            paused=components.disk.reason(mono),
            degraded=(
                *components.watcher.degraded,
                *(alarm for alarm in alarms if alarm),
                *components.chores.failing,
                *components.jobs.failing,
            ),
            watching="polling" if components.watcher.polling else "events",
            job=components.jobs.running,
            waiting=self._waiting(mono),
        )

    def _waiting(self, mono: float) -> tuple[dict[str, Any], ...]:
        """The archives of the first folder that wait; each that stands still is logged once."""
        found = self._components.folders[0].waiting()
        now_ms = self._components.clocks.wall_ms()
        stalled = {one.name: one for one in found if one.is_stalled}
        for name in stalled.keys() - self._stalled_logged:
            self._components.journal.stalled(name, stalled[name].waits_for)
        self._stalled_logged = set(stalled)
        return tuple(
            {
                "name": readable_name(one.name),
                "since_ms": now_ms - int(1000 * (mono - one.since)),
                "stalled": one.is_stalled,
                "waits_for": one.waits_for,
            }
            for one in found[:MAX_WAITING]
        )

    def _check(self, mono: float) -> None:
        """What is looked after again and again."""
        components = self._components
        self._next_check = mono + components.check_s
        components.demand_lock()
        components.disk.check()
        components.journal.watch_notes(components.watcher.check())

    def _work(self, dirty: Dirty, mono: float) -> None:
        components = self._components
        may_write = self._may_write(mono)
        if dirty.rescan:
            # In this order, so that what an archive is joined with is known with it.
            self._rescan(mono, may_write)
        if not may_write:
            return
        before = components.applier.applied
        wrote = components.beside.next_due() <= mono
        components.beside.read_due(mono)
        for folder in components.folders:
            folder.work(mono, lambda: components.signals.stopping)
        components.tally.store()
        components.journal.backlog(sum(len(folder.intake.pending) for folder in components.folders))
        if wrote or components.applier.applied != before:
            components.disk.wrote()
        components.jobs.poll(mono)
        components.chores.run_due(mono)

    def _rescan(self, mono: float, may_write: bool) -> None:
        components = self._components
        scans = [folder.rescan(mono, may_write=may_write) for folder in components.folders]
        if scans[0] is not None and scans[0].is_healthy:
            self._last_rescan_ms = components.clocks.wall_ms()

    def _may_write(self, mono: float) -> bool:
        return mono >= self._not_before and self._components.disk.reason(mono) is None

    def _next_due(self) -> float:
        components = self._components
        mono = components.clocks.mono()
        planned = [self._next_check, components.heart.next_due()]
        if self._may_write(mono):
            planned += [components.beside.next_due(), components.chores.next_due()]
            planned += [due for folder in components.folders if (due := folder.next_due()) is not None]
        return min(planned)

    def _log_pause(self, mono: float) -> None:
        reason = self._components.disk.reason(mono)
        log = self._components.journal.log
        if reason and not self._pause_logged:
            log.error("disk.low", reason=reason, doing="nothing is written until there is room again")
            self._pause_logged = True
        elif self._pause_logged and not reason and self._components.disk.is_proven:
            log.info("disk.resumed")
            self._pause_logged = False

    def _show_signs(self, mono: float) -> None:
        components = self._components
        if components.heart.is_due(mono):
            components.heart.show(self.vitals(), components.heartbeat_s, components.applier.applied, mono)
