"""`python -m tests.bench`: figures with a floor beside each, for archives of the real shape."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.archives import Maker

AIMS = {"first ingest": 4.0, "first export": 12.0, "export again": 4.0}
GROWTH_AIM = 1.10
PEAK_AIM_MIB = 300


class Bench:
    """All figures of one size; `repeat` runs of each, the median counts."""

    def __init__(self, scratch: Path, size: int, repeat: int) -> None:
        self._scratch, self._size, self._repeat = scratch / str(size), size, repeat
        self._repo = self._scratch / "repo"
        self._outs = 0
        self.rows: list[tuple[str, float, float | None, float, str]] = []
        self.made = Maker(self._repo)
        self.made.add(size)
        (self._repo / ".beads").mkdir(exist_ok=True)

    def _task(self, name: str, *rest: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "tests.bench.tasks", name, str(self._repo), *rest]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def _median(self, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        found = [run() for _ in range(self._repeat)]
        middle = statistics.median(f["seconds"] for f in found)
        return {**found[-1], "seconds": middle, "peak_mib": max(f["peak_mib"] for f in found)}

    def _forget(self, *parts: str) -> None:
        for part in parts:
            shutil.rmtree(self._repo / ".cyntra" / part, ignore_errors=True)

    def _out(self) -> str:
        self._outs += 1
        return str(self._scratch / f"out{self._outs}")

    def _note(self, what: str, found: dict[str, Any], floor: float | None, said: str = "") -> None:
        self.rows.append((what, found["seconds"], floor, found["peak_mib"], said))
        ratio = f"{found['seconds'] / floor:5.1f}x" if floor else "      "
        took = f"{found['seconds']:8.2f} s  {ratio}  {found['peak_mib']:5.0f} MiB"
        print(f"{self._size:>6}  {what:<44} {took}  {said}")

    def run(self) -> None:
        """Measure everything at this size."""
        self._ingest()
        self._exports("dispatch", 8, "dispatch")
        self._exports("dispatch", 4, "dispatch, histories rebuilt")
        self._exports("builder", 8, "builder")
        self._one_new_run()

    def _ingest(self) -> None:
        floor = self._median(lambda: self._task("floor_ingest"))["seconds"]

        def first() -> dict[str, Any]:
            self._forget("state")
            return self._task("ingest")

        self._note("first ingest", self._median(first), floor, "floor: open, read, json.loads, sha256")
        again = self._median(lambda: self._task("ingest"))
        self._note("ingest again, nothing changed", again, floor)

    def _exports(self, profile: str, n_similar: int, label: str) -> None:
        def first() -> dict[str, Any]:
            self._forget("state/collectord/cache")
            return self._task("export", profile, str(n_similar), self._out())

        found = self._median(first)
        written = Path(f"{self._scratch}/out{self._outs}/dataset.jsonl")
        copy = str(self._scratch / "floor")
        floor = self._median(lambda: self._task("floor_export", str(written), copy))["seconds"]
        said = f"{found['rows']} rows, {written.stat().st_size / 2**20:.0f} MiB; floor: write, fsync, sha256"
        self._note(f"first export ({label})", found, floor, said)
        again = self._median(lambda: self._task("export", profile, str(n_similar), self._out()))
        self._note(f"export again ({label})", again, floor, f"{again['computed']} rows computed")
        for number in range(1, self._outs):
            shutil.rmtree(self._scratch / f"out{number}", ignore_errors=True)

    def _one_new_run(self) -> None:
        self._task("export", "dispatch", "8", "default")
        nothing = self._task("export", "dispatch", "8", "default")
        self._note("export, nothing new, default place", nothing, None, f"new: {nothing['new']}")
        self.made.add(1)
        self._task("ingest")
        one = self._task("export", "dispatch", "8", "default")
        self._note("export after one new run", one, None, f"{one['computed']} rows computed")


def _machine() -> str:
    model = "unknown processor"
    if Path("/proc/cpuinfo").exists():
        names = [x for x in Path("/proc/cpuinfo").read_text().splitlines() if x.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return (
        f"{model}, {os.cpu_count()} cores; {platform.system()} {platform.release()}; "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )


def _verdicts(benches: dict[int, Bench]) -> list[str]:
    lines = []
    for size, bench in benches.items():
        for what, seconds, floor, peak, _ in bench.rows:
            aim = next((value for name, value in AIMS.items() if what.startswith(name)), None)
            if aim and floor:
                lines.append(_verdict(f"{size}: {what}", seconds / floor, aim, "x its floor"))
            if "export" in what and size == 20_000:
                lines.append(_verdict(f"{size}: {what}, peak", peak, PEAK_AIM_MIB, "MiB"))
    if {5_000, 20_000} <= benches.keys():
        small, large = ({r[0]: r[1] for r in benches[s].rows} for s in (5_000, 20_000))
        for what in small:
            grown = large[what] / small[what] / 4
            lines.append(_verdict(f"growth 5,000 to 20,000: {what}", grown, GROWTH_AIM, "x linear"))
    return lines


def _verdict(what: str, found: float, aim: float, unit: str) -> str:
    said = "met" if found <= aim else f"MISSED by {found / aim - 1:.0%}"
    return f"| {what} | {found:.2f} {unit} | {aim:g} | {said} |"


def _page(benches: dict[int, Bench], verdicts: list[str]) -> str:
    lines = [
        "# Benchmarks",
        "",
        f"Written by `./dev bench --write docs/benchmarks.md`. Machine: {_machine()}.",
        "",
        "Each figure is the median of runs in fresh processes with a warm page cache on both sides; start-up",
        "and imports are in ours and not in the floors. Archives are made of the real shape, with recorded",
        "inputs of 8 history entries, 0 to 4 of 40 tags, 15 % failures and 5 % timeouts without a proof.",
        "",
        "| archives | step | seconds | floor | ratio | peak MiB | |",
        "| ---: | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for size, bench in benches.items():
        for what, seconds, floor, peak, said in bench.rows:
            ratio = f"{floor:.2f} | {seconds / floor:.1f}" if floor else "|"
            lines.append(f"| {size} | {what} | {seconds:.2f} | {ratio} | {peak:.0f} | {said} |")
    lines += [
        "",
        "## Against the aims",
        "",
        "| what | found | aim | |",
        "| --- | --- | --- | --- |",
        *verdicts,
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and write the page if asked to."""
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("--sizes", default="1000,5000,20000")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--write", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.scratch) as folder:
        benches = {}
        for size in map(int, asked.sizes.split(",")):
            benches[size] = Bench(Path(folder), size, asked.repeat)
            benches[size].run()
            shutil.rmtree(Path(folder) / str(size))
        verdicts = _verdicts(benches)
        print(*verdicts, sep="\n")
        if asked.write:
            asked.write.write_text(_page(benches, verdicts), encoding="utf-8")


if __name__ == "__main__":
    main()
