"""The daemon on a disk that fills up and on one that fails: it pauses, goes on, and never says too much."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.archives import Maker
from tests.support.cli import Cli
from tests.support.daemon import wait_until
from tests.support.index_state import differences, standing, states, troubles
from tests.support.running import Running
from tests.support.shim import Shim
from tests.support.storm import CONFIG, configure, finish
from tests.support.warm import Nursery

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
LOW, FULL = 18, 2
ROOM = CONFIG.replace("min_free_bytes: 0", "min_free_bytes: 1MiB")


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """collectord on a repo whose state folder is a small disk of its own."""
    cli = Cli(tmp_path / "repo", tmp_path)
    configure(cli.repo, ROOM)
    return cli


@pytest.fixture
def disk(cli: Cli) -> Iterator[Path]:
    """The small disk, mounted over the state folder; unmounted with the test."""
    folder = cli.index.parent
    folder.mkdir(parents=True)
    if shutil.which("mount") is None:
        pytest.skip("SKIPPED: there is no mount here, a full disk stays unproven")
    command = ["mount", "-t", "tmpfs", "-o", "size=12m", "state", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"SKIPPED: no mounting here, a full disk stays unproven: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(disk: Path, leave: int) -> None:
    """Leaves so many bytes on it; the daemon may take some between the look and the filling."""
    with (disk / "ballast").open("wb") as file:
        for _ in range(1000):
            found = os.statvfs(disk)
            try:
                os.posix_fallocate(file.fileno(), 0, max(1, found.f_bavail * found.f_frsize - leave))
                return
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
    raise AssertionError("the disk could not be filled: what is free on it does not stand still")


def test_a_disk_that_fills_up_twenty_times_pauses_it_and_loses_nothing(
    cli: Cli, disk: Path, nursery: Nursery, tmp_path: Path
) -> None:
    """Mostly seen coming, a few times met by a write: then the floor is set to nothing beforehand."""
    maker = Maker(cli.repo)
    maker.add(2)
    with Running(cli.repo, nursery, tmp_path / "log") as daemon:
        daemon.wait_for("archive.indexed", 2)
        for number in range(1, LOW + FULL + 1):
            if number == LOW + 1:
                configure(cli.repo, CONFIG)
                daemon.process.signal(1)
                daemon.wait_for("config.reloaded")
            told = len(daemon.events("disk.low"))
            if number <= LOW:
                fill(disk, leave=200_000)
                daemon.wait_for("disk.low", number)
                before, names = set(states(cli.index)), set(maker.add(2))
                assert set(states(cli.index)) == before, "written to a disk that is said to be full"
            else:
                # What the index file has room for itself may still go in.
                fill(disk, leave=0)
                names = set(maker.add(2))
                daemon.until(
                    lambda names=names, told=told: (  # type: ignore[misc]
                        len(daemon.events("disk.low")) > told or names <= standing(cli.index).keys()
                    ),
                    "paused or indexed",
                )
            assert daemon.process.wait(0) is None
            (disk / "ballast").unlink()
            daemon.until(lambda names=names: names <= standing(cli.index).keys(), f"resumed {number}")  # type: ignore[misc]
            daemon.wait_for("disk.resumed", min(number, LOW))
        assert daemon.stop()[0] == 0
    assert differences(cli.index, cli.archives) == []
    assert troubles(cli.index) == []


def indexed_or_ended(cli: Cli, daemon: Running) -> bool:
    return daemon.process.wait(0) is not None or not differences(cli.index, cli.archives)


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_a_write_that_fails_ends_or_pauses_the_daemon_and_no_line_of_its_log_is_untrue(
    tmp_path: Path,
    shim_library: Path,
    failing_nursery: Nursery,
    nursery: Nursery,
    dice: random.Random,
    error: int,
) -> None:
    cli = Cli(tmp_path / "repo", tmp_path)
    configure(cli.repo)
    maker, shim = Maker(cli.repo), Shim(shim_library, cli.index.parent, tmp_path)
    maker.add(3)
    finish(cli.repo, nursery, tmp_path / "log")
    for number in range(12):
        maker.add(4)
        env = shim.env(at=dice.randrange(1, 80), error=error)
        with Running(cli.repo, failing_nursery, tmp_path / f"log{number}", env) as daemon:
            if error == errno.EIO:
                assert daemon.process.wait(30) == 1, daemon.said()
                assert "disk" in daemon.lines()[-1].get("reason", "")
            else:
                wait_until(lambda d=daemon: indexed_or_ended(cli, d), daemon.said)  # type: ignore[misc]
                if daemon.process.wait(0) is None:
                    assert daemon.stop()[0] == 0
                else:  # it ends with a sentence, and is started again
                    reason = daemon.lines()[-1]["reason"]
                    # After an fsync that failed nobody knows what is on the disk, whatever it failed over.
                    if "SQLITE_IOERR_FSYNC" not in reason:
                        assert not daemon.events("daemon.started")
                        assert "the disk is full" in reason
            said = {line["archive"] for line in daemon.events("archive.indexed")}
        assert said <= standing(cli.index).keys()
        assert troubles(cli.index) == []
    finish(cli.repo, nursery, tmp_path / "log")
