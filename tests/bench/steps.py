"""The steps of the benchmark at one size, in the order in which they build on each other."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.figures import Figure, Sample
from tests.bench.processes import Found, alternate, run_task, sample, time_command

FIRST_INGEST_AIM = 4.0
FIRST_EXPORT_AIM = 12.0
AGAIN_AIM = 4.0
AUDIT_LIMIT_S = 5.0
AUDIT_LIMIT_SIZE = 20_000
N_SIMILAR = "8"


class Bench:
    """Measures one size; `scratch` keeps the archives, all else is removed again."""

    def __init__(self, scratch: Path, size: int, repeat: int, note: Callable[[Figure], None]) -> None:
        self._scratch, self._size, self._repeat, self._note = scratch, size, repeat, note
        self._work = scratch / f"work-{size}"
        self._state = ""
        self._outs = 0
        self._made: Found = {}

    def run(self, groups: set[str]) -> None:
        """Measure the groups: ingest, dispatch, one-new, builder, audit, older, start."""
        if groups - {"older"}:
            with self._repo("recorded"):
                self._ingest(measured="ingest" in groups)
                for name, measure in self._groups().items():
                    if name in groups:
                        measure()
        if "older" in groups:
            with self._repo("older"):
                run_task("ingest", self._made["repo"], self._state)
                self._exports("dispatch", "dispatch, histories rebuilt")

    def _groups(self) -> dict[str, Callable[[], None]]:
        return {
            "dispatch": lambda: self._exports("dispatch", "dispatch"),
            "one-new": self._one_new_run,
            "builder": lambda: self._exports("builder", "builder"),
            "audit": self._audit,
            "start": self._start_up,
        }

    @contextmanager
    def _repo(self, kind: str) -> Iterator[None]:
        self._made = run_task("make", str(self._scratch), str(self._size), kind)
        self._state = str(self._work / kind)
        shutil.rmtree(self._work, ignore_errors=True)
        Path(self._state).mkdir(parents=True)
        try:
            yield
        finally:
            shutil.rmtree(self._work, ignore_errors=True)

    def _figure(
        self, step: str, ours: list[Found], floor: list[Found], said: str = "", **rest: object
    ) -> None:
        samples = tuple(sample(f) for f in ours), tuple(sample(f) for f in floor)
        self._note(Figure(self._size, step, *samples, said=said, **rest))  # type: ignore[arg-type]

    def _ingest(self, *, measured: bool) -> None:
        repo = self._made["repo"]
        if not measured:
            run_task("ingest", repo, self._state)
            return
        run_task("floor_ingest", repo)  # warms the page cache for both sides

        def first() -> Found:
            shutil.rmtree(f"{self._state}/state", ignore_errors=True)
            return run_task("ingest", repo, self._state)

        ours, floor = alternate(self._repeat, first, lambda: run_task("floor_ingest", repo))
        said = f"{floor[0]['bytes'] / 2**20:.0f} MiB; floor: open, read, json.loads, sha256"
        self._figure("first ingest", ours, floor, said, aim=FIRST_INGEST_AIM, grows=True)

        def again() -> Found:
            return run_task("ingest", repo, self._state)

        ours, floor = alternate(self._repeat, again, lambda: run_task("floor_look", repo))
        said = f"{ours[-1]['outcomes']['unchanged']} unchanged; floor: lstat of the same entries"
        self._figure("ingest again, nothing changed", ours, floor, said, grows=True)

    def _export(self, profile: str, out: str) -> Found:
        return run_task("export", self._made["repo"], self._state, profile, N_SIMILAR, out)

    def _export_aside(self, profile: str) -> Found:
        """An export into a new directory; the one before is removed after it."""
        before = f"{self._state}/out{self._outs}"
        self._outs += 1
        found = self._export(profile, f"{self._state}/out{self._outs}")
        shutil.rmtree(before, ignore_errors=True)
        return found

    def _floor(self, found: Found) -> Found:
        return run_task("floor_export", f"{found['path']}/dataset.jsonl", f"{self._state}/floor")

    def _exports(self, profile: str, label: str) -> None:
        """First into one directory, then into others with nothing new, then to the default place."""
        model = self._export_aside(profile)
        written = Path(model["path"]).rename(f"{self._state}/model")
        model = {**model, "path": str(written)}

        def first() -> Found:
            shutil.rmtree(f"{self._state}/state/cache", ignore_errors=True)
            return self._export_aside(profile)

        ours, floor = alternate(self._repeat, first, lambda: self._floor(model))
        said = f"{ours[0]['rows']} rows, {floor[0]['bytes'] / 2**20:.0f} MiB; floor: write, fsync, sha256"
        rest = {"export": True, "grows": True}
        self._figure(f"first export ({label})", ours, floor, said, aim=FIRST_EXPORT_AIM, **rest)
        ours, floor = alternate(self._repeat, lambda: self._export_aside(profile), lambda: self._floor(model))
        said = f"nothing new, another --out; {ours[0]['computed']} rows computed"
        self._figure(f"export again ({label})", ours, floor, said, aim=AGAIN_AIM, **rest)
        self._export(profile, "default")
        ours, floor = alternate(
            self._repeat, lambda: self._export(profile, "default"), lambda: self._floor(model)
        )
        said = f"nothing new, default place; new directory: {'yes' if ours[0]['new'] else 'no'}"
        self._figure(f"export again, default place ({label})", ours, floor, said, aim=AGAIN_AIM, **rest)
        for name in ("model", f"out{self._outs}", "benches"):
            shutil.rmtree(f"{self._state}/{name}", ignore_errors=True)

    def _one_new_run(self) -> None:
        """One archive more: its ingest and the export after it; the state is put back before each repeat."""
        before = self._export("dispatch", "default")
        shutil.copytree(self._state, f"{self._work}/before", symlinks=True)
        ingests, exports, floors = [], [], []
        for _ in range(self._repeat):
            shutil.rmtree(self._state)
            shutil.copytree(f"{self._work}/before", self._state, symlinks=True)
            floors.append(self._floor(before))
            with self._spare_in_place():
                ingests.append(run_task("ingest", self._made["repo"], self._state))
                exports.append(self._export("dispatch", "default"))
        said = f"{exports[0]['computed']} row computed of {exports[0]['rows']}"
        self._figure(
            "ingest of one new archive", ingests, [], f"{ingests[0]['outcomes'].get('indexed')} indexed"
        )
        self._figure("export after one new run (dispatch)", exports, floors, said, export=True, grows=True)

    def _audit(self) -> None:
        """First, when every manifest and proof in the index is read, then from what that kept."""
        firsts, agains = [], []
        for _ in range(self._repeat):
            shutil.rmtree(f"{self._state}/state/cache", ignore_errors=True)
            firsts.append(run_task("audit", self._made["repo"], self._state))
            agains.append(run_task("audit", self._made["repo"], self._state))
        said = f"{firsts[0]['runs']} runs, every manifest and proof read from the index"
        self._figure("first audit", firsts, [], said, grows=True)
        limit = AUDIT_LIMIT_S if self._size >= AUDIT_LIMIT_SIZE else None
        said = "from the index and what the audit before kept of the artifacts"
        self._figure("audit again", agains, [], said, limit=limit, grows=True)
        page = f"{self._state}/audit.html"
        pages = [run_task("audit_page", self._made["repo"], self._state, page) for _ in range(self._repeat)]
        self._figure("audit again, with its page", pages, [], f"page of {pages[0]['bytes'] / 2**20:.2f} MiB")

    @contextmanager
    def _spare_in_place(self) -> Iterator[None]:
        spare, place = Path(self._made["spare"]), Path(self._made["spare_place"])
        spare.rename(place)
        try:
            yield
        finally:
            place.rename(spare)

    def _start_up(self) -> None:
        command = [sys.executable, "-m", "collectord"]
        state = {"COLLECTORD_PATHS_STATE": f"{self._state}/state"}
        bare = [time_command([sys.executable, "-c", "pass"], {}) for _ in range(self._repeat)]
        for name, rest in (("--help", ["--help"]), ("status", ["--repo", self._made["repo"], "status"])):
            ours: list[Sample] = [time_command([*command, *rest], state) for _ in range(self._repeat)]
            said = "the whole process; floor: python -c pass"
            self._note(Figure(self._size, f"collectord {name}", tuple(ours), tuple(bare), said=said))
