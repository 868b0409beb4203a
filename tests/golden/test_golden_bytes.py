"""Both profiles give the bytes that the kernel's builder, and an independent reading of the contract, gave."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from collectord.dataset.exporter import export
from collectord.intake.ingest import ingest
from collectord.dataset.row_plan import ExportOptions

GOLDEN = Path(__file__).resolve().parent
Repo = Callable[[str], Path]


def _options(profile: str, args: list[str]) -> ExportOptions:
    def value(name: str) -> str | None:
        return args[args.index(name) + 1] if name in args else None

    n_similar = int(value("--n-similar") or 8)
    return ExportOptions(profile, n_similar, value("--universe"), "--include-world" in args)


def _variants(pattern: str) -> list[Any]:
    found = []
    for file in sorted(GOLDEN.glob(f"*.{pattern}.json")):
        name = file.name.removesuffix(f".{pattern}.json")
        for number, variant in enumerate(json.loads(file.read_text())):
            found.append(pytest.param(name, number, variant, id=f"{name}-{'_'.join(variant['args'])}"))
    return found


def test_there_are_variants_to_compare_with() -> None:
    assert len(_variants("expected")) >= 12
    assert len(_variants("dispatch")) >= 4


@pytest.mark.parametrize(("name", "number", "variant"), _variants("expected"))
def test_builder_profile_gives_the_builders_bytes(
    golden_repo: Repo,
    settings_for: Any,
    tmp_path: Path,
    name: str,
    number: int,
    variant: dict[str, Any],
) -> None:
    settings = settings_for(golden_repo(name))
    ingest(settings)
    out = tmp_path / "out"
    exported = export(settings, _options("builder", variant["args"]), out=out)
    assert exported.meta == variant["meta"]
    meta = json.dumps(variant["meta"], ensure_ascii=False, indent=2, sort_keys=True) + "\n"
    assert (out / "meta.json").read_bytes() == meta.encode()
    written = (out / "dataset.jsonl").read_bytes()
    if number == 0:
        assert written == gzip.decompress((GOLDEN / f"{name}.dataset.jsonl.gz").read_bytes())
    assert sha256(written).hexdigest() == variant["dataset_sha256"]


@pytest.mark.parametrize(("name", "number", "variant"), _variants("dispatch"))
def test_dispatch_profile_gives_the_references_bytes(
    golden_repo: Repo,
    settings_for: Any,
    tmp_path: Path,
    name: str,
    number: int,
    variant: dict[str, Any],
) -> None:
    settings = settings_for(golden_repo(name))
    ingest(settings)
    options = _options("dispatch", variant["args"])
    exported = export(settings, options, out=tmp_path / "out")
    assert exported.meta["dataset_hash"] == variant["dataset_hash"]
    assert exported.meta["split_counts"] == variant["split_counts"]
    assert exported.document["left_out"] == variant["left_out"]
    reference = GOLDEN / f"{name}.dispatch-n{options.n_similar}.dataset.jsonl.gz"
    assert (tmp_path / "out/dataset.jsonl").read_bytes() == gzip.decompress(reference.read_bytes())


@pytest.mark.parametrize("n_similar", [8, 4])
def test_no_history_shows_a_run_that_had_not_finished(
    golden_repo: Repo, settings_for: Any, tmp_path: Path, n_similar: int
) -> None:
    repo = golden_repo("kernel-run")
    finished = {}
    for proof in (repo / ".cyntra/archives").glob("*/proof.json"):
        document = json.loads(proof.read_text())
        times = [document["metadata"][key] for key in ("started_at", "completed_at")]
        finished[document["workcell_id"]] = tuple(map(datetime.fromisoformat, times))
    settings = settings_for(repo)
    ingest(settings)
    exported = export(settings, ExportOptions(n_similar=n_similar), out=tmp_path / "out")
    rows = [json.loads(line) for line in (tmp_path / "out/dataset.jsonl").read_text().splitlines()]
    assert len(rows) == 66
    shown = replaced_count = 0
    for row in rows:
        dispatched = datetime.fromisoformat(row["planner_input"]["created_at"])
        for earlier in row["planner_input"]["history"]["last_n_similar_runs"]:
            shown += 1
            started, ended = finished[earlier["run_id"]]
            # Two runs of one issue in one second share an id, and the second archive replaced the first:
            # a recorded history may show the first one, by its own start.
            replaced = earlier["started_ms"] < int(started.timestamp() * 1000)
            assert ended <= dispatched or replaced, (row["run_id"], earlier["run_id"])
            replaced_count += ended > dispatched
    assert shown > 100
    assert replaced_count == (11 if n_similar == 8 else 0)
    assert exported.document["input_hashes"] == ({"verified": 66} if n_similar == 8 else {})
