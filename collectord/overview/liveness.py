"""Is the daemon alive? Pure: a green answer wants a fresh sign of life and a lock that is held."""

from __future__ import annotations

from enum import StrEnum

from collectord.fs import Holder
from collectord.index.sign_of_life import Heartbeat

DAEMON = "collectord run"
INTERVALS = 3
_DEFAULT_INTERVAL_MS = 10_000


class Life(StrEnum):
    """SILENT holds the lock and has not given a sign for too long; DEAD went without a word."""

    NEVER = "never"
    STARTING = "starting"
    ALIVE = "alive"
    SILENT = "silent"
    STOPPED = "stopped"
    DEAD = "dead"


def life_of(beat: Heartbeat | None, holder: Holder | None, now_ms: int) -> Life:
    """How the daemon lives, by its last sign of life and by who holds the state lock now.

    Fresh is a sign of at most three of its intervals ago, or as far in the future after a step of the clock.
    """
    runs = holder is not None and holder.get("command", DAEMON) == DAEMON
    if beat is None:
        return Life.STARTING if runs else Life.NEVER
    if holder is None or not runs:
        return Life.DEAD if beat.stopped_ms is None else Life.STOPPED
    if beat.stopped_ms is not None or holder.get("pid", beat.pid) != beat.pid:
        return Life.STARTING
    return Life.ALIVE if abs(now_ms - beat.beat_ms) <= INTERVALS * _interval_ms(beat) else Life.SILENT


def _interval_ms(beat: Heartbeat) -> int:
    interval = beat.state.get("interval_ms")
    return interval if isinstance(interval, int) else _DEFAULT_INTERVAL_MS
