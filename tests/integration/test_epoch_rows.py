"""An epoch limits the rows of a dataset; what those rows show of earlier runs stays as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from collectord.dataset.exporter import Exported, Target, export_dataset
from collectord.dataset.row_plan import BUILDER, DISPATCH, ExportOptions, options_from_json
from collectord.dataset.verify import verify
from collectord.index.opening import reader_for
from collectord.index.reader import IndexReader
from collectord.intake.ingest import ingest
from tests.conftest import unpack


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from collectord.config import load

    repo = unpack("kernel-run", tmp_path_factory.mktemp("epoch-rows") / "repo")
    settings = load(repo=repo, config=None, overrides={"settle.min_age": 0}, environ={"HOME": "/"}, cwd=repo)
    ingest(settings)
    return settings


def _export(settings: Any, options: ExportOptions, out: Path, other: set[tuple[str, str]]) -> Exported:
    target = Target(settings.benches_dir, None, out)
    with reader_for(settings) as reader:
        return export_dataset(
            reader, settings.repo, options, target, clock_ms=lambda: 0, other_epoch=frozenset(other)
        )


def _rows(folder: Path) -> dict[str, Any]:
    rows = [json.loads(line) for line in (folder / "dataset.jsonl").read_text().splitlines()]
    return {row["run_id"]: {k: v for k, v in row.items() if k != "split"} for row in rows}


@pytest.mark.parametrize(
    "options",
    [ExportOptions(DISPATCH, epoch=1), ExportOptions(DISPATCH, 4, epoch=1), ExportOptions(BUILDER, epoch=1)],
    ids=str,
)
def test_runs_of_other_epochs_are_no_rows_and_still_stand_in_histories(
    ingested: Any, tmp_path: Path, options: ExportOptions
) -> None:
    with IndexReader(ingested.index_path) as reader:
        runs = list(reader.runs())
    other = {(run.kind, run.name) for run in sorted(runs, key=lambda run: run.started_ms)[:30]}
    everything = _export(ingested, options, tmp_path / "all", set())
    some = _export(ingested, options, tmp_path / "some", other)
    assert (everything.document["example_count"], some.document["example_count"]) == (66, 36)
    assert some.document["not_selected"] == {"other_epoch": 30}
    assert some.document["left_out"] == {}
    before, after = _rows(tmp_path / "all"), _rows(tmp_path / "some")
    assert after == {run_id: row for run_id, row in before.items() if run_id in after}
    assert len(after) == len(_rows(tmp_path / "some")) <= 36
    listed = [json.loads(line) for line in (tmp_path / "some/runs.jsonl").read_text().splitlines()]
    assert sum(run["left_out"] == "other_epoch" for run in listed) == 30


@pytest.mark.parametrize(
    "options", [ExportOptions(DISPATCH, 4, epoch=1), ExportOptions(BUILDER, epoch=1)], ids=str
)
def test_an_epoch_is_rebuilt_from_its_own_list_of_runs(
    ingested: Any, tmp_path: Path, options: ExportOptions
) -> None:
    with IndexReader(ingested.index_path) as reader:
        other = {(run.kind, run.name) for number, run in enumerate(reader.runs()) if number % 3 == 0}
    _export(ingested, options, tmp_path / "some", other)
    verified = verify(ingested, tmp_path / "some")
    assert verified.findings == ()
    assert verified.rebuilt


def test_a_snapshot_from_before_epochs_is_read_as_one_of_all() -> None:
    older = {"profile": "dispatch", "n_similar": 8, "universe": None, "include_world": False}
    assert options_from_json(older) == ExportOptions()
    assert options_from_json(ExportOptions(epoch=3).as_json()) == ExportOptions(epoch=3)
