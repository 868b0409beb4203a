"""A made-up kernel that runs beside collectord: `python -m tests.support.fake_kernel --repo DIR`.

It does what CONTRACT.md section 2 says: a marker in `.workcells/` while a run is in flight, Beads rewritten
before the archive appears, the archive copied file by file with stalls at any byte, two or three at a time;
later edits of proof.json, archives written a second time, logs pruned, whole archives pruned, worktrees
moved to `orphaned-workcells`. The same seed does the same in the same order; only the times differ. The
configuration is read once, at the start. Everything that is finished is noted in a journal.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.support.fake_policy import read_fake_policy
from tests.support.fake_writing import Steps, remove_tree, replace_file, write_archive, write_file
from tests.support.made_files import beads_line, event_lines, files_of, load_model
from tests.support.made_runs import START_MS, Runs
from tests.support.made_values import Issue, MadeRun

ORPHANS = "orphaned-workcells"


@dataclass(frozen=True)
class Habits:
    """How often the kernel and the tools around it do what, as a share of the archives (stall: of steps).

    Whole archives are pruned only when `spare` younger ones stand beside them. Beads is rewritten at every
    `beads_every`-th change; a real kernel rewrites it at each, which is slow with thousands of issues.
    """

    stall: float = 0.0
    stall_s: float = 0.3
    at_once: int = 3
    rewrite: float = 0.0
    edit: float = 0.0
    prune_logs: float = 0.0
    prune: float = 0.0
    spare: int = 100
    orphan: float = 0.0
    renders: float = 0.0
    beads_every: int = 1


LIVELY = Habits(
    stall=0.02, rewrite=0.03, edit=0.05, prune_logs=0.05, prune=0.02, orphan=0.01, renders=0.1, beads_every=5
)


class FakeKernel:
    """One kernel on one repo; `skip` runs of the stream are taken as done by a kernel before this one."""

    def __init__(
        self,
        repo: Path,
        *,
        seed: int = 1,
        start_ms: int = START_MS,
        skip: int = 0,
        recorded: bool = True,
        habits: Habits = Habits(),
        journal: Path | None = None,
    ) -> None:
        self.repo, self._recorded, self._habits, self._journal = repo, recorded, habits, journal
        self._dice, self._model = random.Random(f"kernel {seed} {skip}"), load_model()
        self.archives = repo / ".cyntra/archives"
        for folder in (self.archives, repo / ".cyntra/logs", repo / ".beads", repo / ".workcells"):
            folder.mkdir(parents=True, exist_ok=True)
        if not (repo / ".cyntra/config.yaml").exists():
            (repo / ".cyntra/config.yaml").write_text(self._model.config)
        self._runs = Runs(seed, start_ms=start_ms, route=read_fake_policy(repo).route)
        for _ in range(skip):
            self._runs.next()
        self._beads = dict(self._runs.issues)
        self._beads_changes = 0
        self._standing: list[MadeRun] = []
        self._in_use: set[str] = set()
        self._issues_after: dict[str, Issue] = {}

    def run(self, count: int, *, per_second: float | None = None) -> None:
        """Work off so many runs, some at once, sleeping at stalls; then catch up with Beads."""
        begun, started = time.monotonic(), 0
        active: list[tuple[float, Steps]] = []
        while started < count or active:
            now = time.monotonic()
            due = started < count and (per_second is None or started <= (now - begun) * per_second)
            if due and len(active) < self._habits.at_once:
                active.append((now, self.work_off(self.next_run())))
                started += 1
            elif all(at > now for at, _ in active):
                time.sleep(0.002)
            active = [moved for item in active if (moved := self._advance(item, now))]
        self._write_beads()

    def _advance(self, item: tuple[float, Steps], now: float) -> tuple[float, Steps] | None:
        """One step of a run that is not standing still; None when it is done."""
        at, steps = item
        if at > now:
            return item
        try:
            next(steps)
        except StopIteration:
            return None
        stalls = self._dice.random() < self._habits.stall
        return (now + self._dice.uniform(0, self._habits.stall_s) if stalls else now), steps

    def next_run(self) -> MadeRun:
        """The next run of the stream."""
        run = self._runs.next()
        self._issues_after[run.workcell_id] = self._runs.issues[run.issue.id]
        return run

    def files_of(self, run: MadeRun) -> dict[str, str]:
        """Name → text of the archive of a run, in the order in which they are copied."""
        files = files_of(run, self._model, recorded=self._recorded)
        if self._dice.random() < self._habits.renders:
            files["renders/view.png"] = "not really a picture " * 200
        return files

    def work_off(self, run: MadeRun) -> Steps:
        """Everything that one run leaves behind, and what is done to it and to older ones afterwards."""
        yield from self._dispatch(run)
        self._append_events(event_lines(run).splitlines(keepends=True)[1:])
        self._set_issue(self._issues_after.pop(run.workcell_id))
        files, folder = self.files_of(run), self.archives / run.workcell_id
        yield from write_archive(folder, files, self._dice)
        self._note("archived", run)
        shutil.rmtree(self.repo / ".workcells" / run.workcell_id)
        self._standing.append(run)
        yield from self._afterwards(run, files)

    def _dispatch(self, run: MadeRun) -> Steps:
        flight = self.repo / ".workcells" / run.workcell_id
        flight.mkdir()
        marker = files_of(run, self._model, recorded=False)[".workcell"]
        yield from write_file(flight / ".workcell", [marker.encode()])
        self._append_events(event_lines(run).splitlines(keepends=True)[:1])
        self._set_issue(replace(run.issue, status="in_progress"))

    def _afterwards(self, run: MadeRun, files: dict[str, str]) -> Steps:
        for share, does in (
            (self._habits.rewrite, lambda: self._rewrite(run, files)),
            (self._habits.edit, self._edit_one),
            (self._habits.prune_logs, self._prune_logs_of_one),
            (self._habits.prune, self._prune_one),
            (self._habits.orphan, lambda: self._orphan(run)),
        ):
            if self._dice.random() < share:
                yield from does()

    def _rewrite(self, run: MadeRun, files: dict[str, str]) -> Steps:
        """The same name a second time, over what is there."""
        manifest = json.dumps({**json.loads(files["manifest.json"]), "attempt": self._dice.randrange(10**6)})
        again = {**files, "manifest.json": manifest}
        with self._used(run) as free:
            if free:
                yield from write_archive(self.archives / run.workcell_id, again, self._dice)
                self._note("rewritten", run)

    def _edit_one(self) -> Steps:
        run = self._dice.choice(self._standing)
        place = self.archives / run.workcell_id / "proof.json"
        with self._used(run) as free:
            if not free or not place.exists():
                return
            code = f"E{self._dice.randrange(10**6)}"
            text = json.dumps({**json.loads(place.read_bytes()), "failure_code": code}, indent=2)
            careful = self._dice.random() < 0.5
            yield from replace_file(place, text) if careful else write_file(place, [text.encode()])
            self._note("edited", run)

    def _prune_logs_of_one(self) -> Steps:
        run = self._dice.choice(self._standing)
        logs = self.archives / run.workcell_id / "logs"
        with self._used(run) as free:
            if free and logs.exists():
                yield from remove_tree(logs)
                self._note("logs pruned", run)

    def _prune_one(self) -> Steps:
        if len(self._standing) <= self._habits.spare:
            return
        run = self._standing[self._dice.randrange(len(self._standing) - self._habits.spare)]
        with self._used(run) as free:
            if free:
                self._standing.remove(run)
                self._note("pruned", run)
                yield from remove_tree(self.archives / run.workcell_id)

    @contextmanager
    def _used(self, run: MadeRun) -> Iterator[bool]:
        """Keeps two tools from one archive, which would trip over each other; False if it is taken."""
        free = run.workcell_id not in self._in_use
        self._in_use.add(run.workcell_id)
        try:
            yield free
        finally:
            if free:
                self._in_use.remove(run.workcell_id)

    def _orphan(self, run: MadeRun) -> Steps:
        """A whole worktree, moved there by rename."""
        worktree = self.repo / f".workcells/left-{run.workcell_id}"
        (worktree / "src").mkdir(parents=True)
        (worktree / ".git").write_text("gitdir: /nowhere\n")
        (worktree / "src/manifest.json").write_text("{}")
        (self.archives / ORPHANS).mkdir(exist_ok=True)
        yield
        worktree.rename(self.archives / ORPHANS / worktree.name)
        yield

    def _set_issue(self, issue: Issue) -> None:
        self._beads[issue.id] = issue
        self._beads_changes += 1
        if self._beads_changes % self._habits.beads_every == 0:
            self._write_beads()

    def _write_beads(self) -> None:
        """In place and in two parts, as a process that buffers does."""
        lines = [beads_line(issue) for issue in self._beads.values()]
        with (self.repo / ".beads/issues.jsonl").open("w") as file:
            file.writelines(lines[: len(lines) // 2])
            file.flush()
            file.writelines(lines[len(lines) // 2 :])
        (self.repo / ".beads/deps.jsonl").touch()

    def _append_events(self, lines: list[str]) -> None:
        with (self.repo / ".cyntra/logs/events.jsonl").open("a") as file:
            file.writelines(lines)

    def _note(self, did: str, run: MadeRun) -> None:
        if self._journal is not None:
            with self._journal.open("a") as file:
                file.write(json.dumps({"did": did, "name": run.workcell_id, "at": time.time()}) + "\n")


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """What a kernel noted so far."""
    for line in path.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            yield json.loads(line)


def main() -> None:
    """Work off runs as the arguments say, then end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repo", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=100, help="runs to work off")
    parser.add_argument("--skip", type=int, default=0, help="runs of the stream that are done already")
    parser.add_argument("--start-ms", type=int, default=START_MS, help="the kernel's own clock at its start")
    parser.add_argument("--per-second", type=float, help="runs a second at most; else as fast as it goes")
    parser.add_argument("--journal", type=Path, help="a line of JSON for all that is finished")
    for name, value in vars(LIVELY).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    asked = parser.parse_args()
    habits = Habits(**{name: getattr(asked, name) for name in vars(LIVELY)})
    kernel = FakeKernel(
        asked.repo,
        seed=asked.seed,
        start_ms=asked.start_ms,
        skip=asked.skip,
        habits=habits,
        journal=asked.journal,
    )
    kernel.run(asked.count, per_second=asked.per_second)


if __name__ == "__main__":
    sys.exit(main())
