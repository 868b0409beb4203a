"""How the collection is, asked in every way there is, while things go wrong as they do for people."""

from __future__ import annotations

import json
import os

import pytest

from collectord.system.lock import StateLock
from tests.support.archives import Maker
from tests.support.cli import Cli
from tests.support.daemon import QUICK, Daemon, configure, wait_until


@pytest.fixture
def maker(bare: Cli) -> Maker:
    return Maker(bare.repo)


def test_status_check_is_one_line_with_the_exit_codes_of_plugins(kept: Cli) -> None:
    done = kept("status", "--check")
    assert done.returncode == 1, "no backup, and no daemon ever ran"
    assert done.stdout.count("\n") == 1
    assert done.stdout.startswith("watch: ")
    kept.index.write_bytes(b"no index" * 1000)
    done = kept("status", "--check")
    assert done.returncode == 2
    assert done.stdout.startswith("act: index: ")


def test_missing_archives_are_no_good_health_for_status_and_doctor_alike(kept: Cli) -> None:
    for folder in sorted(path for path in kept.archives.iterdir() if path.is_dir())[:60]:
        folder.rename(kept.home / folder.name)
    status = json.loads(kept.ok("status", "--json"))["health"]
    assert status["state"] == "act"
    [found] = [one for one in status["checks"] if one["check"] == "absence"]
    assert found["said"].startswith("60 of ")
    done = kept("doctor")
    assert done.returncode == 1
    assert found["said"] in done.stdout


def test_a_daemon_that_is_paused_is_said_by_all(bare: Cli, maker: Maker) -> None:
    maker.add(1)
    bare.ok("ingest")
    configure(bare, QUICK.replace("min_free_percent: 0", "min_free_percent: 100"))
    with Daemon(bare) as daemon:
        daemon.wait_for("disk.low")
        wait_until(lambda: daemon.status()["health"]["state"] == "act", "the heartbeat")
        [found] = [one for one in daemon.status()["health"]["checks"] if one["check"] == "daemon"]
        assert found["said"].startswith("alive and paused: only ")
        assert bare("doctor").returncode == 1
        assert bare("status", "--check").returncode == 2


def test_an_export_beside_a_daemon_is_the_newest_snapshot(bare: Cli, maker: Maker) -> None:
    configure(bare)
    maker.add(3)
    with Daemon(bare) as daemon:
        daemon.wait_for("archive.indexed", 3)
        path = json.loads(bare.ok("export", "--epoch", "all", "--json"))["path"]
        assert daemon.status()["snapshot"]["path"] == path
        audit = json.loads(bare.ok("audit", "--json"))
        assert audit["health"]["snapshot"]["path"] == path


def test_an_archive_that_stands_still_has_a_name_everywhere(bare: Cli, maker: Maker) -> None:
    configure(bare)
    [name] = maker.add(1)
    manifest = bare.archives / name / "manifest.json"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[: len(whole) // 2])
    with Daemon(bare) as daemon:
        [line] = daemon.wait_for("archive.stalled", archive=name)
        assert line["waits_for"] == "core files that can be read"
        assert name in line["hint"]
        wait_until(lambda: daemon.status()["daemon"]["waiting"] != [], "the heartbeat")
        [one] = daemon.status()["daemon"]["waiting"]
        assert (one["name"], one["stalled"]) == (name, True)
        assert f"{name} stands still since " in bare.ok("status")
        assert "waits for core files that can be read" in bare("explain", name).stderr
        manifest.write_bytes(whole)
        daemon.wait_for("archive.indexed", archive=name)
        assert len(daemon.events("archive.stalled")) == 1
        wait_until(lambda: daemon.status()["daemon"]["waiting"] == [], "the end of the waiting")


def test_archives_are_counted_once_also_when_they_are_gone_and_restored(kept: Cli) -> None:
    before = json.loads(kept.ok("status", "--json"))["archives"]
    folders = [path for path in kept.archives.iterdir() if path.is_dir()]
    for folder in folders:
        folder.rename(kept.home / folder.name)
    kept.ok("ingest", "--accept-gone")
    gone = json.loads(kept.ok("status", "--json"))["archives"]
    assert sum(gone.values()) == sum(before.values())
    kept.ok("restore", "--all")
    assert "indexed" in kept.ok("ingest")
    after = json.loads(kept.ok("status", "--json"))["archives"]
    assert sum(after.values()) == sum(before.values())
    assert after["gone"] < gone["gone"]


@pytest.mark.skipif(os.geteuid() == 0, reason="SKIPPED: root can read everything")
def test_a_folder_that_may_not_be_read_ends_no_doctor(kept: Cli) -> None:
    (kept.repo / ".cyntra/benches").mkdir(exist_ok=True)
    (kept.repo / ".cyntra/benches").chmod(0)
    assert "labels: " in kept("doctor").stdout


def test_a_daemon_waits_for_a_command_that_holds_the_lock_and_not_for_another_daemon(
    bare: Cli, maker: Maker
) -> None:
    configure(bare)
    maker.add(1)
    bare.ok("ingest")
    lock = bare.index.with_name("lock")
    with StateLock.acquire(lock, "collectord ingest"), Daemon(bare) as daemon:
        [line] = daemon.wait_for("lock.waiting")
        assert (line["command"], line["pid"]) == ("collectord ingest", os.getpid())
        assert daemon.process.poll() is None
        assert daemon.events("daemon.started") == []
    with StateLock.acquire(lock, "collectord ingest") as held, Daemon(bare) as daemon:
        daemon.wait_for("lock.waiting")
        held.close()
        daemon.started()
        second = bare("run")
        assert second.returncode == 75
        assert "collectord run" in second.stderr
