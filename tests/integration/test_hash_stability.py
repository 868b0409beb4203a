"""A dataset keeps its hash whatever happens to the archives after they were indexed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from collectord.config import Settings
from collectord.dataset.exporter import export
from collectord.dataset.row_plan import BUILDER, DISPATCH, ExportOptions
from collectord.intake.ingest import ingest

CORPORA = ["kernel-run", "worlds"]


def _hashes(settings: Settings) -> dict[str, str]:
    found = {}
    for profile, n_similar in ((BUILDER, 8), (DISPATCH, 8), (DISPATCH, 5)):
        options = ExportOptions(profile, n_similar, None, include_world=True)
        exported = export(settings, options, dry_run=True)
        found[f"{profile}-{n_similar}"] = str(exported.meta["dataset_hash"])
    return found


def _archives(repo: Path) -> list[Path]:
    return sorted((repo / ".cyntra/archives").glob("wc-*"))


def _delete_logs(repo: Path) -> None:
    for archive in _archives(repo):
        shutil.rmtree(archive / "logs", ignore_errors=True)


def _touch_all(repo: Path) -> None:
    for root, folders, files in os.walk(repo / ".cyntra/archives"):
        for name in [*folders, *files]:
            os.utime(Path(root) / name)


def _remove_some(repo: Path) -> None:
    for archive in _archives(repo)[::3]:
        shutil.rmtree(archive)


def _remove_all(repo: Path) -> None:
    shutil.rmtree(repo / ".cyntra/archives")
    (repo / ".cyntra/archives").mkdir()


HARMS = [_delete_logs, _touch_all, _remove_some, _remove_all]


@pytest.mark.parametrize("corpus", CORPORA)
@pytest.mark.parametrize("accept_gone", [False, True])
@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__.strip("_"))
def test_hashes_outlive_what_happens_to_archives(
    golden_repo: Any, settings_for: Any, corpus: str, harm: Callable[[Path], None], accept_gone: bool
) -> None:
    repo = golden_repo(corpus)
    settings = settings_for(repo)
    ingest(settings)
    before = _hashes(settings)
    harm(repo)
    ingest(settings, accept_gone=accept_gone)
    assert _hashes(settings) == before


@pytest.mark.parametrize("corpus", CORPORA)
def test_an_index_made_from_a_copy_gives_the_same_hashes(
    golden_repo: Any, settings_for: Any, tmp_path: Path, corpus: str
) -> None:
    repo = golden_repo(corpus)
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-a", str(repo), str(copy)], check=True)
    hashes = []
    for place in (repo, copy):
        settings = settings_for(place)
        ingest(settings)
        hashes.append(_hashes(settings))
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize("corpus", CORPORA)
def test_dispatch_does_not_change_with_beads(golden_repo: Any, settings_for: Any, corpus: str) -> None:
    repo = golden_repo(corpus)
    settings = settings_for(repo)
    ingest(settings)
    before = _hashes(settings)
    beads = repo / ".beads/issues.jsonl"
    beads.write_text(beads.read_text().replace('"tags": [', '"tags": ["added", ').replace("low", "high"))
    ingest(settings)
    edited = _hashes(settings)
    assert edited["dispatch-8"] == before["dispatch-8"]
    assert edited["dispatch-5"] == before["dispatch-5"]
    assert edited["builder-8"] != before["builder-8"], "the builder joins the Beads file of today"
    beads.unlink()
    ingest(settings)
    removed = _hashes(settings)
    assert removed["dispatch-5"] == before["dispatch-5"]
