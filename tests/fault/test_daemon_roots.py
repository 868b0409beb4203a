"""The archives folder comes late, goes, is swapped and unmounted: nothing is taken for deleted."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.archives import Maker
from tests.support.cli import Cli
from tests.support.index_state import gone, on_disk, reading, standing, troubles
from tests.support.running import Running
from tests.support.storm import configure
from tests.support.warm import Nursery

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
# An absence is believed after an instant here, so that a wrong belief has every chance.
HASTY = """
watch: {poll_interval: 200ms, gone_after: 100ms}
settle: {min_age: 20ms, short: 60ms, long: 200ms}
daemon: {heartbeat_interval: 100ms}
disk: {min_free_percent: 0, min_free_bytes: 0}
log: {level: info, format: json}
"""
BELIEVED_MS = 1200


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """A repo whose kernel has not begun."""
    configure(tmp_path / "repo", HASTY)
    return Cli(tmp_path / "repo", tmp_path)


@pytest.fixture
def land(tmp_path: Path, cli: Cli) -> Callable[..., list[str]]:
    """Moves so many new archives into a folder."""
    maker = Maker(tmp_path / "made")

    def land(count: int, into: Path | None = None) -> list[str]:
        names = maker.add(count)
        for name in names:
            shutil.move(maker.archives / name, (into or cli.archives) / name)
        return names

    return land


Land = Callable[..., list[str]]


def indexes(daemon: Running, cli: Cli, names: list[str]) -> None:
    """All of them are in the index."""
    daemon.wait_for("daemon.started")
    daemon.until(lambda: set(names) <= standing(cli.index, gone=True).keys(), f"{len(names)} indexed")


def rescans(daemon: Running, cli: Cli) -> None:
    """Lets so much of the daemon's time pass that an absence would be believed several times over."""
    begun = beat_ms(cli)
    daemon.until(lambda: beat_ms(cli) - begun >= BELIEVED_MS, "heartbeats")


def beat_ms(cli: Cli) -> int:
    """The last heartbeat: the daemon rescans more often than that it is late."""
    with reading(cli.index) as connection:
        found = connection.execute("SELECT beat_ms FROM daemon").fetchone()
    return int(found[0]) if found else 0


def check(cli: Cli, names: list[str]) -> None:
    """Nothing is held to be gone, all is there."""
    assert gone(cli.index) == set()
    assert set(names) <= standing(cli.index).keys()
    assert troubles(cli.index) == []


def test_a_root_that_is_absent_at_the_start_is_waited_for(
    cli: Cli, nursery: Nursery, land: Land, tmp_path: Path
) -> None:
    with Running(cli.repo, nursery, tmp_path / "log") as daemon:
        daemon.wait_for("watch.root_missing")
        cli.archives.mkdir(parents=True)
        names = land(3)
        indexes(daemon, cli, names)
        assert len(daemon.events("watch.root_missing")) == 1
        assert daemon.stop()[0] == 0
    check(cli, names)


def test_a_root_that_was_removed_and_made_again_empties_nothing(
    cli: Cli, nursery: Nursery, land: Land, tmp_path: Path
) -> None:
    cli.archives.mkdir(parents=True)
    names = land(5)
    with Running(cli.repo, nursery, tmp_path / "log") as daemon:
        indexes(daemon, cli, names)
        shutil.rmtree(cli.archives)
        daemon.wait_for("watch.root_missing")
        rescans(daemon, cli)
        check(cli, names)
        cli.archives.mkdir()
        names += land(1)
        indexes(daemon, cli, names)
        rescans(daemon, cli)
        check(cli, names)
        assert len(daemon.events("watch.root_missing")) == 1
        assert daemon.stop()[0] == 0
    check(cli, names)


def test_a_root_that_was_swapped_by_rename_and_back_loses_nothing_of_either(
    cli: Cli, nursery: Nursery, land: Land, tmp_path: Path
) -> None:
    cli.archives.mkdir(parents=True)
    names = land(5)
    other, aside = cli.archives.with_name("other"), cli.archives.with_name("aside")
    other.mkdir()
    with Running(cli.repo, nursery, tmp_path / "log") as daemon:
        indexes(daemon, cli, names)
        for number in range(1, 4):
            cli.archives.rename(aside)
            other.rename(cli.archives)
            aside.rename(other)
            names += land(1)
            indexes(daemon, cli, names)
            rescans(daemon, cli)
            check(cli, names)
            assert len(daemon.events("watch.root_replaced")) == number
        assert daemon.stop()[0] == 0
    check(cli, names)


@pytest.fixture
def mounted(cli: Cli) -> Iterator[Callable[[], None]]:
    """Mounts a file system of its own over the archives folder; unmounted with the test."""
    cli.archives.mkdir(parents=True)

    def mount() -> None:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "archives", cli.archives], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"SKIPPED: no mounting here, unmounting stays unproven: {done.stderr.strip()}")

    if shutil.which("mount") is None:
        pytest.skip("SKIPPED: there is no mount here, unmounting stays unproven")
    yield mount
    while os.path.ismount(cli.archives):
        subprocess.run(["umount", "-l", cli.archives], check=True)


def test_an_unmounted_root_empties_nothing_while_it_runs_and_after_a_restart(
    cli: Cli, nursery: Nursery, land: Land, mounted: Callable[[], None], tmp_path: Path
) -> None:
    mounted()
    names = land(5)
    kept = tmp_path / "kept"
    with Running(cli.repo, nursery, tmp_path / "log") as daemon:
        indexes(daemon, cli, names)
        shutil.copytree(cli.archives, kept)
        subprocess.run(["umount", "-l", cli.archives], check=True)
        daemon.wait_for("watch.root_missing")
        rescans(daemon, cli)
        check(cli, names)
        assert daemon.stop()[0] == 0
    with Running(cli.repo, nursery, tmp_path / "log") as daemon:
        daemon.wait_for("watch.started")
        rescans(daemon, cli)
        check(cli, names)
        mounted()
        shutil.copytree(kept, cli.archives, dirs_exist_ok=True)
        names += land(2)
        indexes(daemon, cli, names)
        rescans(daemon, cli)
        assert daemon.stop()[0] == 0
    check(cli, names)
    assert set(on_disk(cli.archives)) == set(names)
