"""The weekly audit: a job of our own command line writes the page, this chore files its JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from collectord.daemon.heartbeat import Clocks
from collectord.daemon.jobs import Job, JobResult, Jobs
from collectord.fs import atomic_write

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
