"""Work that comes due by itself: jobs of our own command line once a day or week."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from collectord.daemon.daemon_log import DaemonLog
from collectord.daemon.heartbeat import Clocks
from collectord.daemon.jobs import Job, JobResult, Jobs
from collectord.errors import INDEX_FAULTS
from collectord.index.writer import IndexWriter
from collectord.system.durable import atomic_write

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
    return min(max(left, SHORTEST_WAIT_S), LONGEST_SLEEP_S)


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


REPORTS = Path(".cyntra/reports/collectord")
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
# A clock that was set anew is noticed after this long.
_LONGEST_S = 3600.0
_LOOK_S = 60.0
WITHOUT_PAGE = (
    "the extra `report` is not installed, so weekly reports have no HTML page; "
    "pip install 'collectord[report]' brings it"
)
Log = Callable[..., Any]


def last_due(now_ms: int, weekday: str, hour: int) -> datetime:
    """The latest time at or before now that a report is due at, in UTC. Pure."""
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    today = now.replace(hour=hour, minute=0, second=0, microsecond=0)
    due = today - timedelta(days=(today.weekday() - DAYS.index(weekday)) % 7)
    return due if due <= now else due - timedelta(days=7)


def report_name(due: datetime) -> str:
    """`audit-2026-W48`, after the ISO week that it is due in. Pure."""
    year, number, _ = due.isocalendar()
    return f"audit-{year}-W{number:02}"


@dataclass
class WeeklyAudit:
    """Due when the report of the week is not there; the files themselves say what was done.

    `began_ms` tells when the index began, None before its first ingest: a collection that is younger than
    the time a report was due has not missed it.
    """

    repo: Path
    weekday: str
    hour: int
    jobs: Jobs
    clocks: Clocks
    began_ms: Callable[[], int | None]
    info: Log
    warning: Log
    name: str = "audit"
    _asked: str | None = None
    _began: int | None = None
    _told: bool = False
    _look_again: float = field(init=False)

    def __post_init__(self) -> None:
        self._look_again = self.clocks.mono()

    def due_at(self) -> float:
        """In the past where a report is missing, else when the next one is due."""
        if self.weekday == "off":
            return math.inf
        now_ms = self.clocks.wall_ms()
        due = last_due(now_ms, self.weekday, self.hour)
        if self._may_be_missing(due):
            # Never "now": the loop took its time before it asks, and would find it late and never run it.
            return self._look_again
        later = (due + timedelta(days=7)).timestamp() - now_ms / 1000
        return self.clocks.mono() + min(max(later, 1.0), _LONGEST_S)

    def run(self, mono: float) -> None:
        """Asks for the report of the week, once in the life of this chore."""
        due = last_due(self.clocks.wall_ms(), self.weekday, self.hour)
        # Also where the queue refuses: one of before a reload may run.
        self._look_again = self.clocks.mono() + _LOOK_S
        if self._began is None:
            self._began = self.began_ms()
        if self._began is None or not self._may_be_missing(due):
            return
        self._file(due, "json").parent.mkdir(parents=True, exist_ok=True)
        if self.jobs.submit(self._job(due, page=self._can_draw()), mono):
            self._asked = report_name(due)

    def _job(self, due: datetime, *, page: bool) -> Job:
        drawn = ("--html", str(self._file(due, "html"))) if page else ()
        arguments = ("audit", "--json", "--rebuild", *drawn)
        return Job(self.name, arguments, lambda result: self._done(result, due, page=page))

    def _can_draw(self) -> bool:
        """Whether the extra is there; said once where it is not."""
        there = find_spec("vl_convert") is not None
        if not there and not self._told:
            self._told = True
            self.info("audit.without_page", why=WITHOUT_PAGE)
        return there

    def _may_be_missing(self, due: datetime) -> bool:
        """Without knowing when the index began this only says that it is worth asking."""
        if self._began is not None and self._began > due.timestamp() * 1000:
            return False
        return self._asked != report_name(due) and not self._file(due, "json").exists()

    def _file(self, due: datetime, suffix: str) -> Path:
        return self.repo / REPORTS / f"{report_name(due)}.{suffix}"

    def _done(self, result: JobResult, due: datetime, *, page: bool) -> None:
        if result.exit_code != 0 or result.document is None:
            self.warning("audit.failed", exit_code=result.exit_code, said=result.said[-300:])
            if page:  # an extra that is installed and broken must not cost the report itself
                self.jobs.submit(self._job(due, page=False), self.clocks.mono())
            return
        target = self._file(due, "json")
        text = json.dumps(result.document, indent=2, sort_keys=True) + "\n"
        atomic_write(target, text.encode("ascii"), 0o644)
        self.info("audit.written", file=str(target), **_verdicts(result.document))


def _verdicts(document: dict[str, Any]) -> dict[str, Any]:
    """The one line of the log: what a person would look at first."""
    found = document["verdicts"]
    lanes = " ".join(f"{lane}={verdict}" for lane, verdict in found["lanes"].items())
    names = ("conflicting", "drift", "environment_failures", "ready", "phase")
    kinds = ",".join(found["kinds"])
    return {"lanes": lanes, "found": kinds, **{name: found[name] for name in names}}
