"""The made-up kernel writes as the real one does, so that what is proved against it means something."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from collectord.config import Settings
from collectord.intake.ingest import ingest
from tests.support.fake_kernel import FakeKernel, Habits, read_journal

POLICY = """
toolchains:
  codex: {model: new-model, timeout_seconds: 77}
  claude: {enabled: false}
  crush: {default_model: old-model}
toolchain_priority: [claude, crush]
routing:
  rules:
    - {match: {dk_risk: [critical, high]}, use: [codex, crush], speculate: true, parallelism: 3}
    - {match: {dk_size: XS}, use: codex}
gates: {test_command: make test, lint_command: null, build_command: make}
"""


def drive(kernel: FakeKernel, count: int) -> list[str]:
    """Works off runs one after the other without standing still; their names."""
    runs = [kernel.next_run() for _ in range(count)]
    for run in runs:
        for _ in kernel.work_off(run):
            pass
    return [run.workcell_id for run in runs]


def core_digests(repo: Path) -> dict[str, str]:
    found = sorted((repo / ".cyntra/archives").glob("*/*"))
    files = [path for path in found if path.is_file()]
    return {f"{p.parent.name}/{p.name}": sha256(p.read_bytes()).hexdigest() for p in files}


def manifests(repo: Path, names: list[str]) -> list[dict[str, object]]:
    return [json.loads((repo / ".cyntra/archives" / n / "manifest.json").read_bytes()) for n in names]


def test_files_appear_in_the_kernels_order_and_grow_piece_by_piece(tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path, habits=Habits(renders=1.0))
    run = kernel.next_run()
    seen: list[str] = []
    grown = set()
    sizes: dict[str, int] = {}
    for _ in kernel.work_off(run):
        folder = kernel.archives / run.workcell_id
        for path in sorted(folder.rglob("*")) if folder.exists() else ():
            name = str(path.relative_to(folder)).split("/")[0]
            seen += [name] * (name not in seen)
            if path.is_file() and sizes.get(str(path), 0) not in (0, path.stat().st_size):
                grown.add(name)
            sizes[str(path)] = path.stat().st_size
    order = ("logs", "proof.json", "manifest.json", "telemetry.jsonl", "rollout.json", "prompt.md")
    assert seen == [name for name in (*order, ".workcell", "renders") if name in seen]
    assert {"manifest.json", ".workcell", "renders"} <= set(seen)
    assert grown


def test_beads_and_the_event_log_know_of_an_end_before_its_archive_appears(tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path)
    runs = [kernel.next_run() for _ in range(40)]
    run = next(r for r in runs if r.status != "success")
    folder = kernel.archives / run.workcell_id
    marked = False
    for _ in kernel.work_off(run):
        marked = marked or (tmp_path / ".workcells" / run.workcell_id / ".workcell").exists()
        if folder.exists():
            break
    beads = [json.loads(line) for line in (tmp_path / ".beads/issues.jsonl").read_text().splitlines()]
    events = [json.loads(line) for line in (tmp_path / ".cyntra/logs/events.jsonl").read_text().splitlines()]
    assert marked
    assert next(r for r in beads if r["id"] == run.issue.id)["dk_attempts"] == 1
    assert events[-1]["type"] == "workcell.failed"
    assert list(folder.iterdir()) == []


def test_the_configuration_counts_as_it_was_at_the_start_of_the_kernel(tmp_path: Path) -> None:
    before = FakeKernel(tmp_path, seed=5)
    (tmp_path / ".cyntra/config.yaml").write_text(POLICY)
    old = manifests(tmp_path, drive(before, 30))
    new = manifests(tmp_path, drive(FakeKernel(tmp_path, seed=5, skip=30), 60))
    assert {m["toolchain"] for m in old} <= {"codex", "claude", "opencode"}
    assert {m["toolchain"] for m in new} == {"codex", "crush"}
    models = {(m["toolchain"], m["toolchain_config"]["model"]) for m in new}  # type: ignore[index]
    assert models == {("codex", "new-model"), ("crush", "old-model")}
    plans = [m["planner"]["executed_plan"] for m in new]  # type: ignore[index]
    assert {p["timeout_seconds_executed"] for p in plans} == {77, 1800}
    assert {p["max_candidates_executed"] for p in plans} == {1, 2}
    gates = {"test": "make test", "typecheck": "mypy .", "build": "make"}
    assert all(m["quality_gates"] == gates for m in new)


def test_a_second_kernel_goes_on_where_the_first_one_stopped(tmp_path: Path) -> None:
    names = drive(FakeKernel(tmp_path / "whole", seed=3), 20)
    first = drive(FakeKernel(tmp_path / "halves", seed=3), 12)
    assert first + drive(FakeKernel(tmp_path / "halves", seed=3, skip=12), 8) == names


def test_the_kernel_as_a_process_leaves_what_its_journal_says(
    tmp_path: Path, settings_for: Callable[..., Settings]
) -> None:
    shares = ["--stall", "0", "--rewrite", "0.3", "--edit", "0.3", "--prune-logs", "0.3", "--orphan", "0.3"]
    command = [sys.executable, "-m", "tests.support.fake_kernel", "--repo", str(tmp_path / "repo")]
    command += ["--count", "60", "--prune", "0.5", "--spare", "20", *shares]
    command += ["--journal", str(tmp_path / "journal")]
    subprocess.run(command, check=True, cwd=Path(__file__).resolve().parents[2])
    told = list(read_journal(tmp_path / "journal"))
    did = {what: {line["name"] for line in told if line["did"] == what} for what in {t["did"] for t in told}}
    assert set(did) == {"archived", "rewritten", "edited", "logs pruned", "pruned"}
    standing = set(os.listdir(tmp_path / "repo/.cyntra/archives")) - {"orphaned-workcells"}
    assert standing == did["archived"] - did["pruned"]
    assert len(did["archived"]) == 60
    assert ingest(settings_for(tmp_path / "repo")).outcomes == {"indexed": len(standing), "ignored": 1}


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_seed_leaves_the_same_bytes(tmp_path: Path, seed: int) -> None:
    habits = Habits(rewrite=0.2, edit=0.2, prune_logs=0.2, prune=0.2, spare=5)
    for place in ("a", "b"):
        drive(FakeKernel(tmp_path / place, seed=seed, habits=habits), 30)
    assert core_digests(tmp_path / "a") == core_digests(tmp_path / "b")
    assert core_digests(tmp_path / "a")
