"""Each thing that breaks such a service is found, from values alone, with what to do about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from collectord.status.doctor import ERROR, OK, WARNING, DoctorFacts, FolderFacts, findings

GIB = 2**30
FOLDER = FolderFacts("/srv/x", True, True, True, True, False, 50 * GIB, 100 * GIB, 10**6, 0o700)
STATUS: dict[str, Any] = {"runs": 10, "plans": 10, "daemon": {"life": "alive"}, "lock": None}
FACTS = DoctorFacts(
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
    assert {finding.level for finding in findings(FACTS)} == {OK}


@pytest.mark.parametrize(
    ("changes", "check", "level"),
    [
        ({"archives": replace(FOLDER, exists=False)}, "archives folder", WARNING),
        ({"archives": replace(FOLDER, readable=False)}, "archives folder", ERROR),
        ({"state": replace(FOLDER, writable=False)}, "state folder", ERROR),
        ({"state": replace(FOLDER, network=True)}, "state folder", ERROR),
        ({"state": replace(FOLDER, mode=0o755)}, "state folder", WARNING),
        ({"state": replace(FOLDER, free_bytes=GIB // 4)}, "disk of state", ERROR),
        ({"benches": replace(FOLDER, free_inodes=5)}, "disk of benches", ERROR),
        ({"watch_limits": {"max_user_watches": 100}}, "watching", WARNING),
        ({"log_lost": 2}, "index", ERROR),
        ({"index_error": "the index is damaged"}, "index", ERROR),
        ({"status": None}, "index", WARNING),
        ({"newest_backup_ms": None}, "backups", WARNING),
        ({"newest_backup_ms": 1}, "backups", WARNING),
        ({"newest_ms": 1_800_009_000_000}, "clock", WARNING),
        ({"status": {**STATUS, "daemon": {"life": "dead"}}}, "daemon", ERROR),
        ({"status": {**STATUS, "daemon": {"life": "silent"}}}, "daemon", ERROR),
        ({"status": {**STATUS, "daemon": {"life": "never"}}}, "daemon", WARNING),
        ({"status": {**STATUS, "plans": 0}}, "labels", ERROR),
        ({"status": {**STATUS, "plans": 2}}, "labels", WARNING),
        ({"stale_workcells": ("wc-1",)}, "workcells", WARNING),
    ],
)
def test_what_is_wrong_is_found_and_says_what_to_do(changes: dict[str, Any], check: str, level: str) -> None:
    found = [finding for finding in findings(replace(FACTS, **changes)) if finding.level != OK]
    assert [(finding.check, finding.level) for finding in found] == [(check, level)]
    assert found[0].advice


def test_a_small_disk_is_not_asked_for_more_than_a_tenth_of_itself() -> None:
    small = replace(FOLDER, free_bytes=200 * 2**20, total_bytes=GIB)
    assert {finding.level for finding in findings(replace(FACTS, state=small))} == {OK}


def test_an_old_sqlite_is_told_with_why_it_does_no_harm_here() -> None:
    [found] = [f for f in findings(replace(FACTS, sqlite="3.40.1")) if f.check == "SQLite"]
    assert "one writer" in found.said
