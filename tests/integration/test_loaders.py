"""The tools that people have read a dataset directory as it lies there, without the network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from collectord.dataset.exporter import export
from collectord.dataset.row_plan import BY_ISSUE, ExportOptions
from collectord.dataset.snapshot import Provenance
from collectord.intake.ingest import ingest
from collectord.kernel.rows import split_of_issue
from tests.conftest import unpack
from tests.support.export_histories import small_pieces
from tests.support.loading import load
from tests.support.snapshots import export_with, read_document, read_lines, read_rows, settings_of

SPLIT_NAMES = {"train": "train", "val": "validation", "test": "test"}
TAMPERED = ("data/test-00000-of-00001.parquet", "runs.parquet")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Snapshots by name; only to be read.

    `no-test` has an empty test split and a cost in train only, `live` is of an open epoch, `bare` has no
    Parquet, `many` has several files for a split, and those named after a file have one bit of it flipped.
    """
    folder = tmp_path_factory.mktemp("loaders")
    whole = settings_of(unpack("kernel-run", folder / "repo"))
    ingest(whole)
    fewer = settings_of(unpack("kernel-run", folder / "fewer"))
    ingest(fewer, names=frozenset(_archives_outside_test(fewer.archives_dir)))
    places = {name: folder / name for name in ("whole", "no-test", "live", "bare", "many")}
    export(whole, ExportOptions(), out=places["whole"])
    shutil.rmtree(whole.state_dir / "cache")
    with small_pieces():
        export(whole, ExportOptions(), out=places["many"])
    export(fewer, ExportOptions(split_by=BY_ISSUE), out=places["no-test"])
    open_epoch = Provenance({"number": 1, "ended_ms": None}, {"fingerprint": "f" * 64, "digests": {}}, ())
    export_with(whole, places["live"], ExportOptions(), open_epoch)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "pyarrow", None)
        export(whole, ExportOptions(), out=places["bare"])
    for name in TAMPERED:
        places[name] = _tampered(places["whole"], folder / name.replace("/", "-"), name)
    return places


def _archives_outside_test(archives: Path) -> list[str]:
    """The archives of issues that belong into train or validation; those in train get a cost."""
    found = []
    for archive in sorted(archives.iterdir()):
        issue = json.loads((archive / "manifest.json").read_text())["planner"]["planner_input"]["issue"]
        split = split_of_issue(issue["issue_id"])
        if split == "train":
            proof = json.loads((archive / "proof.json").read_text())
            proof["metadata"]["cost_usd"] = 0.25
            (archive / "proof.json").write_text(json.dumps(proof))
        if split != "test":
            found.append(archive.name)
    return found


def _tampered(folder: Path, copy: Path, name: str) -> Path:
    shutil.copytree(folder, copy)
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).chmod(0o644)
    (copy / name).write_bytes(data)
    return copy


def _read(tool: str, published: dict[str, Path], names: list[str], home: Path) -> dict[str, Any]:
    return dict(zip(names, load(tool, [published[name] for name in names], home), strict=True))


def _expected(folder: Path) -> dict[str, list[str]]:
    splits: dict[str, list[str]] = {}
    for row in read_rows(folder):
        splits.setdefault(SPLIT_NAMES[row["split"]], []).append(row["run_id"])
    return splits


def test_the_trainer_reads_one_object_a_line(published: dict[str, Path]) -> None:
    for folder in published.values():
        lines = (folder / "dataset.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        assert len(rows) == read_document(folder / "meta.json")["example_count"]
        assert all(isinstance(row, dict) for row in rows)


# One test a tool and not one a question: other people's imports are most of the time.
def test_hugging_face_datasets_gives_the_splits_with_the_right_rows_and_types(
    published: dict[str, Path], tmp_path: Path
) -> None:
    loaded = _read("datasets", published, ["whole", "no-test", "many"], tmp_path)
    assert set(loaded["whole"]["splits"]) == {"train", "validation", "test"}
    assert set(loaded["no-test"]["splits"]) == {"train", "validation"}
    for name, found in loaded.items():
        assert found["splits"] == _expected(published[name])
        assert found["runs"] == [run["run_id"] for run in read_lines(published[name] / "runs.jsonl")]
        assert found["first_input"] == read_rows(published[name])[0]["planner_input"]
        assert found["types"]["tokens"] == "List(Value('string'))"
    assert loaded["whole"]["label_bins"] == ["45", "60"]
    # A column that is null in one split, and one that is null in all.
    types, null = loaded["no-test"]["types"], loaded["no-test"]["null_throughout"]
    assert ("cost_usd" in null["train"], "cost_usd" in null["validation"]) == (False, True)
    assert types["cost_usd"] == "Value('float64')"
    assert "epoch" in null["train"]
    assert types["epoch"] == "Value('int64')"


@pytest.mark.parametrize("tool", ["duckdb", "polars"])
def test_query_engines_read_all_parquet_files_at_once(
    published: dict[str, Path], tmp_path: Path, tool: str
) -> None:
    folders = [published["whole"], published["no-test"], published["many"]]
    for folder, found in zip(folders, load(tool, folders, tmp_path), strict=True):
        assert {split: sorted(ids) for split, ids in found["splits"].items()} == {
            split: sorted(ids) for split, ids in _expected(folder).items()
        }


def test_croissant_reads_the_rows_and_the_runs_and_refuses_what_was_tampered_with(
    published: dict[str, Path], tmp_path: Path
) -> None:
    loaded = _read("mlcroissant", published, list(published), tmp_path)
    for name in TAMPERED:
        assert "is not identical with the reference in the Croissant JSON-LD" in loaded[name]["error"]
    sets = {name: set(loaded[name]["record_sets"]) for name in ("whole", "no-test")}
    assert sets["whole"] == {"splits", "train", "validation", "test", "runs"}
    assert sets["no-test"] == {"splits", "train", "validation", "runs"}
    for name in ("whole", "no-test", "live"):
        found, folder = loaded[name]["record_sets"], published[name]
        assert {n: ids for n, ids in found.items() if n not in ("splits", "runs")} == _expected(folder)
        assert found["runs"] == [run["run_id"] for run in read_lines(folder / "runs.jsonl")]
    many = loaded["many"]["record_sets"]
    assert sum(name.startswith("train-0") for name in many) > 1
    for split, ids in _expected(published["many"]).items():
        assert [run for name in sorted(many) if name.startswith(f"{split}-") for run in many[name]] == ids
    row, first = read_rows(published["whole"])[0], loaded["whole"]["first"]["train"]
    assert first["train/label_swarm_id"] == row["label_action"]["swarm_id"]
    assert first["train/started_ms"] == row["started_ms"]
    # Rows of an open epoch are still to come.
    assert (loaded["whole"]["is_live"], loaded["live"]["is_live"]) == (False, True)
    # Without Parquet it is the lines that are read.
    bare = loaded["bare"]["record_sets"]
    assert bare["rows"] == [row["run_id"] for row in read_rows(published["bare"])]
    assert len(bare["runs"]) == 66


def test_the_validator_of_croissant_passes(published: dict[str, Path], tmp_path: Path) -> None:
    validator = Path(sys.executable).with_name("mlcroissant")
    command = [str(validator), "validate", "--jsonld", str(published["whole"] / "croissant.json")]
    environ = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)
    assert done.returncode == 0, done.stderr
    assert "Done." in done.stderr


def test_croissant_has_the_sum_of_every_file(published: dict[str, Path]) -> None:
    document: dict[str, Any] = read_document(published["whole"] / "croissant.json")
    lines = (published["whole"] / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
    listed = {file["@id"]: file["sha256"] for file in document["distribution"]}
    assert listed == {name: digest for name, digest in sums.items() if name != "croissant.json"}
