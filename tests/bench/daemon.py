"""Figures of the daemon: `./dev bench daemon`, how soon it indexes and what it costs while nothing happens.

Latency is from the last core file of an archive to the line that says it is indexed, which is written after
the transaction; archives land at a steady rate beside many old ones. Nothing of it is held against a limit.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from tests.support.archives import Maker, kept_repo
from tests.support.index_state import reading
from tests.support.running import Running

SETTLE_S = 2.0
_TICKS = os.sysconf("SC_CLK_TCK")


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="./dev bench daemon", description=__doc__)
    parser.add_argument("--size", type=int, default=20_000, help="archives that are there already")
    parser.add_argument("--count", type=int, default=200, help="archives that land for the latency")
    parser.add_argument("--per-second", type=float, default=5.0)
    parser.add_argument("--idle-minutes", type=float, default=3.0)
    asked = parser.parse_args(arguments)
    kept = kept_repo(Path(tempfile.gettempdir()) / f"collectord-bench-{os.getuid()}", asked.size)
    with tempfile.TemporaryDirectory(prefix="collectord-daemon-") as name:
        place = Path(name)
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


def _count(index: Path) -> int:
    with reading(index) as connection:
        return int(connection.execute("SELECT count(*) FROM archives").fetchone()[0])


def _latencies(repo: Path, place: Path, daemon: Running, count: int, per_second: float) -> list[float]:
    """Seconds for each archive that lands by rename, whole, at its turn."""
    maker, landed = Maker(place / "new", seed=99), {}
    names = maker.add(count)
    begun = time.monotonic()
    for number, name in enumerate(names):
        time.sleep(max(0.0, begun + number / per_second - time.monotonic()))
        shutil.move(maker.archives / name, repo / ".cyntra/archives" / f"{name}-new")
        landed[f"{name}-new"] = time.time()

    def told() -> dict[str, float]:
        lines = daemon.events("archive.indexed")
        return {line["archive"]: datetime.fromisoformat(line["at"]).timestamp() for line in lines}

    daemon.until(lambda: landed.keys() <= told().keys(), "the new ones", within=120)
    found = told()
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
