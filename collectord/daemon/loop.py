"""The turn: what stirred, what is due, one transaction, a sign of life, and again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from collectord.daemon.applying import Applier
from collectord.daemon.beside import Beside
from collectord.daemon.chores import Chores
from collectord.daemon.clocks import Clocks
from collectord.daemon.disk import DiskGuard
from collectord.daemon.folder import Folder
from collectord.daemon.heart import Heart, Vitals
from collectord.daemon.jobs import Jobs
from collectord.daemon.signals import Signals
from collectord.daemon.tally import Tally
from collectord.daemon.telling import Telling
from collectord.errors import IndexBusy, IndexFull
from collectord.watch import Dirty, Watcher

BUSY_WAIT_S = 1.0


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that a turn uses.

    The first of `folders` is the one that the watcher watches. `demand_lock` raises if the state folder is
    no longer the one that was locked. Every `check_s` it is looked whether watch and disk are as they were.
    """

    clocks: Clocks
    telling: Telling
    signals: Signals
    watcher: Watcher
    folders: Sequence[Folder]
    beside: Beside
    applier: Applier
    tally: Tally
    disk: DiskGuard
    chores: Chores
    jobs: Jobs
    heart: Heart
    heartbeat_s: float
    check_s: float
    demand_lock: Callable[[], None]


class Loop:
    """One thread owns it, and with it the index."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._next_check = float("-inf")
        self._not_before = float("-inf")
        self._last_rescan_ms: int | None = None
        self._pause_told = False

    def run(self) -> None:
        """Turns until a stop or a reload is asked for."""
        signals = self._parts.signals
        while not signals.stopping and not signals.reload_asked:
            self.turn()

    def turn(self) -> None:
        """One turn: bounded in what it does, so that signals and signs of life wait for at most one."""
        parts = self._parts
        mono = parts.clocks.mono()
        if mono >= self._next_check:
            self._check(mono)
        dirty = parts.watcher.take(max(0.0, self._next_due() - mono))
        mono = parts.clocks.mono()
        parts.folders[0].intake.note(dirty.names, mono)
        parts.beside.note(dirty.files, mono)
        try:
            self._work(dirty, mono)
        except IndexFull:
            parts.disk.hit(parts.clocks.mono())
        except IndexBusy as error:
            parts.telling.repeated("index.busy", "", said=str(error))
            self._not_before = parts.clocks.mono() + BUSY_WAIT_S
        self._tell_pause(parts.clocks.mono())
        self._show_signs(parts.clocks.mono())

    def close(self, *, stopped: bool) -> None:
        """Stops what runs beside the loop; with `stopped` the last heartbeat says that it was orderly."""
        parts = self._parts
        parts.watcher.stop()
        if stopped:
            parts.jobs.stop()
            state = self.vitals().as_document(parts.heartbeat_s)
            parts.heart.beat(state, parts.applier.applied, stopped=True)

    def vitals(self) -> Vitals:
        """How it is now."""
        parts = self._parts
        mono = parts.clocks.mono()
        counts = [folder.counts() for folder in parts.folders]
        alarms = [folder.absences.alarm for folder in parts.folders]
        lags = [folder.lag_s(mono) for folder in parts.folders]
        return Vitals(
            pending=sum(pending for pending, _ in counts),
            stalled=sum(stuck for _, stuck in counts),
            checking=sum(folder.intake.doubtful for folder in parts.folders),
            lag_ms=int(1000 * max(lags)),
            last_rescan_ms=self._last_rescan_ms,
            vanished=parts.tally.total,
            paused=parts.disk.reason(mono),
            degraded=(
                *parts.watcher.degraded,
                *(alarm for alarm in alarms if alarm),
                *parts.chores.failing,
                *parts.jobs.failing,
            ),
            watching="polling" if parts.watcher.polling else "events",
            job=parts.jobs.running,
        )

    def _check(self, mono: float) -> None:
        """What is looked after again and again."""
        parts = self._parts
        self._next_check = mono + parts.check_s
        parts.demand_lock()
        parts.disk.check()
        parts.telling.watch_notes(parts.watcher.check())

    def _work(self, dirty: Dirty, mono: float) -> None:
        parts = self._parts
        may_write = self._may_write(mono)
        if dirty.rescan:
            # In this order, so that what an archive is joined with is known with it.
            self._rescan(mono, may_write)
        if not may_write:
            return
        before = parts.applier.applied
        wrote = parts.beside.next_due() <= mono
        parts.beside.read_due(mono)
        for folder in parts.folders:
            folder.work(mono, lambda: parts.signals.stopping)
        parts.tally.keep()
        if wrote or parts.applier.applied != before:
            parts.disk.wrote()
        parts.jobs.poll(mono)
        parts.chores.run_due(mono)

    def _rescan(self, mono: float, may_write: bool) -> None:
        parts = self._parts
        good = [folder.rescan(mono, may_write=may_write) for folder in parts.folders]
        if good[0]:
            self._last_rescan_ms = parts.clocks.wall_ms()

    def _may_write(self, mono: float) -> bool:
        return mono >= self._not_before and self._parts.disk.reason(mono) is None

    def _next_due(self) -> float:
        parts = self._parts
        mono = parts.clocks.mono()
        planned = [self._next_check, parts.heart.next_due()]
        if self._may_write(mono):
            planned += [parts.beside.next_due(), parts.chores.next_due()]
            planned += [due for folder in parts.folders if (due := folder.next_due()) is not None]
        return min(planned)

    def _tell_pause(self, mono: float) -> None:
        reason = self._parts.disk.reason(mono)
        log = self._parts.telling.log
        if reason and not self._pause_told:
            log.error("disk.low", reason=reason, doing="nothing is written until there is room again")
            self._pause_told = True
        elif self._pause_told and not reason and self._parts.disk.is_proven:
            log.info("disk.resumed")
            self._pause_told = False

    def _show_signs(self, mono: float) -> None:
        parts = self._parts
        if parts.heart.is_due(mono):
            parts.heart.show(self.vitals(), parts.heartbeat_s, parts.applier.applied, mono)
