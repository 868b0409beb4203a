"""The daemon is killed again and again while a kernel works beside it; then both are held together."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from collectord.config import load
from collectord.intake.ingest import ingest
from tests.support.index_state import OF_RUNS, differences, dump, states, troubles
from tests.support.running import Running
from tests.support.warm import ROOT, Nursery

# Everything waits as little as the settings allow, so that short lives get to index something.
CONFIG = """
watch: {poll_interval: 250ms, gone_after: 1s}
settle: {min_age: 20ms, short: 60ms, long: 600ms}
daemon: {heartbeat_interval: 100ms}
disk: {min_free_percent: 0, min_free_bytes: 0}
log: {level: info, format: json}
"""


@dataclass
class Storm:
    """What a storm did: how often it killed, and in which part of a life."""

    kills: int = 0
    cold: int = 0
    indexed_before_the_end: int = 0
    when: dict[str, int] = field(default_factory=dict)


def configure(repo: Path, text: str = CONFIG) -> None:
    """The configuration of a repo."""
    (repo / ".cyntra").mkdir(parents=True, exist_ok=True)
    (repo / ".cyntra/collectord.yaml").write_text(text)


def kernel(repo: Path, count: int, seed: int, *more: str) -> subprocess.Popen[bytes]:
    """A kernel that works off so many runs in a process of its own."""
    command = [sys.executable, "-m", "tests.support.fake_kernel", "--repo", str(repo)]
    return subprocess.Popen([*command, "--count", str(count), "--seed", str(seed), *more], cwd=ROOT)


def rage(
    repo: Path, nursery: Nursery, dice: random.Random, *, kills: int, archives: int, cold_share: float
) -> Storm:
    """Kill so often, while so many archives land, then let one daemon finish and hold all together.

    `cold_share` of the daemons are started as real command lines, the others from a warm interpreter.
    Raises AssertionError for anything lost, doubled or half.
    """
    configure(repo)
    log, storm = repo / "daemon.log", Storm()
    pace = ("--per-second", str(round(archives / (kills * 0.3), 2)), "--stall-s", "0.1")
    with kernel(repo, archives, dice.randrange(10**6), *pace) as working:
        try:
            while storm.kills < kills or working.poll() is None:
                _live_and_die(repo, nursery, log, dice, storm, cold_share, working)
        finally:
            working.kill() if working.poll() is None else None
        assert working.returncode == 0
    index = repo / ".cyntra/state/collectord/index.sqlite3"
    storm.indexed_before_the_end = len(states(index))
    finish(repo, nursery, log)
    return storm


def _live_and_die(
    repo: Path,
    nursery: Nursery,
    log: Path,
    dice: random.Random,
    storm: Storm,
    cold_share: float,
    working: subprocess.Popen[bytes],
) -> None:
    cold = dice.random() < cold_share
    with Running(repo, None if cold else nursery, log) as daemon:
        when = dice.choice(("start", "settle", "settle", "write", "write"))
        if when == "start":
            time.sleep(dice.uniform(0, 0.6 if cold else 0.1))
        elif when == "settle":
            _until(daemon, "daemon.started", 10.0)
            time.sleep(dice.uniform(0, 0.25))
        else:
            _until(daemon, "daemon.started", 10.0)
            _until(daemon, "archive.indexed", 3.0 if working.poll() is None else 0.3)
            time.sleep(dice.uniform(0, 0.02))
        code = daemon.kill()
    assert code == -9, f"it ended by itself with {code}: {daemon.said()}"
    storm.kills += 1
    storm.cold += cold
    storm.when[when] = storm.when.get(when, 0) + 1


def _until(daemon: Running, event: str, within: float) -> None:
    deadline = time.monotonic() + within
    while not daemon.events(event) and time.monotonic() < deadline:
        time.sleep(0.002)


def finish(repo: Path, nursery: Nursery, log: Path, within: float = 60.0) -> None:
    """One daemon that may live: then disk and index agree, and another pass changes nothing."""
    index, archives = repo / ".cyntra/state/collectord/index.sqlite3", repo / ".cyntra/archives"
    with Running(repo, nursery, log) as daemon:
        daemon.wait_for("daemon.started")
        daemon.until(lambda: not differences(index, archives), "disk and index agree", within)
        code, _ = daemon.stop()
    assert code == 0, daemon.said()
    hold_together(repo)


def hold_together(repo: Path) -> None:
    """The set on disk is the set in the index, all whole, none twice; another pass changes nothing."""
    index, archives = repo / ".cyntra/state/collectord/index.sqlite3", repo / ".cyntra/archives"
    assert troubles(index) == []
    assert differences(index, archives) == []
    assert set(states(index).values()) <= {"indexed", "ignored"}
    settings = load(repo=repo, config=None, overrides={}, environ={"HOME": "/nonexistent"}, cwd=repo)
    dumps = [dump(index)]
    for _ in range(2):
        outcomes = ingest(settings).outcomes
        assert set(outcomes) <= {"unchanged", "ignored"}, outcomes
        dumps.append(dump(index))
    # The first pass may take the look at the environment that the daemon was stopped before.
    assert [t for t in OF_RUNS if dumps[0][t] != dumps[1][t]] == []
    assert [t for t in dumps[1] if dumps[1][t] != dumps[2][t]] == []
