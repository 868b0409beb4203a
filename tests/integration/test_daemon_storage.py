"""The daemon's daily backup and prune, with a real daemon and its real jobs."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from collectord.index.opening import now_ms
from collectord.intake.ingest import ingest
from collectord.repair.backups import backups_in
from collectord.retention.plan import Ages, leave_note
from collectord.retention.prune import CHECKING, prune
from collectord.system.lock import StateLock
from collectord.system.names import OWN_PREFIX
from tests.support import index_state
from tests.support.archives import Maker
from tests.support.cli import Cli
from tests.support.daemon import QUICK, Daemon, configure, wait_until
from tests.support.killing import attempt
from tests.support.snapshots import settings_of

DAY_S = 86_400
CALM = QUICK + "audit: {weekly: off}\n"
PRUNING = CALM + "retention: {archives_older_than: 12h}\n"


@pytest.fixture
def old(bare: Cli) -> list[str]:
    """Archives of three days ago in an index of two days ago, and a young archive; the names of the old."""
    maker = Maker(bare.repo)
    names, [young] = maker.add(24), maker.add(1)
    now = time.time()
    for name in (*names, young):
        then = now if name == young else now - 3 * DAY_S
        for path in (*(bare.archives / name).iterdir(), bare.archives / name):
            os.utime(path, (then, then))
    ingest(settings_of(bare.repo), names=frozenset(names))
    with closing(sqlite3.connect(bare.index)) as connection, connection:
        began = str(int((now - 2 * DAY_S) * 1000))
        connection.execute("UPDATE index_info SET value = ? WHERE key = 'first_ingest_ms'", (began,))
    return names


@pytest.mark.slow
def test_a_missed_night_is_made_up_once_and_what_was_pruned_is_gone_without_an_alarm(
    bare: Cli, old: list[str]
) -> None:
    configure(bare, PRUNING)
    with Daemon(bare) as daemon:
        wait_until(lambda: daemon.status()["disk"] is not None, daemon.said)
        [made] = daemon.wait_for("backup.made")
        [pruned] = daemon.wait_for("prune.done")
        daemon.wait_for("archive.gone", len(old))
        assert daemon.stop() == 0
        assert pruned["gone"] == len(old)
        assert daemon.events("absence.alarm") == []
    assert index_state.gone(bare.index) == set(old)
    [young] = os.listdir(bare.archives)
    assert index_state.troubles(Path(made["path"])) == []
    (bare.archives / young).rename(bare.archives / f"{CHECKING}{young}")
    with Daemon(bare) as daemon:
        daemon.wait_for("archive.put_back", archive=young)
        shutil.copytree(bare.archives / young, bare.archives / "wc-next")
        daemon.wait_for("archive.indexed", archive="wc-next")
        assert daemon.stop() == 0
        assert {line["job"] for line in daemon.events("job.started")} & {"backup", "prune", "usage"} == set()
    assert len(backups_in(bare.index.parent / "backups", now_ms())) == 1


def test_a_prune_by_hand_beside_it_is_noted_without_an_alarm(bare: Cli, old: list[str]) -> None:
    configure(bare, CALM + "backup: {at: off}\n")
    with Daemon(bare) as daemon:
        daemon.wait_for("archive.indexed")
        bare.ok("prune", "--archives-older-than", "12h", "--yes")
        daemon.wait_for("archive.gone", len(old))
        bare.ok("restore", *old[:3])
        daemon.wait_for("archive.unchanged", 3)
        assert daemon.stop() == 0
        assert daemon.events("absence.alarm") == []
        assert daemon.events("archive.vanished") == [], "what is out of the way was no archive"
    assert index_state.gone(bare.index) == set(old[3:])
    assert not [name for name in index_state.states(bare.index) if name.startswith(OWN_PREFIX)]
    assert list((bare.index.parent / "pruned").iterdir()) == []


def test_what_a_killed_prune_removed_is_noted_without_an_alarm_and_what_it_left_stays(
    bare: Cli, old: list[str]
) -> None:
    configure(bare, CALM + "backup: {at: off}\n")
    settings = settings_of(bare.repo)
    assert attempt(lambda: prune(settings, Ages(archives_s=DAY_S), lambda _plan: True), 60)
    removed = set(old) - set(os.listdir(bare.archives))
    assert 3 < len(removed) < len(old)
    with Daemon(bare) as daemon:
        daemon.wait_for("archive.gone", len(removed) - 1)
        daemon.wait_for("archive.indexed")
        assert daemon.stop() == 0
        assert daemon.events("absence.alarm") == daemon.events("archive.vanished") == []
    assert index_state.gone(bare.index) == set(old) - set(os.listdir(bare.archives))
    assert list((bare.index.parent / "pruned").iterdir()) == []


def test_a_note_is_taken_in_once_its_prune_has_ended(bare: Cli, old: list[str]) -> None:
    configure(bare, CALM + "backup: {at: off}\n")
    state = bare.index.parent
    with Daemon(bare) as daemon:
        with StateLock.acquire(state / "prune.lock", "collectord prune"):
            leave_note(state, old[:3], 1)
            daemon.wait_for("archive.indexed")
            assert len(list((state / "pruned").iterdir())) == 1
            for name in old[:2]:
                shutil.rmtree(bare.archives / name)
        daemon.wait_for("archive.gone", 2)
        wait_until(lambda: list((state / "pruned").iterdir()) == [], daemon.said)
        assert daemon.stop() == 0
        assert daemon.events("absence.alarm") == []
    assert index_state.gone(bare.index) == set(old[:2])


def test_nothing_is_pruned_and_no_backup_made_where_both_are_off(bare: Cli, old: list[str]) -> None:
    configure(bare, CALM + "backup: {at: off}\n")
    with Daemon(bare) as daemon:
        daemon.wait_for("archive.indexed")
        assert daemon.stop() == 0
        assert {line["job"] for line in daemon.events("job.started")} <= {"usage"}
    assert len(os.listdir(bare.archives)) == len(old) + 1


@pytest.mark.parametrize("scene", ["no folder", "nothing can be moved"])
def test_a_prune_that_removed_nothing_of_its_plan_is_told_and_does_not_count_as_done(
    bare: Cli, old: list[str], scene: str
) -> None:
    configure(bare, PRUNING + "backup: {at: off}\n")
    if scene == "no folder":
        bare.archives.rename(bare.home / "elsewhere")
    for name in old if scene != "no folder" else ():
        (bare.archives / f"{CHECKING}{name}" / "in the way").mkdir(parents=True)
    with Daemon(bare) as daemon:
        [failed] = daemon.wait_for("prune.failed")
        assert failed["exit_code"] == 1
        assert ("nothing of what was planned" in failed["said"]) is (scene != "no folder")
        wait_until(lambda: "the job prune failed" in json.dumps(daemon.status()), daemon.said)
        assert daemon.stop() == 0
        assert daemon.events("prune.done") == []
    with closing(sqlite3.connect(bare.index)) as connection:
        done = connection.execute("SELECT value FROM index_info WHERE key = 'prune_done_ms'").fetchall()
    assert done == []


def test_a_backup_that_fails_is_told_and_ends_nothing(bare: Cli, old: list[str]) -> None:
    configure(bare, CALM)
    (bare.index.parent / "backups").write_text("in the way")
    with Daemon(bare) as daemon:
        daemon.wait_for("backup.failed")
        daemon.wait_for("archive.indexed")
        assert daemon.stop() == 0
