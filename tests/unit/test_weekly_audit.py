"""When the weekly report is due, and what is asked for and filed."""

from __future__ import annotations

import itertools
import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from collectord.daemon.heartbeat import Clocks
from collectord.daemon.jobs import Job, JobResult
from collectord.daemon.schedule import REPORTS, WeeklyAudit, last_due, report_name
from tests.support.times import at


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
    assert last_due(at(now), "monday", 4) == datetime.fromisoformat(due).replace(tzinfo=UTC)


def test_a_report_is_named_after_its_iso_week() -> None:
    assert report_name(last_due(at("2027-01-01 12:00"), "monday", 4)) == "audit-2026-W53"


class Queue:
    """Takes jobs as the loop's own queue does, and runs none."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.full = False

    def submit(self, job: Job, mono: float) -> bool:
        if self.full:
            return False
        self.jobs.append(job)
        return True


def chore(repo: Path, now: str, *, began: str | None = "2026-01-01 00:00", weekday: str = "monday") -> Any:
    queue, lines = Queue(), []
    clocks = Clocks(mono=lambda: 1000.0, wall_ms=lambda: at(now))
    made = WeeklyAudit(
        repo=repo,
        weekday=weekday,
        hour=4,
        jobs=queue,  # type: ignore[arg-type]
        clocks=clocks,
        began_ms=lambda: at(began) if began else None,
        info=lambda event, **fields: lines.append((event, fields)),
        warning=lambda event, **fields: lines.append((event, fields)),
    )
    return made, queue, lines


def test_a_missed_report_is_asked_for_once_and_filed_with_one_line(tmp_path: Path) -> None:
    made, queue, lines = chore(tmp_path, "2026-11-25 10:00")
    assert made.due_at() == 1000.0
    made.run(1000.0)
    made.run(1000.0)
    [job] = queue.jobs
    assert job.arguments[:3] == ("audit", "--json", "--rebuild")
    verdicts = {
        "lanes": {"A": "in", "B": "in", "C": "out"},
        "conflicting": 0.04,
        "drift": "none",
        "environment_failures": 0,
        "ready": 12,
        "phase": 1,
        "kinds": ["out", "conflict"],
    }
    job.done(JobResult("audit", 0, {"schema": "collectord.audit.v1", "verdicts": verdicts}, ""))
    filed = tmp_path / REPORTS / "audit-2026-W48.json"
    assert json.loads(filed.read_text())["verdicts"] == verdicts
    [(event, fields)] = lines
    assert (event, fields["lanes"], fields["found"]) == ("audit.written", "A=in B=in C=out", "out,conflict")
    assert made.due_at() > 1000.0


def test_a_report_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    (tmp_path / REPORTS).mkdir(parents=True)
    (tmp_path / REPORTS / "audit-2026-W48.json").write_text("{}")
    made, queue, _ = chore(tmp_path, "2026-11-25 10:00")
    assert made.due_at() == 1000.0 + 3600
    made.run(1000.0)
    assert not queue.jobs


@pytest.mark.parametrize("began", [None, "2026-11-24 00:00"])
def test_a_young_collection_has_missed_nothing(tmp_path: Path, began: str | None) -> None:
    made, queue, _ = chore(tmp_path, "2026-11-25 10:00", began=began)
    made.run(made.due_at())
    assert not queue.jobs
    assert made.due_at() > 1000.0


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    made, _, _ = chore(tmp_path, "2026-11-25 10:00", weekday="off")
    assert made.due_at() == math.inf


def test_a_failed_audit_is_told_and_files_nothing(tmp_path: Path) -> None:
    made, queue, lines = chore(tmp_path, "2026-11-25 10:00")
    made.run(1000.0)
    queue.jobs[0].done(JobResult("audit", 1, None, "collectord: the disk is full"))
    assert lines[-1] == ("audit.failed", {"exit_code": 1, "said": "collectord: the disk is full"})
    assert not (tmp_path / REPORTS / "audit-2026-W48.json").exists()


def test_an_extra_that_is_installed_and_broken_costs_the_page_and_not_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vl_convert.py").write_text("raise OSError('of another libc')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    made, queue, _ = chore(tmp_path, "2026-11-25 10:00")
    made.run(1000.0)
    queue.jobs[0].done(JobResult("audit", 1, None, "of another libc"))
    with_page, without = (job.arguments for job in queue.jobs)
    assert with_page == (*without, "--html", str(tmp_path / REPORTS / "audit-2026-W48.html"))
    queue.jobs[1].done(JobResult("audit", 1, None, "of another libc"))
    assert len(queue.jobs) == 2


def test_a_report_that_the_queue_refuses_is_asked_for_again_in_a_minute(tmp_path: Path) -> None:
    made, queue, _ = chore(tmp_path, "2026-11-25 10:00")
    queue.full = True
    made.run(1000.0)
    assert made.due_at() == 1060.0
    queue.full = False
    made.run(1060.0)
    assert len(queue.jobs) == 1


def test_a_missing_report_is_due_at_a_time_that_the_loop_took_before_it_asked(tmp_path: Path) -> None:
    made, _, _ = chore(tmp_path, "2026-11-25 10:00")
    ticking = itertools.count(1000)
    made.clocks = Clocks(mono=lambda: float(next(ticking)), wall_ms=made.clocks.wall_ms)
    mono = made.clocks.mono()
    assert made.due_at() <= mono
