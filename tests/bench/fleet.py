"""`./dev bench fleet`: one dataset of many sources, by workers, beside reading, hashing and writing it alone.

The sources are one made index under many names: as many rows at each instant as there are sources, so that
every block of a file is gathered from all of them, which is the worst that a merge can meet.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from collectord.fleet.datasets import published
from collectord.fleet.export import Asked, export_fleet
from collectord.fleet.manifest import Push, latest_name
from collectord.fleet.options import FleetOptions
from collectord.fleet.push import push
from collectord.fleet.runners import Runner, workers
from collectord.fleet.storage import Folder
from collectord.intake.ingest import ingest
from tests.bench.machine import describe
from tests.support.archives import kept_repo
from tests.support.fleets import settings_in


@dataclass(frozen=True)
class Measured:
    """A task with what it cost its worker: processor seconds, and the most memory that it ever had."""

    function: Callable[[Any], Any]

    def __call__(self, task: Any) -> Any:
        before = _cpu()
        result = self.function(task)
        return result, _cpu() - before, _peak_mib(), os.getpid()


class Measuring:
    """A runner that remembers the cost of each stage."""

    dashboard = None

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.stages: dict[str, dict[str, float]] = {}

    def run(self, function: Callable[[Any], Any], tasks: Any) -> Iterator[tuple[int, Any]]:
        begun = time.monotonic()
        stage = self.stages.setdefault(function.__name__, {"cpu": 0.0, "peak_mib": 0.0})
        for place, result in self._runner.run(Measured(function), tasks):
            if isinstance(result, Exception):
                yield place, result
                continue
            value, cpu, peak, _pid = result
            stage["cpu"] += cpu
            stage["peak_mib"] = max(stage["peak_mib"], peak)
            yield place, value
        stage["seconds"] = time.monotonic() - begun


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _store(scratch: Path, runs: int, sources: int) -> Folder:
    """A storage with one index under many names."""
    kept = kept_repo(scratch, runs)
    one = Folder(scratch / f"fleet-{runs}")
    settings = settings_in(kept.repo, one.url, "one")
    if not (one.root / latest_name("one")).exists():
        ingest(settings)
        push(settings)
    made = Push.model_validate_json((one.root / latest_name("one")).read_bytes())
    store = Folder(scratch / f"fleet-{runs}-{sources}")
    for number in range(sources):
        of = made.model_copy(update={"source": f"host-{number:04}", "identity": f"{number:032x}"})
        if store.size(of.shard) is None:
            (store.root / of.shard).parent.mkdir(parents=True, exist_ok=True)
            os.link(one.root / made.shard, store.root / of.shard)
            store.replace(of.manifest, of.as_bytes())
            store.replace(latest_name(of.source), of.as_bytes())
    return store


def _say(stage: str, done: int, total: int, what: str, rows: int) -> None:
    """No progress: it is measured."""


def measure(store: Folder, to: Path, count: int, *, again: bool = False) -> dict[str, Any]:
    """One export with so many workers: from nothing, or `again` of what the one before rendered."""
    if not again:
        shutil.rmtree(to, ignore_errors=True)
    for name in published(Folder(to)):
        shutil.rmtree(to / name)
    asked = Asked(store.url, str(to), all_runs=True)
    with workers(count, None, None) as runner:
        measuring = Measuring(runner)
        begun = time.monotonic()
        done = export_fleet(asked, FleetOptions(), measuring, _say, lambda: 1_796_000_000_000)
        seconds = time.monotonic() - begun
    return {
        "workers": count,
        "rows": done.document["example_count"],
        "dataset_hash": done.document["dataset_hash"],
        "seconds": round(seconds, 1),
        "stages": {name: {k: round(v, 1) for k, v in one.items()} for name, one in measuring.stages.items()},
        "url": done.url,
        "scratch_mib": sum(Folder(to).files("scratch").values()) / 2**20,
        "dataset_mib": sum(Folder(Path(done.url)).files("data").values()) / 2**20,
    }


def floor(url: str) -> dict[str, float]:
    """Reading, hashing and writing the same files with pyarrow alone, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.fleet", "--floor", url],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _floor(url: str) -> None:
    import pyarrow.parquet as pq

    begun = _cpu()
    digest = sha256()
    with tempfile.TemporaryDirectory() as scratch:
        for path in sorted(Path(url, "data").iterdir()):
            with (
                pq.ParquetFile(path) as file,
                pq.ParquetWriter(
                    Path(scratch, path.name), file.schema_arrow, compression="zstd", compression_level=1
                ) as write,
            ):
                for group in range(file.num_row_groups):
                    table = file.read_row_group(group, use_threads=False)
                    for text in table.column("planner_input_json").to_pylist():
                        digest.update(text.encode())
                    write.write_table(table)
    print(json.dumps({"cpu": round(_cpu() - begun, 1), "peak_mib": round(_peak_mib(), 1)}))


def main() -> None:
    """Measure and print a line for each number of workers, and the floor."""
    parser = argparse.ArgumentParser(prog="./dev bench fleet", description=__doc__)
    parser.add_argument("--sources", default="20")
    parser.add_argument("--runs", type=int, default=2000, help="of each source")
    parser.add_argument("--workers", default="1,2")
    kept = Path(tempfile.gettempdir()) / f"collectord-bench-{os.getuid()}"
    parser.add_argument("--scratch", type=Path, default=kept)
    parser.add_argument("--floor", help=argparse.SUPPRESS)
    asked = parser.parse_args(sys.argv[1:])
    if asked.floor:
        _floor(asked.floor)
        return
    asked.scratch.mkdir(parents=True, exist_ok=True)
    print(describe(asked.scratch), flush=True)
    hashes = set()
    for sources in map(int, asked.sources.split(",")):
        store = _store(asked.scratch.resolve(), asked.runs, sources)
        for count, again in ((int(n), again) for n in asked.workers.split(",") for again in (False, True)):
            found = measure(store, asked.scratch / "fleet-to", count, again=again)
            cpu = sum(stage["cpu"] for stage in found["stages"].values())
            rate = found["rows"] / max(cpu, 0.1)
            sizes = f"scratch {found['scratch_mib']:.0f} MiB, dataset {found['dataset_mib']:.0f} MiB"
            what = f"{sources} sources × {asked.runs} runs, {count} workers{', again' if again else ''}"
            took = f"{found['rows']} rows in {found['seconds']} s, {cpu:.0f} CPU s"
            print(f"{what}: {took}, {rate:.0f} rows a CPU second, {sizes}", flush=True)
            for name, stage in found["stages"].items():
                print(f"  {name}: {stage}", flush=True)
            hashes.add((sources, found["dataset_hash"]))
        print(f"  floor: {floor(found['url'])}", flush=True)
    print(*sorted(hashes), sep="\n")


if __name__ == "__main__":
    main()
