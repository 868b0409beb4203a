"""Work that comes due by itself: jobs of our own command line once a day or week."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from collectord.daemon.daemon_log import DaemonLog
from collectord.daemon.heartbeat import Clocks
from collectord.daemon.jobs import Job, JobResult, Jobs
from collectord.errors import INDEX_FAULTS, extra_missing
from collectord.model import REPORTS
from collectord.system.durable import atomic_write, permitted

FIRST_WAIT_S, LONGEST_WAIT_S = 60.0, 3600.0


class ScheduledTask(Protocol):
    """Work that comes due by itself; runs on the loop's thread and is brief."""

    name: str

    def due_at(self) -> float:
        """Monotonic seconds; inf where nothing is planned."""

    def run(self, mono: float) -> None:
        """Do what is due. What it raises is told, and it is tried again with backoff."""


Failed = Callable[[str, Exception, float], None]


class Schedule:
    """Runs chores when they are due. One that fails waits, longer each time, and holds up no other."""

    def __init__(self, chores: Sequence[ScheduledTask], failed: Failed) -> None:
        self._chores = list(chores)
        self._failed = failed
        self._wait: dict[str, float] = {}
        self._not_before: dict[str, float] = {}

    @property
    def failing(self) -> tuple[str, ...]:
        """A sentence for each chore that failed when it was run last."""
        return tuple(
            f"the chore {name} failed and is tried again: the log says why" for name in self._not_before
        )

    def next_due(self) -> float:
        """Monotonic seconds of the next chore; inf without one."""
        return min((self._due_at(chore) for chore in self._chores), default=math.inf)

    def run_due(self, mono: float) -> None:
        """Runs each chore that is due, once."""
        for chore in self._chores:
            if self._due_at(chore) <= mono:
                self._run(chore, mono)

    def _due_at(self, chore: ScheduledTask) -> float:
        return max(chore.due_at(), self._not_before.get(chore.name, -math.inf))

    def _run(self, chore: ScheduledTask, mono: float) -> None:
        try:
            chore.run(mono)
        except INDEX_FAULTS:
            raise
        except Exception as error:
            wait = min(2 * self._wait.get(chore.name, FIRST_WAIT_S / 2), LONGEST_WAIT_S)
            self._wait[chore.name] = wait
            self._not_before[chore.name] = mono + wait
            self._failed(chore.name, error, wait)
        else:
            self._wait.pop(chore.name, None)
            self._not_before.pop(chore.name, None)


DAY_MS = 86_400_000
# A clock that was set anew is noticed after this long, and what failed is tried again.
LONGEST_SLEEP_S = 3600.0
SHORTEST_WAIT_S = 1.0
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_EPOCH_DAY = DAYS.index("thursday")  # 1970-01-01


@dataclass(frozen=True, slots=True)
class Slot:
    """A time that comes round, in UTC: so many milliseconds after the epoch, and every so many."""

    offset_ms: int
    period_ms: int

    def last_ms(self, now_ms: int) -> int:
        """The latest one at or before now. Pure."""
        return (now_ms - self.offset_ms) // self.period_ms * self.period_ms + self.offset_ms


def daily(time_of_day: str) -> Slot:
    """Every day at `HH:MM`."""
    hours, minutes = time_of_day.split(":")
    return Slot((int(hours) * 60 + int(minutes)) * 60_000, DAY_MS)


def weekly(weekday: str, hour: int) -> Slot:
    """Every week on that day at that hour."""
    return Slot((DAYS.index(weekday) - _EPOCH_DAY) % 7 * DAY_MS + hour * 3_600_000, 7 * DAY_MS)


def is_due(done_ms: int | None, began_ms: int | None, now_ms: int, slot: Slot) -> bool:
    """Whether the work of the last slot was missed: not done since, and the index is older. Pure.

    A time of doing more than a day ahead comes from a clock that was wrong, and does not count.
    """
    last = slot.last_ms(now_ms)
    if began_ms is None or began_ms > last:
        return False
    return done_ms is None or done_ms < last or done_ms > now_ms + DAY_MS


def wait_s(now_ms: int, slot: Slot) -> float:
    """Seconds until the next look: the next slot, and never now or later than the longest wait. Pure."""
    left = (slot.last_ms(now_ms) + slot.period_ms - now_ms) / 1000
    return min(max(left, SHORTEST_WAIT_S), LONGEST_SLEEP_S)


@dataclass(frozen=True, slots=True)
class Work:
    """What is done in each slot, by a job of our own command line.

    `command` and `done` are given the slot, in milliseconds; `done` takes the document that comes with one of
    the exit codes `good`, on the loop's thread, unless `fault` says why it is of no work done. `done_ms` says
    when the work of a slot was done, None where it was not.
    """

    name: str
    slot: Slot
    command: Callable[[int], tuple[str, ...]]
    done: Callable[[int, dict[str, Any]], None]
    done_ms: Callable[[int], int | None]
    good: frozenset[int] = frozenset({0})
    fault: Callable[[dict[str, Any]], str | None] = lambda _document: None


class Recurring:
    """Work of the loop's thread that comes round. What failed is due again at the next look.

    `began_ms` tells when the index began, None before its first ingest: what is younger than a slot has not
    missed it.
    """

    def __init__(
        self, work: Work, jobs: Jobs, clocks: Clocks, began_ms: Callable[[], int | None], journal: DaemonLog
    ) -> None:
        self.name = work.name
        self._work, self._jobs, self._clocks = work, jobs, clocks
        self._began_ms, self._journal = began_ms, journal
        self._next = float("-inf")

    def due_at(self) -> float:
        """The next look, which `run` always moves on: due for ever would be a loop without rest."""
        return self._next

    def run(self, mono: float) -> None:
        """Queue the work if its last slot was missed; once for however many were."""
        work, now_ms = self._work, self._clocks.wall_ms()
        self._next = mono + wait_s(now_ms, work.slot)
        slot_ms = work.slot.last_ms(now_ms)
        if self._jobs.has(work.name):
            return
        if is_due(work.done_ms(slot_ms), self._began_ms(), now_ms, work.slot):
            done = partial(self._ended, slot_ms)
            job = Job(work.name, work.command(slot_ms), done, work.good, self._is_done, tries=1)
            self._jobs.submit(job, mono)

    def _ended(self, slot_ms: int, result: JobResult) -> None:
        why = self._why_failed(result)
        if why is not None or result.document is None:
            self._journal.log.error(f"{self.name}.failed", exit_code=result.exit_code, said=why)
            return
        self._work.done(slot_ms, result.document)

    def _is_done(self, result: JobResult) -> bool:
        return self._why_failed(result) is None

    def _why_failed(self, result: JobResult) -> str | None:
        # An exit code that is good with a document is also that of ordinary errors, without one.
        if result.exit_code not in self._work.good or result.document is None:
            return result.said[-300:]
        return self._work.fault(result.document)


AUDIT = "audit"
WITHOUT_PAGE = extra_missing("the HTML page of the weekly report wants", "report")


def report_name(slot_ms: int) -> str:
    """`audit-2026-W48`, after the ISO week that it is due in. Pure."""
    year, number, _ = datetime.fromtimestamp(slot_ms / 1000, UTC).isocalendar()
    return f"audit-{year}-W{number:02}"


@dataclass(frozen=True, slots=True)
class WeeklyReport:
    """The audit of each week; the files themselves say what was done."""

    repo: Path
    journal: DaemonLog

    def work(self, weekday: str, hour: int) -> Work:
        """As it is scheduled; a page that cannot be drawn (exit code 1) costs no report."""
        return Work(
            AUDIT, weekly(weekday, hour), self._command, self._file, self._filed_ms, good=frozenset({0, 1})
        )

    def _path(self, slot_ms: int, suffix: str) -> Path:
        return self.repo / REPORTS / f"{report_name(slot_ms)}.{suffix}"

    def _filed_ms(self, slot_ms: int) -> int | None:
        return slot_ms if self._path(slot_ms, "json").exists() else None

    def _command(self, slot_ms: int) -> tuple[str, ...]:
        page = self._path(slot_ms, "html")
        page.parent.mkdir(parents=True, exist_ok=True)
        if not (find_spec("vl_convert") and find_spec("jinja2")):
            self.journal.repeated("audit.without_page", "", why=WITHOUT_PAGE)
            return ("audit", "--json", "--rebuild")
        return ("audit", "--json", "--rebuild", "--html", str(page))

    def _file(self, slot_ms: int, document: dict[str, Any]) -> None:
        target = self._path(slot_ms, "json")
        text = json.dumps(document, indent=2, sort_keys=True) + "\n"
        atomic_write(target, text.encode("ascii"), permitted(0o644))
        self.journal.log.info("audit.written", file=str(target), **_verdicts(document))


def _verdicts(document: dict[str, Any]) -> dict[str, Any]:
    """The one line of the log: what a person would look at first."""
    found = document["verdicts"]
    lanes = " ".join(f"{lane}={verdict}" for lane, verdict in found["lanes"].items())
    names = ("conflicting", "drift", "environment_failures", "ready", "phase")
    kinds = ",".join(found["kinds"])
    return {"lanes": lanes, "found": kinds, **{name: found[name] for name in names}}
