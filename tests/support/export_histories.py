"""Random histories of a repo, with a dataset after each step: by what was exported before, and from nothing.

`./dev soak exports` runs many of them.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from collectord.config import Settings
from collectord.dataset import rowcache, tables
from collectord.dataset.exporter import export
from collectord.dataset.row_plan import BUILDER, BY_ISSUE, DISPATCH, REBUILT, ExportOptions
from collectord.epochs.requests import cut_epoch
from collectord.errors import UsageError
from collectord.intake.ingest import ingest
from tests.support.archives import Maker
from tests.support.snapshots import settings_of

KINDS = (
    ExportOptions(),
    ExportOptions(split_by=BY_ISSUE),
    ExportOptions(DISPATCH, histories=REBUILT),
    ExportOptions(DISPATCH, n_similar=3),
    ExportOptions(BUILDER),
)
_POLICIES = (
    "\nscheduling: {max_concurrent_workcells: 9}\n",
    "\nspeculation: {auto_trigger_risk_levels: [low]}\n",
    "",
)


@contextmanager
def small_pieces() -> Iterator[None]:
    """Blocks of rows and Parquet files so small that a few dozen runs fill several."""
    before = rowcache.BLOCK_ROWS, tables.FILE_ROWS
    rowcache.BLOCK_ROWS, tables.FILE_ROWS = 4, 8
    try:
        yield
    finally:
        rowcache.BLOCK_ROWS, tables.FILE_ROWS = before


class History:
    """A repo that things happen to, the same for the same seed; `copied` counts files not made again."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder, self._dice = folder, random.Random(seed)
        maker = Maker(folder / "repo", seed=seed, recorded=self._dice.random() < 0.8)
        waiting = maker.add(self._dice.randint(8, 36))
        self._archives, self._waiting = maker.archives, folder / "waiting"
        maker.archives.rename(self._waiting)
        maker.archives.mkdir()
        self._left = self._late_ones_last(waiting)
        self._config = (folder / "repo/.cyntra/config.yaml").read_text()
        self.settings: Settings = settings_of(folder / "repo")
        self._kind, self._epoch = self._dice.choice(KINDS), self._dice.choice(("all", "all", "current", "1"))
        self.copied = self.reused = 0

    def _late_ones_last(self, names: list[str]) -> list[str]:
        """Most archives come as their runs ended, some much later."""
        late = {name for name in names if self._dice.random() < 0.2}
        return [name for name in names if name not in late] + [name for name in names if name in late]

    def run(self) -> None:
        """Let some steps happen; after each the two datasets must be the same to the last byte."""
        self._arrive()
        for number in range(self._dice.randint(2, 5)):
            ingest(self.settings, accept_gone=True)
            self._export(number)
            steps = self._steps()
            weights = 6, *(1 for _ in steps[1:])
            for step in self._dice.choices(steps, weights, k=self._dice.randint(1, 2)):
                step()

    def _steps(self) -> tuple[Callable[[], None], ...]:
        return (
            self._arrive,
            self._edit,
            self._prune,
            self._copy,
            self._policy,
            self._cut,
            self._beads,
            self._damage,
        )

    def _arrive(self) -> None:
        count = self._dice.choice((1, 1, 2, len(self._left) // 2, len(self._left)))
        coming, self._left = self._left[:count], self._left[count:]
        for name in coming:
            (self._waiting / name).rename(self._archives / name)

    def _there(self) -> list[Path]:
        return sorted(self._archives.iterdir())

    def _edit(self) -> None:
        archive = self._dice.choice(self._there() or [self._archives])
        name = self._dice.choice(("manifest.json", "proof.json"))
        if not (archive / name).is_file():
            return
        document = json.loads((archive / name).read_text())
        member = "toolchain" if name == "manifest.json" else "status"
        document[member] = self._dice.choice(("codex", "failed"))
        (archive / name).write_text(json.dumps(document))

    def _prune(self) -> None:
        for archive in self._dice.sample(self._there(), min(2, len(self._there()))):
            shutil.rmtree(archive)

    def _copy(self) -> None:
        if there := self._there():
            archive = self._dice.choice(there)
            target = archive.with_name(f"{archive.name}-copy")
            if not target.exists():
                shutil.copytree(archive, target)

    def _policy(self) -> None:
        (self.settings.repo / ".cyntra/config.yaml").write_text(self._config + self._dice.choice(_POLICIES))

    def _cut(self) -> None:
        cut_epoch(self.settings, "a test")

    def _beads(self) -> None:
        path = self.settings.repo / ".beads/issues.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for line in self._dice.sample(lines, len(lines) // 3):
            line["tags"] = ["edited", *(line.get("tags") or [])]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def _damage(self) -> None:
        """A file that an export would take something from is not as it was."""
        known = [*self._folder.glob("warm*/data/*.parquet"), *self._cache.glob("*.pack")]
        if not known:
            return
        path = self._dice.choice(sorted(known))
        data = bytearray(path.read_bytes())
        data[self._dice.randrange(len(data))] ^= 1 << self._dice.randrange(8)
        path.unlink()
        path.write_bytes(data[: self._dice.choice((len(data), len(data) // 2))])

    @property
    def _cache(self) -> Path:
        return self.settings.state_dir / "cache"

    def _tables(self) -> set[str]:
        found: set[str] = set()
        for path in self._cache.glob("tables-*.json"):
            found |= json.loads(path.read_bytes().partition(b"\n")[2])["files"].keys()
        return found

    def _export(self, number: int) -> None:
        warm, cold, aside = self._folder / f"warm{number}", self._folder / "cold", self._folder / "aside"
        before = self._tables()
        try:
            done = export(self.settings, self._kind, epoch=self._epoch, out=warm)
        except UsageError:
            return  # there is no such epoch yet
        self.reused += done.rows_reused
        self.copied += len(before & self._tables())
        self._cache.rename(aside)
        export(self.settings, self._kind, epoch=self._epoch, out=cold)
        assert _files(warm) == _files(cold), f"{self._kind}, step {number}"
        shutil.rmtree(self._cache)
        aside.rename(self._cache)
        shutil.rmtree(cold)


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def run(seeds: range) -> tuple[int, int]:
    """Run a history for each seed; how many rows and files were not made again. Raises AssertionError."""
    reused = copied = 0
    with small_pieces():
        for seed in seeds:
            with tempfile.TemporaryDirectory(prefix="collectord-history-") as folder:
                history = History(Path(folder), seed)
                try:
                    history.run()
                except AssertionError as error:
                    raise AssertionError(f"seed {seed}: {error}") from error
                reused, copied = reused + history.reused, copied + history.copied
    return reused, copied


def main(arguments: list[str]) -> None:
    """Run many; stops at the first in which the two differ."""
    parser = argparse.ArgumentParser(prog="./dev soak exports", description=__doc__)
    parser.add_argument("--histories", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="seed of the first")
    asked = parser.parse_args(arguments)
    begun, totals = time.monotonic(), (0, 0)
    for start in range(asked.first, asked.first + asked.histories, 50):
        found = run(range(start, min(start + 50, asked.first + asked.histories)))
        totals = totals[0] + found[0], totals[1] + found[1]
        done, took = start + 50 - asked.first, time.monotonic() - begun
        counted = f"{totals[0]} rows and {totals[1]} Parquet files taken from the export before"
        print(f"{min(done, asked.histories)} histories, {took:.0f} s: {counted}; no byte differs", flush=True)
