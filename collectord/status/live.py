"""What `status --watch` shows, and what it costs: each part is looked at as often as it changes."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from collectord.errors import CollectordError
from collectord.index import queries
from collectord.index.opening import now_ms, reader_for
from collectord.index.reader import IndexReader
from collectord.index.sign_of_life import last_beat
from collectord.status.doctor import examine
from collectord.status.health import Check

if TYPE_CHECKING:
    from collectord.config import Settings

HOUR_MS = 3_600_000
HOURS = 24
RUNS = 10
# A look at everything takes a tenth of a second beside many archives: it gets half a percent of the time.
WHOLE_EVERY = 10.0
SHARE = 200.0


@dataclass(frozen=True, slots=True)
class Frame:
    """One moment; `status` is None without an index that can be read, and `error` then says why.

    `arrivals` counts runs by the hour of their dispatch, the newest last.
    """

    at_ms: int
    status: dict[str, Any] | None
    checks: tuple[Check, ...] = ()
    runs: Sequence[dict[str, Any]] = ()
    arrivals: Sequence[int] = ()
    error: str | None = None


@dataclass
class Watching:
    """Makes frames; the whole look is made every ten seconds, less often if it is slow; the rest always."""

    settings: Settings
    _whole: Frame | None = field(default=None, init=False)
    _next: float = field(default=float("-inf"), init=False)

    def frame(self, mono: float) -> Frame:
        """One frame; what cannot be read is said in it and raises nothing."""
        try:
            return self._frame(mono)
        except (CollectordError, OSError) as error:
            self._next = float("-inf")
            return Frame(now_ms(), None, error=str(error))

    def _frame(self, mono: float) -> Frame:
        at_ms = now_ms()
        if self._whole is None or mono >= self._next:
            begun = time.perf_counter()
            examined = examine(self.settings, walk=False)
            self._whole = Frame(at_ms, examined.status, tuple(examined.checks))
            self._next = mono + max(WHOLE_EVERY, SHARE * (time.perf_counter() - begun))
        whole = self._whole
        if whole.status is None:
            said = "no index yet: `collectord run` or `collectord ingest` makes one"
            return Frame(at_ms, None, whole.checks, error=said)
        with reader_for(self.settings) as reader:
            runs = queries.list_runs(reader, since_ms=None, wanted={}, limit=RUNS)
            status = {**whole.status, "daemon": _daemon(reader, whole.status)}
            return Frame(at_ms, status, whole.checks, runs, _arrivals(reader, at_ms))


def _daemon(reader: IndexReader, status: dict[str, Any]) -> dict[str, Any]:
    """The newest sign of life, under the life of the last whole look, and dead where its process is gone."""
    beat, before = last_beat(reader.connection), status["daemon"]
    if beat is None:
        return dict(before)
    found = {
        **before,
        **beat.state,
        "pid": beat.pid,
        "age_ms": now_ms() - beat.beat_ms,
        "beat_ms": beat.beat_ms,
    }
    if before.get("life") == "alive" and not _is_running(beat.pid):
        found["life"] = "stopped" if beat.stopped_ms is not None else "dead"
    return {**found, "stopped_ms": beat.stopped_ms}


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _arrivals(reader: IndexReader, at_ms: int) -> list[int]:
    since = at_ms - HOURS * HOUR_MS
    found = queries.dispatched_since(reader, since)
    hours = [0] * HOURS
    for started_ms in found:
        hours[min(HOURS - 1, (started_ms - since) // HOUR_MS)] += 1
    return hours


BARS = " ▁▂▃▄▅▆▇█"


def sparkline(counts: Sequence[int]) -> str:
    """A bar for each count, the tallest for the largest. Pure."""
    most = max(counts, default=0)
    return "".join(BARS[-(-count * (len(BARS) - 1) // most) if most else 0] for count in counts)
