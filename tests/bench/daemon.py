"""Figures of the daemon: `./dev bench daemon`, how soon it indexes and what it costs while nothing happens.

Latency is from the last core file of an archive to the first look at the index, every 50 ms, that finds it;
archives land at a steady rate beside many old ones. Nothing of it is held against a limit.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from collectord.intake.settle import SettleRules
from tests.support.archives import Maker, kept_repo
from tests.support.index_state import reading
from tests.support.running import Running

SETTLE_S = 2.0
OLD_S = SettleRules().old_s + 10
_TICKS = os.sysconf("SC_CLK_TCK")


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="./dev bench daemon", description=__doc__)
    parser.add_argument("--size", type=int, default=20_000, help="archives that are there already")
    parser.add_argument("--count", type=int, default=200, help="archives that land for the latency")
    parser.add_argument("--per-second", type=float, default=5.0)
    parser.add_argument("--idle-minutes", type=float, default=3.0)
    parser.add_argument(
        "--first-start", action="store_true", help="land them while the old ones are read, beside an ingest"
    )
    asked = parser.parse_args(arguments)
    kept = kept_repo(Path(tempfile.gettempdir()) / f"collectord-bench-{os.getuid()}", asked.size)
    with tempfile.TemporaryDirectory(prefix="collectord-daemon-") as name:
        place = Path(name)
        if asked.first_start:
            _first_start(kept.repo, place, asked)
            return
        repo = Path(shutil.copytree(kept.repo, place / "repo", symlinks=True))
        with Running(repo, None, place / "log", {"COLLECTORD_LOG_FORMAT": "json"}) as daemon:
            begun = time.monotonic()
            index = repo / ".cyntra/state/collectord/index.sqlite3"
            daemon.wait_for("daemon.started", within=120)
            daemon.until(lambda: _count(index) >= asked.size, "the old ones", within=1800)
            print(f"{asked.size:,} old archives indexed after {time.monotonic() - begun:.0f} s", flush=True)
            _print_latency(_latencies(repo, place, daemon, asked.count, asked.per_second))
            _print_idle(daemon.process.pid, asked.idle_minutes * 60)
            daemon.stop()


def _first_start(kept: Path, place: Path, asked: argparse.Namespace) -> None:
    """The daemon beside archives that it does not know, against one ingest of them; and what lands then.

    The archives are lent and not copied: a copy would be young, and what is young has to settle.
    """
    archives = kept / ".cyntra/archives"
    age_s = time.time() - max(entry.stat().st_ctime for entry in archives.iterdir())
    if age_s < OLD_S:
        print(
            f"the archives were made {age_s:.0f} s ago; waiting until they are {OLD_S:.0f} s old", flush=True
        )
        time.sleep(OLD_S - age_s)
    ignore = shutil.ignore_patterns("archives")
    repo = Path(shutil.copytree(kept, place / "repo", symlinks=True, ignore=ignore))
    lent = archives.rename(repo / ".cyntra/archives")
    try:
        _ingest_s(repo, place / "cold")  # the first reading brings the files into memory, for both
        ingest_s = _ingest_s(repo, place / "by-hand")
        started_s, took, latencies = _catch_up(repo, place, asked)
    finally:
        for new in lent.glob("*-new"):
            shutil.rmtree(new)
        lent.rename(archives)
    print(f"{asked.size:,} unknown archives: ingest {ingest_s:.1f} s, first start {took:.1f} s, ", end="")
    print(
        f"{took / ingest_s:.2f} × (aim 1.2); started after {started_s:.1f} s; what landed while it read them:"
    )
    _print_latency(latencies)


def _ingest_s(repo: Path, state: Path) -> float:
    begun = time.monotonic()
    command = [sys.executable, "-m", "collectord", "--repo", str(repo), "ingest"]
    environ = {**os.environ, "COLLECTORD_PATHS_STATE": str(state)}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environ)
    return time.monotonic() - begun


def _catch_up(repo: Path, place: Path, asked: argparse.Namespace) -> tuple[float, float, list[float]]:
    """Seconds until it had started, and until all was indexed; and the latencies."""
    begun = time.monotonic()
    with Running(repo, None, place / "log", {"COLLECTORD_LOG_FORMAT": "json"}) as daemon:
        daemon.wait_for("daemon.started", within=120)
        started_s = time.monotonic() - begun
        latencies = _latencies(repo, place, daemon, asked.count, asked.per_second)
        index = repo / ".cyntra/state/collectord/index.sqlite3"
        daemon.until(lambda: _count(index) >= asked.size + asked.count, "the old ones", within=1800)
        took = time.monotonic() - begun
        daemon.stop()
    return started_s, took, latencies


def _count(index: Path) -> int:
    with reading(index) as connection:
        return int(connection.execute("SELECT count(*) FROM archives").fetchone()[0])


def _latencies(repo: Path, place: Path, daemon: Running, count: int, per_second: float) -> list[float]:
    """Seconds for each archive that lands by rename, whole, at its turn."""
    maker, landed = Maker(place / "new", seed=99), {}
    found: dict[str, float] = {}
    names = maker.add(count)

    def indexed() -> dict[str, float]:
        with reading(repo / ".cyntra/state/collectord/index.sqlite3") as connection:
            rows = connection.execute("SELECT name FROM archives WHERE name LIKE '%-new'").fetchall()
        for (name,) in rows:
            found.setdefault(name, time.time())
        return found

    begun = time.monotonic()
    for number, name in enumerate(names):
        while time.monotonic() < begun + number / per_second:
            time.sleep(0.05)
            indexed()
        shutil.move(maker.archives / name, repo / ".cyntra/archives" / f"{name}-new")
        landed[f"{name}-new"] = time.time()
    daemon.until(lambda: landed.keys() <= indexed().keys(), "the new ones", within=120)
    return [found[name] - at for name, at in landed.items()]


def _print_latency(seconds: list[float]) -> None:
    cuts = statistics.quantiles(seconds, n=100)
    print(f"latency of {len(seconds)}: p50 {cuts[49]:.2f} s, p99 {cuts[98]:.2f} s, most {max(seconds):.2f} s")
    print(f"of that the settle time is {SETTLE_S:.0f} s; aim: within 1 s of it at p99", flush=True)


def _print_idle(pid: int, seconds: float) -> None:
    """CPU and memory of a process over some time in which nothing happens."""
    if sys.platform != "linux":
        print("idle: only measured on Linux")
        return
    before, first, begun = _cpu_s(pid), _rss_mib(pid), time.monotonic()
    time.sleep(seconds)
    took, last = time.monotonic() - begun, _rss_mib(pid)
    cpu = 100 * (_cpu_s(pid) - before) / took
    print(f"idle for {took / 60:.1f} min: {cpu:.2f} % of a core, RSS {first:.0f} → {last:.0f} MiB")
    print("aims: under 1 % of a core, under 150 MB, flat")


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _rss_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


if __name__ == "__main__":
    main(sys.argv[1:])
