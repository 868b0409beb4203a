"""Snapshots appear whole or not at all, never over anything, and the link always leads to one."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from collectord.config import Settings
from collectord.dataset.exporter import Exported, export
from collectord.dataset.publish import twin_of, why_again
from collectord.dataset.row_plan import BUILDER, ExportOptions
from collectord.dataset.verify import verify
from collectord.errors import CollectordError
from collectord.index.opening import writer_for
from collectord.intake.ingest import ingest
from tests.conftest import unpack


@pytest.fixture
def kernel(tmp_path: Path, settings_for: Any) -> Settings:
    """The kernel-run corpus, ingested."""
    settings: Settings = settings_for(unpack("kernel-run", tmp_path / "repo"))
    ingest(settings)
    return settings


def _names(settings: Settings) -> list[str]:
    return sorted(entry.name for entry in settings.benches_dir.iterdir())


def _export(settings: Settings, **options: Any) -> Exported:
    return export(settings, ExportOptions(**options))


def test_a_snapshot_is_named_by_its_day_and_the_link_is_relative(kernel: Settings) -> None:
    exported = _export(kernel)
    assert exported.path is not None
    # Just after midnight it may still bear the day before.
    days = [time.strftime("%Y%m%d", time.gmtime(time.time() - ago)) for ago in (0, 60)]
    assert exported.path.name in [f"planner_dataset_v1_{day}" for day in days]
    link = kernel.benches_dir / "planner_dataset_v1"
    assert os.readlink(link) == exported.path.name  # noqa: PTH115
    assert {f.stat().st_mode & 0o777 for f in exported.path.rglob("*") if f.is_file()} == {0o444}
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=exported.path, check=True)


def test_the_same_content_again_makes_nothing_new(kernel: Settings) -> None:
    first, again = _export(kernel), _export(kernel)
    assert first.is_new
    assert not again.is_new
    assert again.path == first.path
    assert (again.rows_computed, again.rows_reused) == (0, 66)


def test_the_same_rows_are_published_again_with_the_reason(kernel: Settings) -> None:
    first = export(kernel, ExportOptions(), epoch="current")
    assert first.path is not None
    assert twin_of(first.path) is None
    archive = min(kernel.archives_dir.glob("wc-126-*"))
    shutil.copytree(archive, archive.with_name("wc-900-20261123T181340Z"))
    ingest(kernel)
    second = export(kernel, ExportOptions(), epoch="current")
    assert second.path is not None
    assert second.document["left_out"] == {f"copy_of {archive.name}": 1}
    assert twin_of(second.path) == (first.path.name, ["its epoch has other runs, or another end, by now"])


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"runs_digest": "b"}, "runs"),
        ({"options": {}}, "options"),
        ({"epoch": {"runs": 3}}, "epoch"),
        ({"environment": {}}, "environment"),
        ({"parquet": None}, "Parquet"),
    ],
)
def test_each_difference_of_two_snapshots_with_the_same_rows_is_named(
    changed: dict[str, Any], word: str
) -> None:
    document = {
        "runs_digest": "a",
        "options": {"n": 8},
        "epoch": {"runs": 2},
        "environment": None,
        "parquet": {},
    }
    assert why_again(document, document) == []
    [reason] = why_again(document, {**document, **changed})
    assert word in reason


def test_other_content_on_the_same_day_gets_the_next_name(kernel: Settings) -> None:
    first, second = _export(kernel), _export(kernel, profile=BUILDER)
    third = _export(kernel, n_similar=2)
    assert first.path is not None
    assert [e.path and e.path.name for e in (second, third)] == [
        f"{first.path.name}.2",
        f"{first.path.name}.3",
    ]
    assert (kernel.benches_dir / "planner_dataset_v1").resolve() == third.path


def test_a_directory_of_something_else_is_moved_aside_and_not_lost(kernel: Settings) -> None:
    theirs = kernel.benches_dir / "planner_dataset_v1"
    theirs.mkdir(parents=True)
    (theirs / "dataset.jsonl").write_text("theirs\n")
    os.utime(theirs, (1_700_000_000, 1_700_000_000))
    exported = _export(kernel)
    assert exported.moved_aside == kernel.benches_dir / "planner_dataset_v1_20231114"
    assert (exported.moved_aside / "dataset.jsonl").read_text() == "theirs\n"
    assert theirs.is_symlink()


def test_a_taken_directory_is_refused_and_left_as_it_is(kernel: Settings, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    with pytest.raises(CollectordError, match="already exists"):
        export(kernel, ExportOptions(), out=taken)
    assert list(taken.iterdir()) == []


def test_leftovers_of_the_killed_are_removed_and_those_of_the_living_are_not(kernel: Settings) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    kernel.benches_dir.mkdir(parents=True)
    gone = kernel.benches_dir / f".collectord-{dead.pid}-x.tmp"
    kept = kernel.benches_dir / f".collectord-{os.getpid()}-x.tmp"
    gone.mkdir()
    kept.mkdir()
    _export(kernel)
    assert not gone.exists()
    assert kept.exists()


@pytest.mark.slow
def test_an_export_killed_at_any_moment_leaves_the_old_state_or_the_new(kernel: Settings) -> None:
    code = (
        "import sys; from pathlib import Path; from collectord import app\n"
        "from collectord.config import load\n"
        "from collectord.dataset.row_plan import ExportOptions\n"
        "s = load(repo=Path(sys.argv[1]), config=None, overrides={}, environ={'HOME': '/x'}, cwd=Path('/'))\n"
        "print('ready', flush=True)\n"
        "app.export(s, ExportOptions(n_similar=int(sys.argv[2])))\n"
    )
    old = _export(kernel)
    dice = random.Random(7)
    for n_similar in range(9, 19):
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(kernel.repo), str(n_similar)], stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        child.stdout.readline()
        try:
            child.wait(timeout=dice.uniform(0.0, 0.5))
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        link = kernel.benches_dir / "planner_dataset_v1"
        assert link.exists(), "the link dangles"
        for name in _names(kernel):
            if not name.startswith(".") and name != "planner_dataset_v1":
                assert not verify(None, kernel.benches_dir / name).findings
    assert old.path is not None
    assert not verify(None, old.path).findings
    _export(kernel, n_similar=20)
    assert not [name for name in _names(kernel) if name.startswith(".")]


def _cache_file(settings: Settings) -> Path:
    return next((settings.state_dir / "cache").glob("rows-*.pack"))


def test_a_damaged_cache_costs_time_and_no_bytes(kernel: Settings, tmp_path: Path) -> None:
    reference = export(kernel, ExportOptions(), out=tmp_path / "reference")
    wanted = (tmp_path / "reference/dataset.jsonl").read_bytes()
    whole = _cache_file(kernel).read_bytes()
    dice = random.Random(3)
    harms = [b"", b"garbage", whole[: len(whole) // 2], whole[:-1]]
    for _ in range(12):
        at = dice.randrange(len(whole))
        harms.append(whole[:at] + bytes([whole[at] ^ 0x5A]) + whole[at + 1 :])
    for number, harm in enumerate(harms):
        _cache_file(kernel).write_bytes(harm)
        exported = export(kernel, ExportOptions(), out=tmp_path / f"out{number}")
        assert (tmp_path / f"out{number}/dataset.jsonl").read_bytes() == wanted
        assert exported.meta == reference.meta


def test_one_new_run_computes_one_row(kernel: Settings, settings_for: Any, tmp_path: Path) -> None:
    _export(kernel)
    source = sorted((kernel.archives_dir).iterdir())[-1]
    added = kernel.archives_dir / "wc-new-20991231T000000Z"
    shutil.copytree(source, added)
    manifest = json.loads((added / "manifest.json").read_text())
    manifest["workcell_id"] = added.name
    (added / "manifest.json").write_text(json.dumps(manifest))
    ingest(kernel)
    exported = _export(kernel)
    assert (exported.rows_computed, exported.rows_reused) == (1, 66)


def test_a_snapshot_published_beside_a_writer_is_published_all_the_same(kernel: Settings) -> None:
    with writer_for(kernel, "a writer"):
        assert _export(kernel).is_new
