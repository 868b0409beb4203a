"""What stands beside the archives can be as broken as what is in them: no export and no ingest dies of it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from collectord.config import Settings
from collectord.dataset.exporter import export
from collectord.dataset.row_plan import BUILDER, DISPATCH, ExportOptions
from collectord.dataset.verify import verify
from collectord.intake.ingest import ingest
from tests.conftest import unpack

SettingsFor = Callable[..., Settings]
STEM = {"schema_version": "1.0.0", "workcell_id": "wc-evil", "issue": {"id": "1", "tags": []}}
PLAN = {"swarm_id_executed": "serial_handoff", "timeout_seconds_executed": 3600}
SPACE = {"swarm_ids": ["serial_handoff"]}
PROOF = {"status": "success", "metadata": {"started_at": "2025-12-10T08:01:00Z", "duration_ms": 5}}
DEEPEST = 960


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repo with three good archives, and one more whose planner input was not recorded."""
    repo = unpack("universe", tmp_path / "repo")
    for entry in (repo / ".cyntra/archives").iterdir():
        if entry.name not in ("wc-e001", "wc-e058", "wc-e074"):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    folder = repo / ".cyntra/archives/wc-evil"
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({**STEM, "planner": {"executed_plan": PLAN}}))
    (folder / "proof.json").write_text(json.dumps(PROOF))
    return repo


def _rows(repo: Path, settings_for: SettingsFor, **more: Any) -> int:
    """Ingest, export and verify both profiles; the rows of the dispatch profile with a rebuilt history."""
    settings = settings_for(repo)
    ingest(settings)
    ingest(settings)
    count: Any = 0
    for options in (ExportOptions(BUILDER, **more), ExportOptions(DISPATCH, n_similar=4, **more)):
        out = repo.parent / f"out-{options.profile}"
        count = export(settings, options, out=out).meta["example_count"]
        assert verify(settings, out).findings == ()
    return int(count)


def _append(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(f"\n{line}\n")


@pytest.mark.parametrize("kind", ['["workcell.failed"]', '{"workcell.failed": 1}', "null", "5"])
def test_an_event_whose_type_is_no_text_is_passed_over(
    repo: Path, settings_for: SettingsFor, kind: str
) -> None:
    _append(repo / ".cyntra/logs/events.jsonl", f'{{"type": {kind}, "workcell_id": "workcell.1"}}')
    assert _rows(repo, settings_for) == 4


@pytest.mark.parametrize(
    "record",
    [
        '"dk_tool_hint": NaN',
        '"title": NaN, "description": Infinity',
        '"title": {"a": [NaN]}',
        '"description": [-Infinity]',
    ],
)
def test_numbers_that_are_not_finite_in_beads_never_reach_a_dispatch_row(
    repo: Path, settings_for: SettingsFor, record: str
) -> None:
    _append(repo / ".beads/issues.jsonl", f'{{"id": "1", {record}}}')
    assert _rows(repo, settings_for) == 4
    data = (repo.parent / "out-dispatch/dataset.jsonl").read_bytes()
    assert b"NaN" not in data
    assert b"Infinity" not in data


@pytest.mark.parametrize("depth", [200, 480, 600, 790, 900, DEEPEST])
def test_a_recorded_input_of_any_depth_gets_an_outcome(
    repo: Path, settings_for: SettingsFor, depth: int
) -> None:
    recorded = {"schema_version": "cyntra.planner_input.v1", "action_space": SPACE, "issue": {"title": "@"}}
    text = json.dumps({**STEM, "planner": {"executed_plan": PLAN, "planner_input": recorded}})
    text = text.replace('"@"', "[" * depth + "NaN" + "]" * depth)
    (repo / ".cyntra/archives/wc-evil/manifest.json").write_text(text)
    assert _rows(repo, settings_for) == (4 if depth < 795 else 3)


@pytest.mark.parametrize("depth", [600, DEEPEST])
def test_a_beads_record_of_any_depth_is_no_obstacle(
    repo: Path, settings_for: SettingsFor, depth: int
) -> None:
    _append(repo / ".beads/issues.jsonl", f'{{"id": "1", "title": {"[" * depth}1{"]" * depth}}}')
    assert _rows(repo, settings_for) == 4


def _name_the_universe(repo: Path, name: bytes) -> None:
    folder = os.fsencode(repo / ".cyntra/universes")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(os.path.join(folder, name))  # noqa: PTH103, PTH118


def test_a_universe_folder_whose_name_is_not_utf8_counts_as_unknown(
    repo: Path, settings_for: SettingsFor
) -> None:
    _name_the_universe(repo, b"\xff\xfe")
    assert _rows(repo, settings_for) > 0
    rows = (repo.parent / "out-builder/dataset.jsonl").read_text().splitlines()
    assert {json.loads(row)["planner_input"]["universe_id"] for row in rows} == {"unknown"}


def _catalog(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text)


CATALOGS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a world kind that is a list": (
        "universe",
        lambda path: path.write_text(
            f'schema_version: "1.0"\nuniverse_id: {path.parent.name}\n'
            "worlds: [{world_id: a, world_kind: [codebase], path: .}]\n"
        ),
    ),
    "a swarm with a lone surrogate": (
        "swarms",
        _catalog('schema_version: "1.0"\nswarms: {"\\uD800": {}}\n'),
    ),
    "depth beyond the limit": ("swarms", _catalog("[" * 20_000)),
    "a FIFO": ("swarms", os.mkfifo),
    "a FIFO as the universe": ("universe", os.mkfifo),
    "a directory": ("objectives", Path.mkdir),
    "a link to itself": ("swarms", lambda path: path.symlink_to(path.name)),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", CATALOGS)
def test_a_broken_registry_gives_no_more_than_the_universes_name(
    repo: Path, settings_for: SettingsFor, kind: str
) -> None:
    name, make = CATALOGS[kind]
    path = next((repo / "universes").iterdir()) / f"{name}.yaml"
    path.unlink(missing_ok=True)
    make(path)
    assert _rows(repo, settings_for) > 0
    row = json.loads((repo.parent / "out-builder/dataset.jsonl").read_text().splitlines()[0])
    assert row["planner_input"]["action_space"]["swarm_ids"] == ["serial_handoff", "speculate_vote"]


@pytest.mark.parametrize("universe", ["u" * 300, "a/../..", "\0", "\udcff", [1], {"a": None}, 10**30])
def test_a_world_run_may_name_any_universe(repo: Path, settings_for: SettingsFor, universe: Any) -> None:
    folder = repo / ".cyntra/runs/r1"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text('{"run_id": "r1", "created_at": "2025-12-10T08:00:00Z"}')
    (folder / "context.json").write_text(json.dumps({"universe_id": universe, "swarm_id": "s"}))
    assert _rows(repo, settings_for, include_world=True) > 0
