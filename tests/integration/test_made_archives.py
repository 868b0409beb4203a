"""The archives that benchmarks and long tests are run on have the shape of real ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from collectord.config import Settings
from collectord.dataset.exporter import export
from collectord.dataset.row_plan import ExportOptions
from collectord.intake.ingest import ingest
from tests.support.archives import Maker, kept_repo


def _tree(repo: Path) -> dict[str, tuple[str, int]]:
    files = [path for path in sorted(repo.rglob("*")) if path.is_file()]
    digests = {str(path.relative_to(repo)): sha256(path.read_bytes()).hexdigest() for path in files}
    return {name: (digest, (repo / name).stat().st_mtime_ns) for name, digest in digests.items()}


def _archives(repo: Path) -> dict[str, tuple[str, int]]:
    return {name: found for name, found in _tree(repo).items() if name.startswith(".cyntra/archives/")}


def test_same_seed_gives_the_same_archives_in_one_go_or_in_several(tmp_path: Path) -> None:
    Maker(tmp_path / "a").add(30)
    maker = Maker(tmp_path / "b")
    maker.add(12)
    maker.add(18)
    assert _archives(tmp_path / "a") == _archives(tmp_path / "b")


def test_another_seed_gives_other_archives(tmp_path: Path) -> None:
    assert Maker(tmp_path / "a", seed=1).add(5) != Maker(tmp_path / "b", seed=2).add(5)


def test_every_recorded_input_hash_is_right_and_every_plan_becomes_a_row(
    tmp_path: Path, settings_for: Callable[..., Settings]
) -> None:
    Maker(tmp_path / "repo").add(80)
    settings = settings_for(tmp_path / "repo")
    assert ingest(settings).outcomes == {"indexed": 80}
    document = export(settings, ExportOptions()).document
    assert document["input_hashes"] == {"verified": 80}
    assert document["example_count"] == 80


def test_recorded_histories_are_full_and_hold_only_runs_that_had_finished(tmp_path: Path) -> None:
    names = Maker(tmp_path / "repo").add(80)
    ends: dict[str, Any] = {}
    for name in names:
        planner = json.loads((tmp_path / "repo/.cyntra/archives" / name / "manifest.json").read_bytes())
        recorded = planner["planner"]["planner_input"]
        shown = recorded["history"]["last_n_similar_runs"]
        assert all(ends[run["run_id"]] <= recorded["created_at"] for run in shown)
        proof = tmp_path / "repo/.cyntra/archives" / name / "proof.json"
        if proof.exists():
            ends[name] = json.loads(proof.read_bytes())["metadata"]["completed_at"]
    assert len(shown) == 8


def test_an_older_kernel_records_a_plan_and_no_input(
    tmp_path: Path, settings_for: Callable[..., Settings]
) -> None:
    Maker(tmp_path / "repo", recorded=False).add(40)
    settings = settings_for(tmp_path / "repo")
    ingest(settings)
    document = export(settings, ExportOptions()).document
    assert (document["example_count"], document["input_hashes"]) == (40, {})


@pytest.mark.parametrize("left_in_place", [False, True])
def test_a_kept_repo_is_made_once_and_its_spare_archive_put_back(tmp_path: Path, left_in_place: bool) -> None:
    kept = kept_repo(tmp_path, 10)
    before = _tree(tmp_path)
    if left_in_place:
        kept.spare.rename(kept.spare_place)
    assert kept_repo(tmp_path, 10) == kept
    assert _tree(tmp_path) == before
