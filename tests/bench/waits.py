"""What people wait for, in the order in which the steps build on each other."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.bench.figures import Aim, Figure, Sample
from tests.bench.processes import Command, in_turns, peer, python
from tests.support.archives import Kept

GROUPS = ("ingest", "look", "export", "new", "builder", "rebuilt", "audit", "idle")
# What is asked of a collection that is several times as large.
LARGE = {"ingest", "new", "idle"}
IDLE_S = 60.0


def nothing() -> None:
    """What has nothing to prepare."""


@dataclass(frozen=True, slots=True)
class Tree:
    """One state of the code with a repo of its own, whose archives are those of the repo that is kept."""

    root: Path
    place: Path

    @classmethod
    def made(cls, root: Path, place: Path, kept: Path) -> Tree:
        """Nothing is configured: a value that is given costs the reading of it."""
        shutil.copytree(kept, place / "repo", ignore=shutil.ignore_patterns("archives", "state", "benches"))
        (place / "repo/.cyntra/archives").symlink_to(kept / ".cyntra/archives")
        return cls(root, place)

    def command(self, *arguments: str) -> Command:
        """collectord of this tree."""
        words = (sys.executable, "-m", "collectord", "--repo", str(self.place / "repo"), *arguments)
        return Command(words, {"PYTHONPATH": str(self.root)}, self.place)

    @property
    def state(self) -> Path:
        """Where the index lies."""
        return self.place / "repo/.cyntra/state/collectord"

    @property
    def benches(self) -> Path:
        """Where datasets lie."""
        return self.place / "repo/.cyntra/benches"

    def forget(self, *folders: Path) -> None:
        """Remove what the next step makes again."""
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)

    def save(self) -> None:
        """Keep a copy of index and datasets as they are."""
        self.forget(self.place / "saved")
        for folder in (self.state, self.benches):
            shutil.copytree(folder, self.place / "saved" / folder.name, symlinks=True)

    def put_back(self) -> None:
        """Index and datasets as they were saved."""
        for folder in (self.state, self.benches):
            self.forget(folder)
            shutil.copytree(self.place / "saved" / folder.name, folder, symlinks=True)


class Waits:
    """Measures one repo with the tree of today, and beside it with the one before, if there is one."""

    def __init__(
        self,
        kept: Kept,
        trees: Sequence[Tree],
        repeat: int,
        note: Callable[[Figure], None],
        *,
        with_peers: bool = True,
    ) -> None:
        self._kept, self._trees, self._repeat, self._note = kept, trees, repeat, note
        self._with_peers = with_peers
        self._archives = str(kept.repo / ".cyntra/archives")
        self._place = trees[0].place.parent

    def run(self, groups: set[str]) -> None:
        """Measure the groups; what a later one stands on is made in any case."""
        self._ingest(measured="ingest" in groups)
        steps: dict[str, Callable[[], None]] = {
            "look": self._look,
            "export": self._export,
            "new": self._one_new,
            "builder": lambda: self._first_export("builder", "--profile", "builder"),
            "rebuilt": lambda: self._first_export("dispatch, histories rebuilt", "--histories", "rebuilt"),
            "audit": self._audit,
            "idle": self._idle,
        }
        for name, step in steps.items():
            if name in groups:
                step()

    def _measure(
        self,
        what: str,
        arguments: Sequence[str],
        aim: Aim,
        peers: Sequence[tuple[str, Command]] = (),
        prepare: Callable[[Tree], None] = lambda _tree: None,
    ) -> None:
        peers = peers if self._with_peers else ()
        ours = [(lambda t=tree: prepare(t), tree.command(*arguments).run) for tree in self._trees]
        beside = [(nothing, command.run) for _, command in peers]
        samples = in_turns(self._repeat, [*ours, *beside])
        self._figure(what, aim, samples, [name for name, _ in peers])

    def _figure(self, what: str, aim: Aim, samples: list[list[Sample]], names: Sequence[str] = ()) -> None:
        mine, beside = samples[: len(self._trees)], samples[len(self._trees) :]
        before = tuple(mine[1]) if len(mine) > 1 else ()
        peers = tuple((name, tuple(found)) for name, found in zip(names, beside, strict=True))
        aim = aim if self._with_peers else Aim()  # what is aimed for is aimed for at the usual size
        self._note(Figure(what, aim, tuple(mine[0]), before, peers))

    def _ingest(self, *, measured: bool) -> None:
        if not measured:
            for tree in self._trees:
                tree.command("ingest").run()
            return
        peer("parse", self._archives).run()  # warms the page cache for all
        beside = [("open, json.loads, sha256", peer("parse", self._archives))]
        table = str(self._place / "manifests.duckdb")
        beside.append(("DuckDB: the manifests into a table", peer("duckdb_table", self._archives, table)))
        again = Aim(of_before=0.6)
        self._measure("first `ingest`", ("ingest",), again, beside, lambda tree: tree.forget(tree.state))
        beside = [("lstat of the same", peer("lstat", self._archives)), *self._git_status()]
        self._measure("`ingest`, nothing changed", ("ingest",), Aim(1.2), beside)

    def _git_status(self) -> list[tuple[str, Command]]:
        """`git status` on the same files, tracked in a repository aside."""
        if not self._with_peers:
            return []
        git = ("git", f"--git-dir={self._place / 'git'}", f"--work-tree={self._archives}")
        if not (self._place / "git").exists():
            subprocess.run((*git[:1], "init", "--quiet", "--bare", str(self._place / "git")), check=True)
            subprocess.run((*git, "add", "."), check=True, cwd=self._archives)
        status = Command((*git, "status", "--porcelain"), folder=Path(self._archives))
        status.run()  # the first one refreshes git's own index
        return [("`git status`", status)]

    def _look(self) -> None:
        name = min(entry.name for entry in Path(self._archives).iterdir())
        bare = [("`python -c pass`", python("-c", "pass"))]
        self._measure("`--help`", ("--help",), Aim(0.12), bare)
        reading = [("`import sqlite3, click`", python("-c", "import sqlite3, click"))]
        for arguments in (("status",), ("runs", "--limit", "5"), ("explain", name)):
            what = "explain NAME" if arguments[0] == "explain" else " ".join(arguments)
            self._measure(f"`{what}`", arguments, Aim(0.15), reading)

    def _export(self) -> None:
        self._first_export("dispatch")
        self._measure("`export`, nothing new", ("export",), Aim(0.4))

    def _first_export(self, what: str, *arguments: str) -> None:
        def prepare(tree: Tree) -> None:
            tree.forget(tree.state / "cache", tree.benches)

        self._measure(f"first `export` ({what})", ("export", *arguments), Aim(of_before=0.6), (), prepare)

    def _one_new(self) -> None:
        """One archive more: its ingest and the export after it; all is put back before each repeat."""
        for tree in self._trees:
            tree.command("export").run()
            tree.save()
        dataset = str(next(self._trees[0].benches.glob("planner_dataset_v1_*")))
        copied = peer("copy_and_hash", dataset, str(self._place / "copied"))
        runs: list[tuple[Callable[[], object], Callable[[], Sample]]] = []
        for tree in self._trees:
            runs.append((tree.put_back, tree.command("ingest").run))
            runs.append((nothing, tree.command("export").run))
        self._kept.spare.rename(self._kept.spare_place)
        try:
            samples = in_turns(self._repeat, [*runs, (nothing, copied.run)])
        finally:
            self._kept.spare_place.rename(self._kept.spare)
        ingests, exports = samples[0:-1:2], samples[1:-1:2]
        self._figure("`ingest`, one new archive", Aim(1.4), ingests)
        peers = ["the same files written and hashed, Parquet by pyarrow"]
        self._figure("`export`, one new run", Aim(1.5), [*exports, samples[-1]], peers)
        for tree in self._trees:
            tree.put_back()

    def _audit(self) -> None:
        arguments = ("audit", "--since", "520w", "--json")
        forget: Callable[[Tree], None] = lambda tree: tree.forget(tree.state / "cache")  # noqa: E731
        self._measure("first `audit`", arguments, Aim(5), (), forget)
        self._measure("`audit` again", arguments, Aim(1.5))

    def _idle(self) -> None:
        """The daemon while nothing happens, after it knows all; processor time of a minute."""
        samples = [[_idle_sample(tree)] for tree in self._trees]
        self._figure(f"daemon idle for {IDLE_S:.0f} s (aim: 90 MiB)", Aim(0.003 * IDLE_S), samples)


def _idle_sample(tree: Tree) -> Sample:
    command = tree.command("run")
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command.words,
            env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **command.environment},
            cwd=tree.place,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            time.sleep(IDLE_S / 2)  # it compares what it knows with what is there, once
            before, begun = _used_s(process.pid), time.perf_counter()
            time.sleep(IDLE_S)
            took, used = time.perf_counter() - begun, _used_s(process.pid) - before
            return Sample(used * IDLE_S / took, took, _rss_mib(process.pid))
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(60)
            process.kill()


def _used_s(pid: int) -> float:
    import psutil

    used = psutil.Process(pid).cpu_times()
    return float(used.user + used.system)


def _rss_mib(pid: int) -> float:
    import psutil

    return float(psutil.Process(pid).memory_info().rss) / 2**20
