"""Work once a day at a time of day: jobs of our own command line whose results the loop notes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from collectord.daemon.daemon_log import DaemonLog
from collectord.daemon.heartbeat import Clocks
from collectord.daemon.jobs import Job, JobResult, Jobs
from collectord.index.writer import IndexWriter

DAY_MS = 86_400_000
# A clock that was set anew is noticed after this long, and what failed is tried again.
LONGEST_WAIT_S = 3600.0
SHORTEST_WAIT_S = 1.0


def minute_of(time_of_day: str) -> int:
    """Minutes since midnight of `HH:MM`. Pure."""
    hours, minutes = time_of_day.split(":")
    return int(hours) * 60 + int(minutes)


def last_slot_ms(now_ms: int, minute: int) -> int:
    """The latest time at or before now that is so many minutes after a midnight, in UTC. Pure."""
    offset = minute * 60_000
    return (now_ms - offset) // DAY_MS * DAY_MS + offset


def is_due(done_ms: int | None, began_ms: int | None, now_ms: int, minute: int) -> bool:
    """Whether the work of the last slot was missed: not done since, and the index is older. Pure.

    A time of doing more than a day ahead comes from a clock that was wrong, and does not count.
    """
    slot = last_slot_ms(now_ms, minute)
    if began_ms is None or began_ms > slot:
        return False
    return done_ms is None or done_ms < slot or done_ms > now_ms + DAY_MS


def wait_s(now_ms: int, minute: int) -> float:
    """Seconds until the next look: the next slot, and never now or later than the longest wait. Pure."""
    left = (last_slot_ms(now_ms, minute) + DAY_MS - now_ms) / 1000
    return min(max(left, SHORTEST_WAIT_S), LONGEST_WAIT_S)


@dataclass
class Nightly:
    """A chore of the loop's thread; when its work was done last stands in the index.

    `arguments` are a command of ours whose exit codes `good` come with a document, which `done` takes on the
    loop's thread, unless `fault` says why it is of no work done. `info` reads a number of index_info. What
    failed is due again at the next look.
    """

    name: str
    minute: int
    arguments: tuple[str, ...]
    good: frozenset[int]
    done: Callable[[dict[str, Any]], None]
    jobs: Jobs
    clocks: Clocks
    writer: IndexWriter
    telling: DaemonLog
    info: Callable[[str], int | None]
    fault: Callable[[dict[str, Any]], str | None] = lambda _document: None
    _next: float = field(default=float("-inf"), init=False)

    def due_at(self) -> float:
        """The next look, which `run` always moves on: due for ever would be a loop without rest."""
        return self._next

    def run(self, mono: float) -> None:
        """Queue the work if its last slot was missed; once for however many were."""
        now_ms = self.clocks.wall_ms()
        self._next = mono + wait_s(now_ms, self.minute)
        if self.jobs.has(self.name):
            return
        if is_due(self.info(done_key(self.name)), self.info("first_ingest_ms"), now_ms, self.minute):
            job = Job(self.name, self.arguments, self._ended, self.good, self._is_done, tries=1)
            self.jobs.submit(job, mono)

    def _ended(self, result: JobResult) -> None:
        why = self._why_failed(result)
        if why is not None or result.document is None:
            self.telling.log.error("nightly.failed", job=self.name, exit_code=result.exit_code, said=why)
            return
        self.done(result.document)
        self.writer.set_info(done_key(self.name), str(self.clocks.wall_ms()))

    def _is_done(self, result: JobResult) -> bool:
        return self._why_failed(result) is None

    def _why_failed(self, result: JobResult) -> str | None:
        # An exit code that is good with a document is also that of ordinary errors, without one.
        if result.exit_code not in self.good or result.document is None:
            return result.said[-300:]
        return self.fault(result.document)


def done_key(name: str) -> str:
    """Where in index_info it stands when the work was done last."""
    return f"{name}_done_ms"
