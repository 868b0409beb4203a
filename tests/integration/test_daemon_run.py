"""The daemon as a real process: it indexes what lands, says so once, and stops as it is told."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.archives import Maker
from tests.support.cli import Cli
from tests.support.daemon import QUICK, Daemon, configure, wait_until


@pytest.fixture
def maker(bare: Cli) -> Maker:
    configure(bare)
    return Maker(bare.repo)


def _rows(cli: Cli, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(f"{cli.index.as_uri()}?mode=ro", uri=True)) as connection:
        return list(connection.execute(query))


def test_archives_that_were_there_and_that_land_are_indexed_once_each(bare: Cli, maker: Maker) -> None:
    names = maker.add(3)
    with Daemon(bare) as daemon:
        daemon.wait_for("archive.indexed", 3)
        names += maker.add(2)
        daemon.wait_for("archive.indexed", 5)
        assert daemon.stop() == 0
        assert sorted(line["archive"] for line in daemon.events("archive.indexed")) == sorted(names)
    assert _rows(bare, "SELECT count(*) FROM revisions") == [(5,)]
    again = json.loads(bare.ok("ingest", "--json"))
    assert again["outcomes"] == {"indexed": 0, "unchanged": 5, "partial": 0, "quarantined": 0, "ignored": 0}


def test_events_and_issues_are_in_before_and_after_their_files_change(bare: Cli, maker: Maker) -> None:
    maker.add(4)
    with Daemon(bare) as daemon:
        daemon.wait_for("archive.indexed", 4)
        before = _rows(bare, "SELECT count(*) FROM issue_revisions")[0][0]
        issues = bare.repo / ".beads/issues.jsonl"
        issues.write_text(issues.read_text() + '{"id": "later", "title": "t"}\n')
        wait_until(
            lambda: _rows(bare, "SELECT count(*) FROM issue_revisions")[0][0] > before,  # type: ignore[operator]
            "the new issue",
        )


def test_an_archive_edited_in_place_becomes_a_new_revision(bare: Cli, maker: Maker) -> None:
    [name] = maker.add(1)
    with Daemon(bare) as daemon:
        daemon.wait_for("archive.indexed")
        manifest = bare.archives / name / "manifest.json"
        manifest.write_text(manifest.read_text() + "\n")
        daemon.wait_for("archive.indexed", archive=name, revision=2)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0_and_the_index_knows(bare: Cli, maker: Maker, number: signal.Signals) -> None:
    with Daemon(bare).started() as daemon:
        wait_until(lambda: daemon.status()["daemon"]["life"] == "alive", "alive")
        assert daemon.stop(number) == 0
        assert daemon.lines[-1]["event"] == "daemon.stopped"
        assert daemon.other == []
    assert json.loads(bare.ok("status", "--json"))["daemon"]["life"] == "stopped"


def test_a_killed_daemon_is_called_dead_and_never_alive(bare: Cli, maker: Maker) -> None:
    with Daemon(bare).started() as daemon:
        wait_until(lambda: daemon.status()["daemon"]["life"] == "alive", "alive")
        daemon.process.kill()
        daemon.process.wait()
        assert daemon.status()["daemon"]["life"] == "dead"
    assert "dead since" in bare.ok("status")


def test_a_second_daemon_exits_75_and_names_the_first(bare: Cli, maker: Maker) -> None:
    with Daemon(bare).started() as daemon:
        second = bare("run")
        assert second.returncode == 75
        assert f"process {daemon.process.pid} (collectord run)" in second.stderr
        by_hand = bare("ingest")
        assert by_hand.returncode == 75
        assert f"the daemon (process {daemon.process.pid})" in by_hand.stderr


def test_the_archives_folder_may_appear_later(bare: Cli) -> None:
    configure(bare)
    bare.archives.rmdir()
    with Daemon(bare).started() as daemon:
        daemon.wait_for("watch.root_missing")
        wait_until(lambda: "cannot be used" in str(daemon.status()["daemon"].get("degraded")), "the reason")
        Maker(bare.repo).add(1)
        daemon.wait_for("archive.indexed")
        assert len(daemon.events("watch.root_missing")) == 1


def test_a_poisonous_archive_is_quarantined_after_three_tries_beside_healthy_ones(
    bare: Cli, maker: Maker, tmp_path: Path
) -> None:
    poison, *_ = maker.add(1)
    manifest = bare.archives / poison / "manifest.json"
    manifest.rename(tmp_path / "elsewhere")
    manifest.symlink_to(tmp_path / "elsewhere")
    with Daemon(bare) as daemon:
        maker.add(2)
        daemon.wait_for("archive.indexed", 2)
        daemon.wait_for("archive.quarantined", archive=poison, reason="manifest.json: symlink")
        assert _rows(bare, "SELECT tries FROM archives WHERE state = 'quarantined'") == [(3,)]
        manifest.unlink()
        (tmp_path / "elsewhere").rename(manifest)
        daemon.wait_for("archive.indexed", archive=poison)
        assert len(daemon.events("archive.quarantined")) == 1


def test_writing_pauses_while_the_disk_is_low_and_goes_on_after_a_reload(bare: Cli, maker: Maker) -> None:
    low = QUICK.replace("min_free_percent: 0", "min_free_percent: 100")
    configure(bare, low)
    maker.add(2)
    with Daemon(bare).started() as daemon:
        daemon.wait_for("disk.low")
        wait_until(lambda: daemon.status()["daemon"].get("paused") is not None, "a heartbeat")
        assert _rows(bare, "SELECT count(*) FROM archives") == [(0,)]
        configure(bare)
        daemon.send(signal.SIGHUP)
        daemon.wait_for("archive.indexed", 2)
        assert daemon.events("config.reloaded")[0]["changed"] == ["disk.min_free_percent: 100 → 0"]
        assert len(daemon.events("disk.low")) == 1


def test_a_wrong_configuration_is_refused_and_the_old_one_stays(bare: Cli, maker: Maker) -> None:
    with Daemon(bare).started() as daemon:
        configure(bare, "settle: {short: soon}\n")
        daemon.send(signal.SIGHUP)
        [refused] = daemon.wait_for("config.refused")
        assert "settle.short" in refused["reason"]
        configure(bare, QUICK + "paths: {state: elsewhere}\n")
        daemon.send(signal.SIGHUP)
        wait_until(lambda: len(daemon.events("config.refused")) == 2, "a refusal")
        assert "restart" in daemon.events("config.refused")[1]["reason"]
        maker.add(1)
        daemon.wait_for("archive.indexed")


def test_an_archive_removed_while_it_settles_is_counted_and_not_lost(bare: Cli, maker: Maker) -> None:
    configure(bare, QUICK.replace("short: 200ms", "short: 1h").replace("long: 500ms", "long: 1h"))
    [name] = maker.add(1)
    with Daemon(bare).started() as daemon:
        wait_until(lambda: daemon.status()["daemon"].get("pending") == 1, "pending")
        (bare.archives / name).rename(bare.repo / "away")
        [line] = daemon.wait_for("archive.vanished", archive=name)
        assert line["total"] == 1
        wait_until(lambda: daemon.status()["vanished"] == 1, "the count in the index")


def test_an_archive_that_goes_away_is_gone_after_two_good_scans(bare: Cli, maker: Maker) -> None:
    configure(bare, QUICK.replace("poll_interval: 300ms", "poll_interval: 300ms, gone_after: 500ms"))
    first, _second, third = maker.add(3)
    with Daemon(bare) as daemon:
        daemon.wait_for("archive.indexed", 3)
        (bare.archives / first).rename(bare.repo / "away")
        daemon.wait_for("archive.gone", archive=first)
        for name in (_second, third):
            (bare.archives / name).rename(bare.repo / name)
        daemon.wait_for("absence.alarm", why="all")
        (bare.repo / third).rename(bare.archives / third)
        (bare.repo / "away").rename(bare.archives / first)
        daemon.wait_for("archive.unchanged", archive=first)
    assert _rows(bare, "SELECT count(*) FROM archives WHERE gone_ms IS NOT NULL") == [(0,)]


def test_what_somebody_removed_on_purpose_is_gone_once_the_daemon_is_told(bare: Cli, maker: Maker) -> None:
    configure(bare)
    names = maker.add(3)
    with Daemon(bare) as daemon:
        daemon.wait_for("archive.indexed", 3)
        (bare.repo / "away").mkdir()
        for name in names:
            (bare.archives / name).rename(bare.repo / "away" / name)
        [alarm] = daemon.wait_for("absence.alarm")
        assert str(bare.archives) in alarm["said"]
        assert "left to the running daemon" in bare("ingest", "--accept-gone").stderr
        daemon.wait_for("archive.gone", 3)
        daemon.wait_for("absence.over")
        for name in names:
            (bare.repo / "away" / name).rename(bare.archives / name)
        daemon.wait_for("archive.unchanged", 3)


@pytest.mark.slow
def test_a_second_sigint_ends_it_at_once_with_130(bare: Cli, maker: Maker) -> None:
    configure(bare, QUICK.replace("daemon: {", "daemon: {shutdown_timeout: 20s, "))
    maker.add(1)
    with Daemon(bare) as daemon:
        daemon.wait_for("archive.indexed")
        with closing(sqlite3.connect(bare.index, isolation_level=None)) as holding:
            holding.execute("BEGIN IMMEDIATE")  # so that the last heartbeat has to wait
            daemon.send(signal.SIGINT)
            daemon.wait_for("daemon.stopping")
            assert daemon.stop(signal.SIGINT) == 130


def test_a_stop_that_hangs_is_given_up(bare: Cli, maker: Maker) -> None:
    configure(bare, QUICK.replace("daemon: {", "daemon: {shutdown_timeout: 500ms, "))
    with Daemon(bare).started() as daemon:
        with closing(sqlite3.connect(bare.index, isolation_level=None)) as holding:
            holding.execute("BEGIN IMMEDIATE")
            assert daemon.stop() == 1
        assert daemon.events("daemon.gave_up")


@pytest.mark.slow
def test_an_index_that_is_busy_or_was_busy_stops_nothing(bare: Cli, maker: Maker) -> None:
    with Daemon(bare).started() as daemon:
        with closing(sqlite3.connect(bare.index, isolation_level=None)) as holding:
            holding.execute("BEGIN IMMEDIATE")
            maker.add(1)
            wait_until(lambda: bool(daemon.events("index.busy") or daemon.events("heartbeat.failed")), "busy")
        daemon.wait_for("archive.indexed")


def test_a_configuration_that_is_wrong_is_told_in_the_log(bare: Cli) -> None:
    configure(bare, "settle: {min_age: banana}\n")
    with Daemon(bare) as daemon:
        assert daemon.ended() == 78
        [line] = daemon.events("daemon.failed")
        assert (line["level"], line["exit_code"], "banana" in line["reason"]) == ("error", 78, True)
        assert daemon.other == []


def test_a_damaged_index_is_not_written_to(bare: Cli, maker: Maker) -> None:
    maker.add(3)
    bare.ok("ingest")
    data = bytearray(bare.index.read_bytes())
    data[8192:12288] = b"\xff" * 4096
    bare.index.write_bytes(data)
    with Daemon(bare) as daemon:
        assert daemon.ended() == 1
        assert "damaged" in daemon.events("daemon.failed")[0]["reason"]
    assert bare.index.read_bytes() == bytes(data)


def test_a_state_folder_that_is_taken_away_ends_it(bare: Cli, maker: Maker) -> None:
    with Daemon(bare).started() as daemon:
        bare.index.parent.rename(bare.repo / "taken")
        assert daemon.ended() == 1
        assert "state folder" in daemon.events("daemon.failed")[0]["reason"]


def test_the_service_manager_hears_of_every_step(bare: Cli, maker: Maker, tmp_path: Path) -> None:
    heard: list[str] = []
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(10)

        def hear(word: str) -> None:
            while not any(word in message for message in heard):
                heard.append(listening.recv(4096).decode())

        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
        with Daemon(bare, environ) as daemon:
            hear("READY=1")
            hear("WATCHDOG=1")
            heard.clear()
            daemon.send(signal.SIGHUP)
            hear("RELOADING=1\nMONOTONIC_USEC=")
            hear("READY=1")
            assert daemon.stop() == 0
            hear("STOPPING=1")
