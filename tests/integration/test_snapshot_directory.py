"""What lies in a snapshot directory, and that each document in it says what the rows say."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from collectord.config import Settings
from collectord.dataset.exporter import export
from collectord.dataset.row_plan import BUILDER, BY_ISSUE, ExportOptions
from collectord.dataset.rowschema import violations
from collectord.dataset.snapshot import Provenance
from collectord.dataset.verify import verify
from collectord.intake.ingest import ingest
from tests.conftest import unpack
from tests.support.cli import Cli
from tests.support.snapshots import (
    export_with,
    file_names,
    read_document,
    read_lines,
    read_rows,
    settings_of,
)

ALWAYS = {
    "README.md",
    "SHA256SUMS",
    "croissant.json",
    "dataset.jsonl",
    "meta.json",
    "rejects.jsonl",
    "runs.jsonl",
    "schema.json",
    "snapshot.json",
}
TABLES = {
    "runs.parquet",
    "data/train-00000-of-00001.parquet",
    "data/validation-00000-of-00001.parquet",
    "data/test-00000-of-00001.parquet",
}


@pytest.fixture(scope="module")
def ingested_repos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Golden repos with their index; only to be exported from to other places."""
    repos = {}
    for name in ("kernel-run", "awkward", "worlds"):
        repos[name] = unpack(name, tmp_path_factory.mktemp(name) / "repo")
        ingest(settings_of(repos[name]))
    return repos


@pytest.fixture
def kernel(ingested_repos: dict[str, Path]) -> Settings:
    return settings_of(ingested_repos["kernel-run"])


def _export(settings: Settings, out: Path, **options: Any) -> Path:
    export(settings, ExportOptions(**options), out=out)
    return out


def _front_matter(folder: Path) -> dict[str, Any]:
    text = (folder / "README.md").read_text(encoding="utf-8")
    document: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return document


def test_a_snapshot_has_its_files_and_lists_them(kernel: Settings, tmp_path: Path) -> None:
    out = _export(kernel, tmp_path / "out")
    assert file_names(out) == ALWAYS | TABLES
    assert read_document(out / "snapshot.json")["files"] == sorted(
        (ALWAYS | TABLES) - {"snapshot.json", "SHA256SUMS"}
    )
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=out, check=True)


def test_the_same_artifacts_give_the_same_bytes_in_every_file(
    kernel: Settings, tmp_path: Path, settings_for: Any
) -> None:
    other = settings_for(unpack("kernel-run", tmp_path / "repo"))
    ingest(other)
    first, second = _export(kernel, tmp_path / "first"), _export(other, tmp_path / "second")
    assert file_names(first) == file_names(second)
    for name in file_names(first):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


@pytest.mark.parametrize("repo", ["kernel-run", "awkward", "worlds"])
@pytest.mark.parametrize("profile", ["dispatch", "builder"])
def test_every_row_keeps_the_schema_that_lies_beside_it(
    ingested_repos: dict[str, Path], tmp_path: Path, repo: str, profile: str
) -> None:
    settings = settings_of(ingested_repos[repo])
    out = _export(settings, tmp_path / "out", profile=profile, include_world=True)
    schema = read_document(out / "schema.json")
    jsonschema.Draft202012Validator.check_schema(schema)
    rows = read_rows(out)
    assert rows
    judge = jsonschema.Draft202012Validator(schema)
    for row in rows:
        assert not list(judge.iter_errors(row))
        assert not list(violations(row, schema))


def test_rejects_name_each_run_that_is_no_row_with_its_reason(
    ingested_repos: dict[str, Path], tmp_path: Path
) -> None:
    out = _export(settings_of(ingested_repos["awkward"]), tmp_path / "out")
    rejects = read_lines(out / "rejects.jsonl")
    listed = [run for run in read_lines(out / "runs.jsonl") if run["left_out"]]
    assert [(r["workcell_id"], r["run_id"], r["reason"]) for r in rejects] == [
        (run["workcell_id"], run["run_id"], run["left_out"]) for run in listed
    ]
    document = read_document(out / "snapshot.json")
    counted = Counter(reject["reason"] for reject in rejects)
    assert counted == Counter({**document["left_out"], **document["not_selected"]})
    assert counted


def test_the_distributions_are_those_of_the_rows(kernel: Settings, tmp_path: Path) -> None:
    out = _export(kernel, tmp_path / "out")
    found = read_document(out / "snapshot.json")["distributions"]
    swarms: Counter[tuple[str, str]] = Counter()
    for row in read_rows(out):
        swarms[row["label_action"]["swarm_id"], row["split"]] += 1
    assert {(v, s): n for v, splits in found["swarm_id"].items() for s, n in splits.items()} == swarms
    assert sum(n for splits in found["outcome_status"].values() for n in splits.values()) == 66
    card = (out / "README.md").read_text(encoding="utf-8")
    assert f"| swarm_id | `speculate_vote` | {swarms['speculate_vote', 'train']} | 0 | 0 |" in card


def test_without_pyarrow_there_is_no_parquet_and_the_card_says_so(
    kernel: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_tables = _export(kernel, tmp_path / "with")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    out = _export(kernel, tmp_path / "without")
    assert file_names(out) == ALWAYS
    document = read_document(out / "snapshot.json")
    assert document["parquet"] is None
    assert document["distributions"] == read_document(with_tables / "snapshot.json")["distributions"]
    assert "no Parquet files" in (out / "README.md").read_text(encoding="utf-8")
    assert "configs" not in _front_matter(out)
    assert (out / "dataset.jsonl").read_bytes() == (with_tables / "dataset.jsonl").read_bytes()
    assert verify(kernel, out).findings == ()


def test_a_snapshot_without_parquet_is_published_again_once_pyarrow_is_there(
    tmp_path: Path, settings_for: Any
) -> None:
    settings = settings_for(unpack("universe", tmp_path / "repo"))
    ingest(settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "pyarrow", None)
        bare = export(settings, ExportOptions())
        assert not export(settings, ExportOptions()).is_new
    whole = export(settings, ExportOptions())
    assert whole.is_new
    assert bare.meta == whole.meta
    assert not export(settings, ExportOptions()).is_new


def test_an_export_without_pyarrow_says_that_there_is_no_parquet(ingested: Cli) -> None:
    hidden = ingested.home / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text("import sys\nsys.modules['pyarrow'] = None\n")
    done = ingested("export", env={"PYTHONPATH": str(hidden)})
    assert "none: the extra `parquet` is not installed" in done.stdout
    again = ingested.ok("export")
    assert "Parquet" not in again.split("dataset_hash")[0]
    assert "published again because one has Parquet files, and the other none" in again


def test_an_epoch_stands_in_the_card_the_documents_and_the_columns(kernel: Settings, tmp_path: Path) -> None:
    provenance = Provenance(
        epoch={
            "number": 3,
            "since_ms": 1_767_225_600_000,
            "ended_ms": 1_767_312_000_000,
            "cut": {"words": "routing rule `risky` | changed"},
        },
        environment={
            "fingerprint": "f" * 64,
            "digests": {"routing": "a" * 64},
            "components": {"routing": {}},
        },
        drift=({"component": "routing", "words": "a rule changed"},),
    )
    out = export_with(kernel, tmp_path / "out", ExportOptions(), provenance)
    assert file_names(out) == ALWAYS | TABLES | {"environment.json", "drift.json"}
    document = read_document(out / "snapshot.json")
    assert document["epoch"]["number"] == 3
    assert document["cut"] == {"words": "routing rule `risky` | changed"}
    assert document["environment"] == {"fingerprint": "f" * 64, "digests": {"routing": "a" * 64}}
    assert read_document(out / "environment.json")["components"] == {"routing": {}}
    assert read_document(out / "drift.json")["changes"] == [
        {"component": "routing", "words": "a rule changed"}
    ]
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "- number: `3`\n- since: 2026-01-01T00:00:00Z\n- ended: 2026-01-02T00:00:00Z, because of `" in card
    assert "risky" in card
    import pyarrow.parquet as pq

    table = pq.read_table(out / "data/train-00000-of-00001.parquet")
    assert set(table["epoch"].to_pylist()) == {3}
    assert set(table["environment"].to_pylist()) == {"f" * 64}
    assert verify(kernel, out).findings == ()


@pytest.mark.parametrize("profile", ["dispatch", BUILDER])
def test_split_by_issue_keeps_the_rows_of_an_issue_together_and_says_so(
    kernel: Settings, tmp_path: Path, profile: str
) -> None:
    by_time = _export(kernel, tmp_path / "time", profile=profile)
    out = _export(kernel, tmp_path / "issue", profile=profile, split_by=BY_ISSUE)
    rows = read_rows(out)
    splits: dict[str, set[str]] = {}
    for row in rows:
        splits.setdefault(row["planner_input"]["issue"]["issue_id"], set()).add(row["split"])
    assert {len(found) for found in splits.values()} == {1}
    assert len({split for found in splits.values() for split in found}) > 1
    meta, document = read_document(out / "meta.json"), read_document(out / "snapshot.json")
    counted = Counter(row["split"] for row in rows)
    assert meta["split_counts"] == {name: counted[name] for name in ("train", "val", "test")}
    assert meta["dataset_hash"] != read_document(by_time / "meta.json")["dataset_hash"]
    assert document["options"]["split_by"] == "issue"
    assert "all rows of an issue are in one split" in (out / "README.md").read_text(encoding="utf-8")
    for row in rows:
        row["split"] = ""
    assert rows == [{**row, "split": ""} for row in read_rows(by_time)]
    assert verify(kernel, out).findings == ()


def test_rows_split_by_time_that_are_not_are_found(kernel: Settings, tmp_path: Path) -> None:
    out = _export(kernel, tmp_path / "issue", split_by=BY_ISSUE)
    path = out / "snapshot.json"
    path.chmod(0o644)
    path.write_text(path.read_text().replace('"split_by": "issue"', '"split_by": "time"'))
    assert any("not split by time" in finding for finding in verify(None, out).findings)


def test_a_published_directory_goes_away_with_one_command(kernel: Settings, tmp_path: Path) -> None:
    out = _export(kernel, tmp_path / "out")
    assert all(folder.stat().st_mode & 0o700 == 0o700 for folder in (out, out / "data"))
    shutil.rmtree(out)
