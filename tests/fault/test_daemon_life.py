"""The daemon among others of its kind, stopped under load, held up, and with too few watches."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.archives import Maker
from tests.support.cli import Cli
from tests.support.index_state import differences, reading, states, troubles
from tests.support.running import Running
from tests.support.storm import CONFIG, configure, kernel
from tests.support.warm import Nursery

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

# Rescans and heartbeats as often as by default: the quick ones cost as much as the work here.
AS_USUAL = CONFIG.replace("250ms", "30s").replace("100ms", "10s")


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """collectord on a repo that a kernel may start to work in."""
    (tmp_path / "repo/.cyntra/archives").mkdir(parents=True)
    configure(tmp_path / "repo")
    return Cli(tmp_path / "repo", tmp_path)


def same(cli: Cli) -> bool:
    return cli.index.exists() and not differences(cli.index, cli.archives)


def count(cli: Cli) -> int:
    with reading(cli.index) as connection:
        return int(connection.execute("SELECT count(*) FROM archives").fetchone()[0])


def cpu_s(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def five_thousand(folder: Path) -> Path:
    """So many archives, a hundred of them different: this is not about what is in them."""
    Maker(folder / "model").add(100)
    for model in (folder / "model/.cyntra/archives").iterdir():
        files = {path.name: path.read_bytes() for path in model.iterdir() if path.is_file()}
        for number in range(50):
            copy = folder / "archives" / f"{model.name}-{number:06x}"
            copy.mkdir(parents=True)
            for name, data in files.items():
                (copy / name).write_bytes(data)
    return folder / "archives"


def test_of_twenty_daemons_that_start_together_one_runs_and_nineteen_exit_75(
    cli: Cli, nursery: Nursery, tmp_path: Path
) -> None:
    daemons = [Running(cli.repo, nursery, tmp_path / f"log{i}") for i in range(18)]
    daemons += [Running(cli.repo, None, tmp_path / f"log{i}") for i in (18, 19)]
    try:
        deadline = time.monotonic() + 60
        while sum(d.process.wait(0) is not None for d in daemons) < 19 and time.monotonic() < deadline:
            time.sleep(0.02)
        codes = [daemon.process.wait(0) for daemon in daemons]
        assert sorted(codes, key=str) == [75] * 19 + [None]
        [alive] = [daemon for daemon in daemons if daemon.process.wait(0) is None]
        alive.wait_for("daemon.started")
        named = [daemon.lines()[-1]["reason"] for daemon in daemons if daemon is not alive]
        assert [text for text in named if f"process {alive.process.pid}" not in text] == []
        assert alive.stop()[0] == 0
    finally:
        for daemon in daemons:
            daemon.__exit__(None, None, None)


@pytest.mark.parametrize("half", range(2))
def test_fifty_times_sigterm_under_load_ends_it_with_0_in_time(
    cli: Cli, nursery: Nursery, dice: random.Random, tmp_path: Path, half: int
) -> None:
    """Twice, which makes 100."""
    longest, load = 0.0, ("--per-second", "40", "--stall-s", "0.1")
    with kernel(cli.repo, 10**6, half, *load) as working:
        try:
            for _ in range(50):
                with Running(cli.repo, nursery, tmp_path / "log") as daemon:
                    daemon.wait_for("daemon.started")
                    if dice.random() < 0.5:
                        daemon.wait_for("archive.indexed")
                    time.sleep(dice.uniform(0, 0.3))
                    code, seconds = daemon.stop()
                    assert code == 0, daemon.said()
                    assert daemon.lines()[-1]["event"] == "daemon.stopped"
                longest = max(longest, seconds)
        finally:
            working.kill()
    print(f"the longest stop took {longest:.2f} s; {len(states(cli.index))} archives were indexed")
    assert longest < 10
    assert len(states(cli.index)) > 20
    assert troubles(cli.index) == []


def test_five_thousand_archives_and_a_full_event_queue_while_it_stood_still_are_made_good_in_a_minute(
    cli: Cli, nursery: Nursery, tmp_path: Path
) -> None:
    made = five_thousand(tmp_path / "made")
    queue = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    with Running(cli.repo, nursery, tmp_path / "log") as daemon:
        daemon.wait_for("watch.started")
        daemon.process.signal(signal.SIGSTOP)
        for folder in made.iterdir():
            folder.rename(cli.archives / folder.name)
        if queue <= 20_000:
            # Beyond what is asked for: the kernel itself has to drop events.
            for number in range(queue // 2 + 10):
                (cli.archives / f"noise-{number}").touch()
                (cli.archives / f"noise-{number}").unlink()
        begun = time.monotonic()
        daemon.process.signal(signal.SIGCONT)
        daemon.until(lambda: count(cli) >= 5000, "5,000 indexed", within=60)
        print(f"all indexed {time.monotonic() - begun:.1f} s after it went on")
        assert daemon.events("watch.overflow") or queue > 20_000
        assert daemon.stop()[0] == 0
    assert differences(cli.index, cli.archives) == []
    assert troubles(cli.index) == []
    assert set(states(cli.index).values()) == {"indexed"}


def test_a_daemon_without_anything_to_do_does_next_to_nothing(
    cli: Cli, nursery: Nursery, tmp_path: Path
) -> None:
    """Counted in processor time: a loop that finds something due that it then does not do shows at once."""
    configure(cli.repo, AS_USUAL)
    Maker(cli.repo).add(20)
    with Running(cli.repo, nursery, tmp_path / "log") as daemon:
        daemon.wait_for("archive.indexed", 20)
        time.sleep(2)  # what follows an ingest is over
        before = cpu_s(daemon.process.pid)
        time.sleep(5)
        worked = cpu_s(daemon.process.pid) - before
    print(f"{worked:.2f} s of processor time in 5 s")
    assert worked < 0.3


LIMIT = 'echo {} > /proc/sys/user/max_inotify_watches || exit 97; exec "$@"'


@pytest.mark.parametrize("watches", [0, 3])
def test_with_too_few_watches_all_is_indexed_and_status_calls_it_degraded(
    cli: Cli, tmp_path: Path, watches: int
) -> None:
    """The limit is that of a user namespace of its own; the machine's is not touched."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-Ur", "true"], check=False).returncode:
        pytest.skip("SKIPPED: no user namespace can be made here, the watch limit stays unproven")
    limited = ("unshare", "-Ur", "sh", "-c", LIMIT.format(watches), "sh")
    with Running(cli.repo, None, tmp_path / "log", before=limited) as daemon:
        daemon.wait_for("daemon.started")
        with kernel(cli.repo, 40, 1, "--per-second", "20", "--stall-s", "0.3", "--stall", "0.1") as working:
            assert working.wait(60) == 0
        daemon.until(lambda: same(cli), "all indexed")
        daemon.wait_for("watch.limit_reached")
        said = cli.ok("status")
        degraded = cli.ok("status", "--json")
        assert daemon.stop()[0] == 0
    assert "fs.inotify.max_user_watches" in degraded
    assert "degraded" in said
