"""The clocks of the loop, and its signs of life: a row in the index, a message to systemd."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from collectord.daemon.daemon_log import DaemonLog
from collectord.errors import IndexBusy, IndexFull
from collectord.index.info import put_info
from collectord.index.sign_of_life import Heartbeat, beat
from collectord.index.writer import IndexWriter
from collectord.status.health import State, in_a_line, of_daemon
from collectord.system.notify import Notifier, watchdog_interval_s


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Clocks:
    """`mono` in seconds decides; `wall_ms`, UTC epoch milliseconds, only names a time for people."""

    mono: Callable[[], float] = time.monotonic
    wall_ms: Callable[[], int] = _wall_ms


_STATUS_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Vitals:
    """How the daemon is at one moment, as `collectord status` shows it.

    `pending` archives are not accepted yet: `settling` ones are followed, `stalled` ones stand still and
    yet cannot be taken; `waiting` names the first of them, with since when and for what. `checking` are
    known ones that wait for a look after the start. `lag_ms` is by how much the oldest due look is late.
    """

    pending: int
    stalled: int
    checking: int
    lag_ms: int
    last_rescan_ms: int | None
    vanished: int
    paused: str | None
    degraded: tuple[str, ...]
    watching: str
    job: str | None
    waiting: tuple[dict[str, Any], ...] = ()

    def as_document(self, interval_s: float) -> dict[str, Any]:
        """The state of a heartbeat; `interval_ms` says how often one comes."""
        return {
            "pending": self.pending,
            "settling": self.pending - self.stalled,
            "stalled": self.stalled,
            "checking": self.checking,
            "lag_ms": self.lag_ms,
            "last_rescan_ms": self.last_rescan_ms,
            "vanished": self.vanished,
            "paused": self.paused,
            "degraded": list(self.degraded),
            "watching": self.watching,
            "interval_ms": int(interval_s * 1000),
            "job": self.job,
            "waiting": list(self.waiting),
        }

    def as_sentence(self) -> str:
        """One line for `systemctl status`."""
        checking = f", {self.checking} to be checked" if self.checking else ""
        bad = [check for check in of_daemon(self.as_document(0.0)) if check.state is not State.GOOD]
        said = f"; {in_a_line(bad)}" if bad else ""
        stalled = f", {self.stalled} stalled" if self.stalled else ""
        return f"{self.pending} pending{stalled}{checking}, {self.watching}{said}"


class HeartbeatWriter:
    """Owned by the loop's thread."""

    def __init__(
        self,
        writer: IndexWriter,
        notifier: Notifier,
        clocks: Clocks,
        journal: DaemonLog,
        environ: Mapping[str, str],
    ) -> None:
        self._writer, self._notifier, self._clocks, self._journal = writer, notifier, clocks, journal
        self._started_ms = clocks.wall_ms()
        self._watchdog_s = watchdog_interval_s(environ, os.getpid())
        self._next_beat = self._next_watchdog = self._next_status = float("-inf")
        self._applied = 0

    def next_due(self) -> float:
        """When the next sign is due; monotonic seconds."""
        watchdog = float("inf") if self._watchdog_s is None else self._next_watchdog
        return min(self._next_beat, watchdog)

    def is_due(self, mono: float) -> bool:
        """Whether it is worth taking the vitals."""
        return mono >= self.next_due() or (self._notifier.listening and mono >= self._next_status)

    def show(self, vitals: Vitals, interval_s: float, applied: int, mono: float) -> None:
        """Gives the signs that are due. `applied` is how many changes were written since the start."""
        if self._watchdog_s is not None and mono >= self._next_watchdog:
            self._next_watchdog = mono + self._watchdog_s
            self._notifier.watchdog()
        if self._notifier.listening and mono >= self._next_status:
            self._next_status = mono + _STATUS_EVERY_S
            self._notifier.status(vitals.as_sentence())
        if mono >= self._next_beat:
            self._next_beat = mono + interval_s
            self.beat(vitals.as_document(interval_s), applied)

    def beat(self, state: dict[str, Any], applied: int, *, stopped: bool = False) -> None:
        """Writes the heartbeat row; one that finds no room is left out, which `status` notices."""
        now = self._clocks.wall_ms()
        row = Heartbeat(os.getpid(), self._started_ms, now, now if stopped else None, state)
        try:
            with self._writer.transaction() as connection:
                beat(connection, row)
                if applied != self._applied:
                    put_info(connection, "last_ingest_ms", str(now))
        except (IndexFull, IndexBusy) as error:
            self._journal.repeated("heartbeat.failed", type(error).__name__, said=str(error))
        else:
            self._applied = applied


VANISHED = "vanished"  # where in index_info the count stands


class VanishedCount:
    """Owned by the loop's thread."""

    def __init__(self, writer: IndexWriter, journal: DaemonLog) -> None:
        self._writer, self._journal = writer, journal
        self.total = int(writer.info(VANISHED) or 0)
        self._stored = self.total

    def add(self, name: str) -> None:
        """One more."""
        self.total += 1
        self._journal.vanished(name, self.total)

    def store(self) -> None:
        """Writes the total if it changed."""
        if self.total != self._stored:
            self._writer.set_info(VANISHED, str(self.total))
            self._stored = self.total
