"""Each thing that breaks such a service is found, from values alone, with what to do about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from collectord.status.health import FolderFacts, HealthFacts, State, checks, in_a_line, of_daemon, worst

GIB = 2**30
FOLDER = FolderFacts("/srv/x", True, True, True, True, False, 50 * GIB, 100 * GIB, 10**6, 0o700)
STATUS: dict[str, Any] = {"runs": 10, "plans": 10, "daemon": {"life": "alive"}, "lock": None}
FACTS = HealthFacts(
    archives=FOLDER,
    state=FOLDER,
    benches=FOLDER,
    sqlite="3.51.3",
    watch_limits={"max_user_watches": 65536},
    clock_ms=1_800_000_000_000,
    newest_ms=1_800_000_000_000,
    schema="0002",
    index_error=None,
    log_lost=0,
    status=STATUS,
    stale_workcells=(),
    usage={},
    backups=7,
    newest_backup_ms=1_799_990_000_000,
    kernel={"running": [], "hidden": [], "in_flight": 0},
)


def test_a_healthy_place_has_no_finding_to_act_on() -> None:
    assert {finding.state for finding in checks(FACTS)} == {State.GOOD}


@pytest.mark.parametrize(
    ("changes", "check", "level"),
    [
        ({"archives": replace(FOLDER, exists=False)}, "archives folder", State.WATCH),
        ({"archives": replace(FOLDER, readable=False)}, "archives folder", State.ACT),
        ({"state": replace(FOLDER, writable=False)}, "state folder", State.ACT),
        ({"state": replace(FOLDER, network=True)}, "state folder", State.ACT),
        ({"state": replace(FOLDER, mode=0o755)}, "state folder", State.WATCH),
        ({"state": replace(FOLDER, free_bytes=GIB // 4)}, "disk of state", State.ACT),
        ({"benches": replace(FOLDER, free_inodes=5)}, "disk of benches", State.ACT),
        ({"watch_limits": {"max_user_watches": 100}}, "watching", State.WATCH),
        ({"log_lost": 2}, "index", State.ACT),
        ({"index_error": "the index is damaged"}, "index", State.ACT),
        ({"status": None}, "index", State.WATCH),
        ({"without_effect": ("gates.nothing",)}, "severities", State.WATCH),
        ({"newest_backup_ms": None}, "backups", State.WATCH),
        ({"pushes": True}, "fleet", State.WATCH),
        ({"pushes": True, "pushed_ms": 1}, "fleet", State.WATCH),
        ({"newest_backup_ms": 1}, "backups", State.WATCH),
        ({"newest_ms": 1_800_009_000_000}, "clock", State.WATCH),
        ({"status": {**STATUS, "daemon": {"life": "dead"}}}, "daemon", State.ACT),
        ({"status": {**STATUS, "daemon": {"life": "silent"}}}, "daemon", State.ACT),
        ({"status": {**STATUS, "daemon": {"life": "never"}}}, "daemon", State.WATCH),
        ({"status": {**STATUS, "plans": 0}}, "labels", State.ACT),
        ({"status": {**STATUS, "plans": 2}}, "labels", State.WATCH),
        ({"stale_workcells": ("wc-1",)}, "workcells", State.WATCH),
    ],
)
def test_what_is_wrong_is_found_and_says_what_to_do(changes: dict[str, Any], check: str, level: str) -> None:
    found = [finding for finding in checks(replace(FACTS, **changes)) if finding.state != State.GOOD]
    assert [(finding.check, finding.state) for finding in found] == [(check, level)]
    assert found[0].advice


def test_the_first_backup_of_a_new_index_is_waited_for() -> None:
    young = {**STATUS, "first_ingest_ms": FACTS.clock_ms - 3_600_000}
    facts = replace(FACTS, newest_backup_ms=None, backup_at="03:00", status=young)
    assert {found.state for found in checks(facts)} == {State.GOOD}
    [found] = [found for found in checks(facts) if found.check == "backups"]
    assert "the first at 03:00 UTC" in found.said
    old = {**young, "first_ingest_ms": FACTS.clock_ms - 30 * 3_600_000}
    stopped = {**young, "daemon": {"life": "stopped"}}
    for changed in ({"status": old}, {"status": stopped}, {"backup_at": "off"}):
        [found] = [one for one in checks(replace(facts, **changed)) if one.check == "backups"]
        assert found.state is State.WATCH


def test_a_fleet_is_asked_about_where_there_is_one() -> None:
    pushed = checks(replace(FACTS, pushes=True, pushed_ms=1_799_990_000_000))
    assert [finding.state for finding in pushed if finding.check == "fleet"] == [State.GOOD]
    assert [finding for finding in checks(FACTS) if finding.check == "fleet"] == []


def test_a_small_disk_is_not_asked_for_more_than_a_tenth_of_itself() -> None:
    small = replace(FOLDER, free_bytes=200 * 2**20, total_bytes=GIB)
    assert {finding.state for finding in checks(replace(FACTS, state=small))} == {State.GOOD}


def test_an_old_sqlite_is_told_with_why_it_does_no_harm_here() -> None:
    [found] = [f for f in checks(replace(FACTS, sqlite="3.40.1")) if f.check == "SQLite"]
    assert "one writer" in found.said


def daemon(**state: object) -> dict[str, Any]:
    return {"status": {**STATUS, "daemon": {"life": "alive", **state}}}


WAITING = {"name": "wc-7", "since_ms": 1, "stalled": True, "waits_for": "manifest.json"}


@pytest.mark.parametrize(
    ("changes", "check", "state", "words"),
    [
        (daemon(paused="only 3 MiB are free"), "daemon", State.ACT, "paused: only 3 MiB"),
        (daemon(degraded=["31 of 49 known archives are missing: …"]), "absence", State.ACT, "31 of 49"),
        (daemon(degraded=["the job export of epoch a failed"]), "jobs", State.ACT, "export of epoch a"),
        (daemon(degraded=["polling: too many watches"]), "events", State.WATCH, "polling"),
        (daemon(stalled=1, waiting=[WAITING]), "archives", State.WATCH, "wc-7 (waits for manifest.json)"),
        ({"known": 49, "missing": 31, **daemon(life="stopped")}, "absence", State.ACT, "31 of 49"),
        ({"known": 49, "missing": 2, **daemon(life="stopped")}, "absence", State.WATCH, "2 of 49"),
        (
            {"status": {**STATUS, "attention": [{"name": "wc-1", "state": "quarantined"}]}},
            "quarantine",
            State.WATCH,
            "wc-1",
        ),
        (
            {"status": {**STATUS, "environment": {"alerts": {"labels.contradiction": 2, "epoch.opened": 1}}}},
            "alerts",
            State.WATCH,
            "2 labels.contradiction",
        ),
    ],
)
def test_what_the_service_says_of_itself_is_judged(
    changes: dict[str, Any], check: str, state: State, words: str
) -> None:
    found = [one for one in checks(replace(FACTS, **changes)) if one.check == check]
    assert [one.state for one in found] == [state]
    assert words in found[0].said
    assert found[0].advice


def test_a_check_that_fails_costs_no_other() -> None:
    broken = replace(FACTS, kernel={"running": None, "hidden": [], "in_flight": 0})
    found = checks(broken)
    assert [one.check for one in found if one.state is not State.GOOD] == ["kernel"]
    assert {one.check for one in found} >= {"daemon", "labels", "workcells"}


def test_the_worst_decides_and_the_line_begins_with_it() -> None:
    found = checks(replace(FACTS, newest_backup_ms=None, **daemon(paused="no room")))
    assert worst(found) is State.ACT
    assert in_a_line(found).startswith("act: daemon: alive and paused: no room; backups: there is none")
    assert in_a_line(checks(FACTS)).startswith("good: ")


def test_what_a_heartbeat_says_is_what_systemd_is_told() -> None:
    assert list(of_daemon({"paused": None, "degraded": [], "waiting": []})) == []
    assert [one.state for one in of_daemon({"paused": "no room"})] == [State.ACT]
