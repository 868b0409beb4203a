"""Writes Cyntra repos of the real shape and any size, the same for the same seed; or keeps them on disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.support.made_files import beads_line, event_lines, files_of, load_model
from tests.support.made_runs import Runs
from tests.support.made_values import MadeRun

# Part of the name of what is kept: raise it whenever another tree would come out.
_FORMAT = 2


class Maker:
    """Writes archives one after the other; `recorded` is whether manifests hold the planner's input."""

    def __init__(self, repo: Path, *, seed: int = 1, recorded: bool = True) -> None:
        self._repo, self._recorded = repo, recorded
        self._runs, self._model = Runs(seed), load_model()
        self.archives = repo / ".cyntra/archives"
        for folder in (self.archives, repo / ".cyntra/logs", repo / ".beads"):
            folder.mkdir(parents=True, exist_ok=True)
        (repo / ".cyntra/config.yaml").write_text(self._model.config)
        (repo / ".beads/deps.jsonl").touch()

    def add(self, count: int) -> list[str]:
        """Write so many more archives, with their events and issues; returns their names."""
        runs = [self._runs.next() for _ in range(count)]
        for run in runs:
            self._write(run)
        with (self._repo / ".cyntra/logs/events.jsonl").open("a") as events:
            events.writelines(event_lines(run) for run in runs)
        with (self._repo / ".beads/issues.jsonl").open("w") as issues:
            issues.writelines(beads_line(issue) for issue in self._runs.issues.values())
        return [run.workcell_id for run in runs]

    def _write(self, run: MadeRun) -> None:
        folder = f"{self.archives}/{run.workcell_id}"
        os.mkdir(folder)  # noqa: PTH102 (this and what follows is most of the time of a large repo)
        os.mkdir(f"{folder}/logs")  # noqa: PTH102
        files = files_of(run, self._model, recorded=self._recorded)
        for name, text in files.items():
            with open(f"{folder}/{name}", "w", encoding="utf-8") as file:
                file.write(text)
        copied = (run.finished_ms / 1000 + 1,) * 2
        for name in (*files, "logs", "."):
            os.utime(f"{folder}/{name}", copied)


@dataclass(frozen=True, slots=True)
class Kept:
    """A repo that is kept between runs, and one more archive of it that is not in place yet."""

    repo: Path
    spare: Path

    @property
    def spare_place(self) -> Path:
        """Where the spare archive belongs; whoever moves it there moves it back."""
        return self.repo / ".cyntra/archives" / self.spare.name


def kept_repo(folder: Path, count: int, *, seed: int = 1, recorded: bool = True) -> Kept:
    """A repo of `count` archives under `folder`, made once for these parameters; about 70 KB an archive."""
    place = folder / f"archives{_FORMAT}-{count}-seed{seed}-{'recorded' if recorded else 'older'}"
    if not place.exists():
        _make(place, count, seed, recorded)
    repo = place / "repo"
    [spare] = (place / "spare").read_text().split()
    kept = Kept(repo, place / spare)
    if kept.spare_place.exists():  # a run that was killed left it in place
        kept.spare_place.rename(kept.spare)
    return kept


def _make(place: Path, count: int, seed: int, recorded: bool) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".making-", dir=place.parent))
    try:
        maker = Maker(unfinished / "repo", seed=seed, recorded=recorded)
        maker.add(count)
        [spare] = maker.add(1)
        (maker.archives / spare).rename(unfinished / spare)
        (unfinished / "spare").write_text(spare)
        unfinished.rename(place)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
