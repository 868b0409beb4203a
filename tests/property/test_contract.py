"""Both profiles give what a second, plain reading of the contract gives, on repos of every odd shape.

The examples are the same in each run, so that a run says something about the code and not about luck; to
look further, take `derandomize` out and give pytest one `--hypothesis-seed` after the other.
"""

from __future__ import annotations

import gzip
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from collectord.config import Settings, load
from collectord.dataset.exporter import export
from collectord.dataset.row_plan import BUILDER, DISPATCH, ExportOptions
from collectord.index.opening import writer_for
from collectord.intake.ingest import ingest
from tests.conftest import GOLDEN, unpack
from tests.support import contract
from tests.support.examples import examples
from tests.support.odd_repos import OddRepo, odd_repos

QUICK: dict[str, Any] = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}


def _settings(repo: Path) -> Settings:
    overrides = {"settle.min_age": 0}
    return load(repo=repo, config=None, overrides=overrides, environ={"HOME": "/nonexistent"}, cwd=repo)


@pytest.fixture(scope="module")
def empty_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index without anything in it: making one takes longer than a whole example."""
    repo = tmp_path_factory.mktemp("empty")
    (repo / ".cyntra/archives").mkdir(parents=True)
    of = _settings(repo)
    with writer_for(of, "a test"):
        pass
    return of.index_path


def _ingested(odd: OddRepo, repo: Path, empty_index: Path) -> Settings:
    of = _settings(odd.write(repo))
    of.index_path.parent.mkdir(parents=True, mode=0o700)
    shutil.copy(empty_index, of.index_path)
    ingest(of)
    return of


def _lines(of: Settings, options: ExportOptions, out: Path) -> tuple[list[str], dict[str, Any]]:
    exported = export(of, options, out=out)
    lines = (out / "dataset.jsonl").read_bytes().decode("utf-8").split("\n")[:-1]
    return lines, {**exported.document, "dataset_hash": exported.meta["dataset_hash"]}


def _agree(lines: list[str], rows: list[contract.Json]) -> None:
    assert [json.loads(line)["run_id"] for line in lines] == [row["run_id"] for row in rows]
    for line, row in zip(lines, rows, strict=True):
        wanted = json.dumps(row, ensure_ascii=False, sort_keys=True)
        assert _members(json.loads(line)) == _members(row)
        assert line.replace("\\u2028", "\u2028").replace("\\u0085", "\x85") == wanted


def _members(row: contract.Json) -> dict[str, str]:
    """A row cut into its members, so that a difference tells where it is."""
    parts = {**row, **{f"planner_input.{key}": value for key, value in row["planner_input"].items()}}
    return {key: contract.canonical(value) for key, value in parts.items() if key != "planner_input"}


@pytest.mark.parametrize("name", sorted(file.name.split(".")[0] for file in GOLDEN.glob("*.tar.gz")))
def test_the_second_reading_agrees_with_the_golden_corpora(tmp_path: Path, name: str) -> None:
    repo = unpack(name, tmp_path)
    variant = json.loads((GOLDEN / f"{name}.expected.json").read_text())[0]
    rows = contract.builder_rows(repo, worlds=variant["meta"]["include_world"])
    written = gzip.decompress((GOLDEN / f"{name}.dataset.jsonl.gz").read_bytes())
    assert contract.dataset_text(rows).encode() == written
    for variant in _dispatch_variants(name):
        rows, left_out = contract.dispatch_rows(repo, 4 if "4" in variant["args"] else 8)
        assert contract.dataset_hash(rows) == variant["dataset_hash"]
        assert left_out == variant["left_out"]


def _dispatch_variants(name: str) -> list[Any]:
    file = GOLDEN / f"{name}.dispatch.json"
    return json.loads(file.read_text()) if file.exists() else []


@given(odd=odd_repos(worlds=True), n=st.sampled_from([8, 0, 1, 3]), worlds=st.booleans())
@settings(max_examples=examples(60), phases=[Phase.generate], **QUICK)
def test_builder_rows_are_those_of_the_contract(
    empty_index: Path, odd: OddRepo, n: int, worlds: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        of = _ingested(odd, Path(folder) / "repo", empty_index)
        options = ExportOptions(BUILDER, n, None, worlds)
        lines, document = _lines(of, options, Path(folder) / "out")
        rows = contract.builder_rows(of.repo, n, worlds=worlds)
        _agree(lines, rows)
        assert document["dataset_hash"] == contract.dataset_hash(rows)


@given(odd=odd_repos(worlds=True), n=st.sampled_from([8, 0, 1, 3]), worlds=st.booleans())
@settings(max_examples=examples(60), phases=[Phase.generate], **QUICK)
def test_dispatch_rows_are_those_of_the_contract(
    empty_index: Path, odd: OddRepo, n: int, worlds: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        of = _ingested(odd, Path(folder) / "repo", empty_index)
        options = ExportOptions(DISPATCH, n, None, worlds)
        lines, document = _lines(of, options, Path(folder) / "out")
        rows, left_out = contract.dispatch_rows(of.repo, n, worlds=worlds)
        _agree(lines, rows)
        assert document["dataset_hash"] == contract.dataset_hash(rows)
        assert document["left_out"] == left_out
        assert not any("NaN" in line or "Infinity" in line for line in lines)
