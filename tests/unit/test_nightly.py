"""When the daily work is due: over nights, clock steps, restarts and failures; never for ever."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from collectord.config.schema import age, time_of_day
from collectord.daemon.daemon_log import DaemonLog
from collectord.daemon.heartbeat import Clocks
from collectord.daemon.jobs import Job, JobResult
from collectord.daemon.maintenance import DailySummary, prune_fault
from collectord.daemon.schedule import DAY_MS, LONGEST_SLEEP_S, Recurring, Work, daily, is_due, wait_s
from collectord.index.writer import IndexWriter
from collectord.system.log import configure
from tests.support.times import at

THREE = daily("03:00")
OLD = 0


@pytest.mark.parametrize(
    ("now", "slot"),
    [
        ("2026-11-24 03:00", "2026-11-24 03:00"),
        ("2026-11-24 02:59:59.999", "2026-11-23 03:00"),
        ("2026-11-24 23:59", "2026-11-24 03:00"),
        ("2027-01-01 00:00", "2026-12-31 03:00"),
    ],
)
def test_the_latest_slot(now: str, slot: str) -> None:
    assert THREE.last_ms(at(now)) == at(slot)


@pytest.mark.parametrize(
    ("done", "began", "due"),
    [
        (None, None, False),  # no index to care for yet
        (None, "2026-11-24 03:01", False),  # a young index has missed nothing
        (None, "2026-11-24 02:59", True),
        ("2026-11-24 03:00", "2026-01-01", False),
        ("2026-11-23 03:05", "2026-01-01", True),  # the night was missed
        ("2026-11-01 03:05", "2026-01-01", True),  # many were
        ("2026-11-24 12:01", "2026-01-01", False),  # the clock was set back by a little
        ("2027-11-24 03:00", "2026-01-01", True),  # it was wrong by a year when it was done
    ],
)
def test_what_is_due_at_noon(done: str | None, began: str | None, due: bool) -> None:
    found = is_due(at(done) if done else None, at(began) if began else None, at("2026-11-24 12:00"), THREE)
    assert found is due


def test_the_next_look_is_never_now_and_never_late() -> None:
    for slot in (daily("00:00"), THREE, daily("23:59")):
        for now_ms in range(at("2026-11-24"), at("2026-11-26"), 599_999):
            wait = wait_s(now_ms, slot)
            assert 1 <= wait <= LONGEST_SLEEP_S
            assert slot.last_ms(now_ms + int(wait * 1000)) <= now_ms + wait * 1000


@dataclass
class World:
    """The two clocks, the queue and the memory of one chore over simulated time."""

    now_ms: int
    mono: float = 0.0
    done_ms: int | None = None
    began_ms: int | None = OLD
    fails: int = 0
    ran: list[int] = field(default_factory=list)
    looks: int = 0
    said: io.StringIO = field(default_factory=io.StringIO)

    def done(self, _slot_ms: int, _document: dict[str, Any]) -> None:
        self.done_ms = self.now_ms

    def has(self, _name: str) -> bool:
        return False

    def submit(self, job: Job, _mono: float) -> bool:
        if self.fails:
            self.fails -= 1
            job.done(JobResult(job.name, 1, None, "no room"))
        else:
            self.ran.append(self.now_ms)
            job.done(JobResult(job.name, 0, {}, ""))
        return True

    def chore(self) -> Recurring:
        world: Any = self
        log = configure(level="info", form="json", stream=self.said, environ={})
        clocks = Clocks(mono=lambda: self.mono, wall_ms=lambda: self.now_ms)
        command = ("db", "backup", "--json")
        work = Work("backup", THREE, lambda _slot: command, self.done, lambda _slot: self.done_ms)
        return Recurring(work, world, clocks, lambda: self.began_ms, DaemonLog(log, clocks.mono))

    def live(self, chore: Recurring, hours: float) -> None:
        """Turns as the loop turns: each time when the chore says that it is due, and a moment later."""
        end = self.mono + hours * 3600
        while (due := max(chore.due_at(), self.mono)) <= end:
            self.pass_time(due - self.mono + 0.001)
            assert chore.due_at() <= self.mono
            chore.run(self.mono)
            self.looks += 1
        self.pass_time(end - self.mono)

    def pass_time(self, seconds: float) -> None:
        self.mono += seconds
        self.now_ms += round(seconds * 1000)


def nights(world: World) -> list[str]:
    return [f"{datetime.fromtimestamp(ms / 1000, UTC):%d %H:%M}" for ms in world.ran]


def test_it_runs_once_a_night_and_rests_between() -> None:
    world = World(at("2026-11-24 12:00"), done_ms=at("2026-11-24 03:00"))
    world.live(world.chore(), 72)
    assert nights(world) == ["25 03:00", "26 03:00", "27 03:00"]
    assert world.looks <= 80


def test_missed_nights_are_made_up_once_also_over_restarts() -> None:
    world = World(at("2026-11-24 12:00"), done_ms=at("2026-11-20 03:00"))
    for _ in range(5):
        world.live(world.chore(), 1)
    assert nights(world) == ["24 12:00"]


@pytest.mark.parametrize("step", [-400 * DAY_MS, -DAY_MS, -3_600_000, 3_600_000, DAY_MS, 400 * DAY_MS])
def test_a_clock_that_is_set_anew_costs_at_most_one_night_and_starts_no_storm(step: int) -> None:
    world = World(at("2026-11-24 12:00"), done_ms=at("2026-11-24 03:00"), began_ms=at("2020-01-01"))
    chore = world.chore()
    world.live(chore, 2)
    world.now_ms += step
    world.live(chore, 72)
    assert 2 <= len(world.ran) <= 4
    assert world.looks <= 90


def test_what_failed_is_told_and_tried_again_within_the_hour() -> None:
    world = World(at("2026-11-24 02:30"), done_ms=at("2026-11-23 03:00"), fails=2)
    world.live(world.chore(), 6)
    assert nights(world) == ["24 05:00"]
    assert world.said.getvalue().count("backup.failed") == 2
    assert "no room" in world.said.getvalue()


@pytest.mark.parametrize(
    ("planned", "kept", "fails"),
    [
        ([], {"a": "not complete"}, False),
        (["a"], {}, False),
        (["a", "b"], {"b": "Read-only file system"}, False),
        (["a", "b"], {"a": "Read-only file system", "b": "Read-only file system", "c": "young"}, True),
    ],
)
def test_a_prune_fails_where_all_that_was_planned_stays(
    planned: list[str], kept: dict[str, str], fails: bool
) -> None:
    why = prune_fault({"planned": [{"name": name} for name in planned], "kept": kept})
    assert (why is not None) is fails
    assert not why or "a: Read-only" in why


@pytest.mark.parametrize(
    ("given", "read"),
    [("3:00", "03:00"), ("23:59", "23:59"), (1410, "23:30"), (False, "off"), ("off", "off")],
)
def test_times_of_the_day_as_people_and_yaml_write_them(given: object, read: str) -> None:
    assert time_of_day(given) == read


@pytest.mark.parametrize("given", ["24:00", "3", "03:60", 1440, -1, True, None, "noon"])
def test_what_is_no_time_of_the_day_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match=r"write 03:00, or off"):
        time_of_day(given)


def test_an_age_of_nothing_is_refused_as_it_would_remove_everything() -> None:
    assert (age("14d"), age(False), age("off")) == (14 * 86_400, "off", "off")
    with pytest.raises(ValueError, match="everything at once"):
        age(0)


def test_a_summary_is_logged_once_a_day(tmp_path: Path) -> None:
    IndexWriter(tmp_path / "index.sqlite3").close()
    world = World(at("2026-11-24 23:00"))
    log = configure(level="info", form="json", stream=world.said, environ={})
    context: Any = SimpleNamespace(
        clocks=Clocks(mono=lambda: world.mono, wall_ms=lambda: world.now_ms),
        journal=DaemonLog(log, lambda: world.mono),
    )
    settings: Any = SimpleNamespace(index_path=tmp_path / "index.sqlite3")
    summary: Any = DailySummary(settings, context)
    world.live(summary, 72)
    assert world.said.getvalue().count("daemon.summary") == 3
