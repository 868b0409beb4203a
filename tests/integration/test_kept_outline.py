"""Who only asks for epochs reads what was kept of the last survey, and surveys where that is of no use."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from collectord.epochs.outline import KeptOutline
from collectord.index.opening import reader_for
from collectord.system.cache_files import load_cached, save_cached
from collectord.system.own_code import stamp_of
from tests.support.archives import Maker
from tests.support.cli import Cli
from tests.support.daemon import QUICK, Daemon, configure, wait_until
from tests.support.snapshots import settings_of
from tests.support.stand_in import StandIn

MARK = "of the kept file"


class Collected:
    """A repo with a few runs, ingested."""

    def __init__(self, cli: Cli) -> None:
        self.cli, self.maker = cli, Maker(cli.repo)
        [self.name, *_] = self.maker.add(3)
        cli.ok("ingest")
        self.kept = cli.index.parent / "cache/epochs.json"

    def epoch(self) -> dict[str, Any]:
        """The epoch of a run as `explain` tells it."""
        found: dict[str, Any] = json.loads(self.cli.ok("explain", self.name, "--json"))["epoch"]
        return found

    @property
    def key(self) -> str:
        """What the file was kept under."""
        return self.kept.read_bytes().split(b" ")[0].decode()

    def mark(self) -> None:
        """Make the file say what no survey does, under its own key."""
        values = load_cached(self.kept, self.key)
        [epoch] = values["epochs"]
        save_cached(self.kept, self.key, {**values, "epochs": [{**epoch, "origin": MARK}]})

    def sql(self, statement: str) -> None:
        """Change the index aside of collectord."""
        with closing(sqlite3.connect(self.cli.index)) as connection, connection:
            assert connection.execute(statement).rowcount


@pytest.fixture
def collected(bare: Cli) -> Collected:
    return Collected(bare)


def test_a_pass_by_hand_keeps_what_explain_asks_for(collected: Collected) -> None:
    collected.mark()
    assert collected.epoch()["origin"] == MARK
    assert MARK in collected.cli.ok("epoch", "list", "--json")
    assert json.loads(collected.cli.ok("export", "--dry-run", "--json"))["example_count"] == 3


def test_who_had_to_survey_keeps_it_for_the_next_one(collected: Collected) -> None:
    collected.kept.unlink()
    before = collected.epoch()
    collected.mark()
    assert collected.epoch() == {**before, "origin": MARK}


def _put(data: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda kept: kept.write_bytes(data(kept.read_bytes()))


def _of_another_form(values: Any) -> Callable[[Path], object]:
    return lambda kept: save_cached(kept, kept.read_bytes().split(b" ")[0].decode(), values)


def _in_place_of_a_folder(kept: Path) -> None:
    kept.unlink()
    kept.mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": _put(lambda _: b""),
    "cut": _put(lambda data: data[:-7]),
    "another name": _put(lambda data: data.replace(b"wc-", b"wd-")),
    "another key": _put(lambda data: b"0" * 64 + data[64:]),
    "of an earlier form": _put(lambda _: b'{"key": "k", "last": {}, "check": "c"}'),
    "no JSON": _put(lambda data: data.replace(b"{", b"[")),
    "another form": _of_another_form({"epochs": []}),
    "members of another form": _of_another_form({"joined": [{}], "shown": [], "epochs": []}),
    "a list": _of_another_form([]),
    "a folder": _in_place_of_a_folder,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_is_of_no_use_costs_time_only(collected: Collected, damage: str) -> None:
    before, whole = collected.epoch(), collected.kept.read_bytes()
    DAMAGES[damage](collected.kept)
    assert collected.epoch() == before
    assert not collected.kept.is_file() or collected.kept.read_bytes() == whole


def test_a_cache_that_cannot_be_written_costs_time_only(collected: Collected) -> None:
    before, folder = collected.epoch(), collected.kept.parent
    collected.kept.unlink()
    folder.rmdir()
    folder.write_text("in the way")
    assert collected.epoch() == before
    collected.maker.add(1)
    collected.cli.ok("ingest")
    assert len(json.loads(collected.cli.ok("epoch", "show", "1", "--json"))["runs"]) == 4


CHANGES: dict[str, str] = {
    "a run": "DELETE FROM revisions WHERE id = (SELECT max(id) FROM revisions)",
    "an issue": "INSERT INTO issue_revisions (issue_id, seen_ms, digest, record) VALUES ('i', 1, 'd', '{}')",
    "a cut": "INSERT INTO epoch_cuts (at_ms, why) VALUES (1, 'x')",
    "a kernel": "INSERT INTO kernel_sessions (pid, started_ms, speculate, first_seen_ms, last_seen_ms)"
    " VALUES (1, 1, 0, 1, 1)",
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_a_survey_follows_from_makes_it_found_anew(collected: Collected, change: str) -> None:
    collected.mark()
    collected.sql(CHANGES[change])
    assert collected.epoch()["origin"] != MARK


def test_another_configuration_makes_it_found_anew(collected: Collected) -> None:
    collected.mark()
    configure(collected.cli, "environment: {severity: {gates.test_command: info}}\n")
    assert collected.epoch()["origin"] != MARK


def test_other_code_makes_it_found_anew(tmp_path: Path) -> None:
    room = tmp_path / "room"
    room.mkdir()
    (tmp_path / "a.py").write_text("a")
    (room / "b.py").write_text("b")
    (room / "b.css").write_text("c")
    stamps = [stamp_of(tmp_path)]
    os.utime(room / "b.py", ns=(1, 1))
    stamps.append(stamp_of(tmp_path))
    (room / "b.css").write_text("of no account")
    assert stamp_of(tmp_path) == stamps[-1]
    (room / "b.py").rename(tmp_path / "b.py")
    stamps.append(stamp_of(tmp_path))
    (tmp_path / "a.py").unlink()
    assert len({*stamps, stamp_of(tmp_path)}) == 4


def test_that_a_kernel_still_runs_changes_nothing(collected: Collected) -> None:
    collected.sql(CHANGES["a kernel"])
    collected.epoch()
    collected.mark()
    collected.sql("UPDATE kernel_sessions SET last_seen_ms = 2")
    assert collected.epoch()["origin"] == MARK
    collected.sql("UPDATE kernel_sessions SET gone_ms = 3")
    assert collected.epoch()["origin"] != MARK


def test_after_a_daemon_has_evaluated_nobody_needs_a_survey(bare: Cli) -> None:
    configure(bare, QUICK + "environment: {debounce: 200ms}\n")
    settings = settings_of(bare.repo)

    def kept_runs() -> int:
        with reader_for(settings) as reader:
            kept = KeptOutline(settings)
            found = kept.load(kept.key(reader.connection), reader.connection)
        return 0 if found is None else len(found.names)

    maker = Maker(bare.repo)
    with StandIn(bare.repo, bare.home), Daemon(bare).started():
        maker.add(3)
        wait_until(lambda: kept_runs() == 3, "an outline of three runs")
        [name] = maker.add(1)
        wait_until(lambda: kept_runs() == 4, "an outline with the one that came later")
        assert json.loads(bare.ok("explain", name, "--json"))["epoch"]["number"] == 1
