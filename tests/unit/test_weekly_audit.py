"""When the weekly report is due, and what is asked for and filed."""

from __future__ import annotations

import io
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from collectord.daemon.daemon_log import DaemonLog
from collectord.daemon.heartbeat import Clocks
from collectord.daemon.jobs import Job, JobResult
from collectord.daemon.schedule import DAYS, Recurring, WeeklyReport, report_name, weekly
from collectord.model import REPORTS
from collectord.system.log import configure
from tests.support.times import at

MONDAY = weekly("monday", 4)


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-11-23 04:00", "2026-11-23 04:00"),
        ("2026-11-23 03:59", "2026-11-16 04:00"),
        ("2026-11-29 23:59", "2026-11-23 04:00"),
        ("2027-01-01 12:00", "2026-12-28 04:00"),
    ],
)
def test_the_latest_time_a_report_was_due(now: str, due: str) -> None:
    assert MONDAY.last_ms(at(now)) == at(due)


@pytest.mark.parametrize("day", DAYS)
def test_each_day_of_the_week_is_that_of_the_calendar(day: str) -> None:
    found = datetime.fromtimestamp(weekly(day, 4).last_ms(at("2026-11-25 12:00")) / 1000)
    assert f"{found:%A}".lower() == day


def test_a_report_is_named_after_its_iso_week() -> None:
    assert report_name(MONDAY.last_ms(at("2027-01-01 12:00"))) == "audit-2026-W53"


class Asked:
    """A weekly report whose jobs wait in a list and are run by nobody."""

    def __init__(self, repo: Path, now: str, began: str | None = "2026-01-01 00:00") -> None:
        self.jobs: list[Job] = []
        self.full = False
        self.said = io.StringIO()
        log = configure(level="info", form="json", stream=self.said, environ={})
        clocks = Clocks(mono=lambda: 1000.0, wall_ms=lambda: at(now))
        journal = DaemonLog(log, clocks.mono)
        queue: Any = self
        work = WeeklyReport(repo, journal).work("monday", 4)
        self.chore = Recurring(work, queue, clocks, lambda: at(began) if began else None, journal)

    def has(self, _name: str) -> bool:
        return bool(self.jobs)

    def submit(self, job: Job, _mono: float) -> bool:
        if not self.full:
            self.jobs.append(job)
        return not self.full

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.said.getvalue().splitlines()]


VERDICTS = {
    "lanes": {"A": "in", "B": "in", "C": "out"},
    "conflicting": 0.04,
    "drift": "none",
    "environment_failures": 0,
    "ready": 12,
    "phase": 1,
    "kinds": ["out", "conflict"],
}
DOCUMENT = {"schema": "collectord.audit.v1", "verdicts": VERDICTS}


def test_a_missed_report_is_asked_for_once_and_filed_with_one_line(tmp_path: Path) -> None:
    asked = Asked(tmp_path, "2026-11-25 10:00")
    assert asked.chore.due_at() <= 1000.0
    asked.chore.run(1000.0)
    asked.chore.run(1000.0)
    [job] = asked.jobs
    assert job.arguments[:3] == ("audit", "--json", "--rebuild")
    job.done(JobResult("audit", 0, DOCUMENT, ""))
    filed = tmp_path / REPORTS / "audit-2026-W48.json"
    assert json.loads(filed.read_text())["verdicts"] == VERDICTS
    [line] = [line for line in asked.lines() if line["event"] == "audit.written"]
    assert (line["lanes"], line["found"]) == ("A=in B=in C=out", "out,conflict")
    asked.jobs.clear()
    asked.chore.run(1000.0)
    assert asked.jobs == []


@pytest.mark.parametrize("began", [None, "2026-11-24 00:00"])
def test_a_young_collection_has_missed_nothing(tmp_path: Path, began: str | None) -> None:
    asked = Asked(tmp_path, "2026-11-25 10:00", began)
    asked.chore.run(1000.0)
    assert asked.jobs == []
    assert asked.chore.due_at() > 1000.0


def test_a_failed_audit_is_told_files_nothing_and_is_tried_again_within_the_hour(tmp_path: Path) -> None:
    asked = Asked(tmp_path, "2026-11-25 10:00")
    asked.chore.run(1000.0)
    asked.jobs.pop().done(JobResult("audit", 1, None, "collectord: the disk is full"))
    [line] = [line for line in asked.lines() if line["event"] == "audit.failed"]
    assert (line["exit_code"], line["said"]) == (1, "collectord: the disk is full")
    assert not (tmp_path / REPORTS / "audit-2026-W48.json").exists()
    asked.chore.run(asked.chore.due_at())
    assert asked.chore.due_at() <= 1000.0 + 2 * 3600
    assert len(asked.jobs) == 1


def test_a_page_that_cannot_be_drawn_costs_no_report(tmp_path: Path) -> None:
    asked = Asked(tmp_path, "2026-11-25 10:00")
    asked.chore.run(1000.0)
    asked.jobs[0].done(JobResult("audit", 1, DOCUMENT, "of another libc"))
    assert (tmp_path / REPORTS / "audit-2026-W48.json").exists()


def test_a_report_that_the_queue_refuses_is_asked_for_again(tmp_path: Path) -> None:
    asked = Asked(tmp_path, "2026-11-25 10:00")
    asked.full = True
    asked.chore.run(1000.0)
    asked.full = False
    asked.chore.run(asked.chore.due_at())
    assert len(asked.jobs) == 1
