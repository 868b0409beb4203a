"""Rows kept from an earlier export are used only where nothing that they show has changed."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from collectord.config import Settings
from collectord.dataset.exporter import export
from collectord.dataset.row_plan import BUILDER, DISPATCH, ExportOptions
from collectord.errors import IndexDamaged
from collectord.index.reader import IndexReader
from collectord.intake.ingest import ingest
from collectord.repair.check import differences

REBUILT = [ExportOptions(DISPATCH, 4), ExportOptions(BUILDER)]
OPTIONS = pytest.mark.parametrize("options", REBUILT, ids=lambda options: options.profile)


def _exports(settings: Settings, options: ExportOptions, tmp_path: Path) -> tuple[bytes, bytes]:
    """The dataset with the rows kept so far, and with none."""
    export(settings, options, out=tmp_path / "warm")
    shutil.rmtree(settings.state_dir / "cache")
    export(settings, options, out=tmp_path / "cold")
    return tuple((tmp_path / name / "dataset.jsonl").read_bytes() for name in ("warm", "cold"))  # type: ignore[return-value]


@OPTIONS
def test_runs_that_arrive_late_appear_in_the_histories_of_kept_rows(
    golden_repo: Any, settings_for: Any, tmp_path: Path, options: ExportOptions
) -> None:
    repo = golden_repo("kernel-run")
    late = sorted((repo / ".cyntra/archives").iterdir())[::3]
    for archive in late:
        shutil.move(archive, tmp_path / archive.name)
    settings = settings_for(repo)
    ingest(settings)
    export(settings, options, dry_run=True)
    for archive in late:
        shutil.move(tmp_path / archive.name, archive)
    ingest(settings)
    warm, cold = _exports(settings, options, tmp_path)
    assert warm == cold
    assert warm.count(b"\n") == 66


def _edit_beads(repo: Path) -> None:
    beads = repo / ".beads/issues.jsonl"
    lines = [json.loads(line) for line in beads.read_text().splitlines() if line.startswith("{")]
    for line in lines:
        line["tags"] = ["edited", *(line.get("tags") or [])]
    beads.write_text("".join(json.dumps(line) + "\n" for line in lines))


def _edit_universe(repo: Path) -> None:
    for swarms in repo.glob("universes/*/swarms.yaml"):
        swarms.unlink()


@OPTIONS
@pytest.mark.parametrize(
    ("edit", "corpus"), [(_edit_beads, "kernel-run"), (_edit_universe, "universe")], ids=["beads", "universe"]
)
def test_what_rows_are_joined_with_is_part_of_what_they_are_kept_under(
    golden_repo: Any,
    settings_for: Any,
    tmp_path: Path,
    edit: Callable[[Path], None],
    corpus: str,
    options: ExportOptions,
) -> None:
    settings = settings_for(golden_repo(corpus))
    ingest(settings)
    export(settings, options, dry_run=True)
    edit(settings.repo)
    ingest(settings)
    warm, cold = _exports(settings, options, tmp_path)
    assert warm == cold


def test_an_export_after_one_new_run_writes_what_an_empty_cache_would(
    golden_repo: Any, settings_for: Any, tmp_path: Path
) -> None:
    repo = golden_repo("kernel-run")
    newest = sorted((repo / ".cyntra/archives").iterdir(), key=lambda path: path.name[-16:])[-1]
    shutil.move(newest, tmp_path / newest.name)
    settings = settings_for(repo)
    ingest(settings)
    export(settings, ExportOptions(), dry_run=True)
    shutil.move(tmp_path / newest.name, newest)
    ingest(settings)
    warm = export(settings, ExportOptions(), out=tmp_path / "warm")
    assert (warm.rows_computed, warm.rows_reused) == (1, 65)
    shutil.rmtree(settings.state_dir / "cache")
    cold = export(settings, ExportOptions(), out=tmp_path / "cold")
    assert (cold.rows_computed, cold.rows_reused) == (66, 0)
    assert warm.meta == cold.meta


def _change(settings: Settings, statement: str) -> int:
    with closing(sqlite3.connect(settings.index_path)) as connection, connection:
        return connection.execute(statement).rowcount


@pytest.mark.parametrize("corpus", ["kernel-run", "universe", "awkward"])
@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM kept_rows",
        "UPDATE kept_rows SET data = zeroblob(90)",
        "UPDATE kept_rows SET data = substr(data, 1, length(data) / 2)",
    ],
    ids=["none", "garbage", "torn"],
)
def test_rows_kept_at_ingest_are_those_that_are_computed_without_them(
    golden_repo: Any, settings_for: Any, tmp_path: Path, corpus: str, change: str
) -> None:
    settings = settings_for(golden_repo(corpus))
    ingest(settings)
    kept = export(settings, ExportOptions(), out=tmp_path / "kept")
    shutil.rmtree(settings.state_dir / "cache")
    assert _change(settings, change) == 66 or corpus != "kernel-run"
    computed = export(settings, ExportOptions(), out=tmp_path / "computed")
    assert kept.meta == computed.meta
    files = [(tmp_path / name / "dataset.jsonl").read_bytes() for name in ("kept", "computed")]
    assert files[0] == files[1]


def test_a_kept_row_is_really_used(golden_repo: Any, settings_for: Any, tmp_path: Path) -> None:
    settings = settings_for(golden_repo("kernel-run"))
    ingest(settings)
    one = "(SELECT data FROM kept_rows ORDER BY key LIMIT 1)"
    assert _change(settings, f"UPDATE kept_rows SET data = {one}") == 66
    export(settings, ExportOptions(), out=tmp_path / "out")
    rows = (tmp_path / "out/dataset.jsonl").read_text().splitlines()
    assert len({json.loads(row)["run_id"] for row in rows}) == 1


def test_a_check_of_the_index_tells_a_kept_row_that_its_manifest_does_not_give(
    golden_repo: Any, settings_for: Any
) -> None:
    settings = settings_for(golden_repo("kernel-run"))
    ingest(settings)
    with IndexReader(settings.index_path) as reader:
        assert list(differences(reader)) == []
    one = "(SELECT data FROM kept_rows ORDER BY key LIMIT 1)"
    _change(settings, f"UPDATE kept_rows SET data = {one} WHERE key = (SELECT max(key) FROM kept_rows)")
    with IndexReader(settings.index_path) as reader:
        [found] = differences(reader)
    assert found.endswith("its artifacts give another row")


def test_an_artifact_that_is_lost_is_told_with_what_to_do(golden_repo: Any, settings_for: Any) -> None:
    settings = settings_for(golden_repo("kernel-run"))
    ingest(settings)
    lost = "(SELECT sha256 FROM revision_files WHERE name = 'manifest.json' AND sha256 IS NOT NULL LIMIT 1)"
    assert _change(settings, f"DELETE FROM artifacts WHERE sha256 = {lost}") == 1
    with pytest.raises(IndexDamaged, match="is not in the index; run `collectord db recover`"):
        export(settings, ExportOptions(n_similar=3), dry_run=True)


def _cut_after_half(settings: Settings) -> None:
    with IndexReader(settings.index_path) as reader:
        started = sorted(run.started_ms for run in reader.runs())
    statement = f"INSERT INTO epoch_cuts (at_ms, why) VALUES ({started[len(started) // 2]}, 'half')"
    assert _change(settings, statement) == 1


def _edit_policy(settings: Settings) -> None:
    config = settings.repo / ".cyntra/config.yaml"
    config.write_text(config.read_text() + "\nscheduling: {max_concurrent_workcells: 9}\n")
    ingest(settings)


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("epoch", ["1", "current"])
def test_an_export_by_the_kept_outline_writes_the_files_of_one_without(
    golden_repo: Any, settings_for: Any, tmp_path: Path, epoch: str
) -> None:
    settings = settings_for(golden_repo("kernel-run"))
    ingest(settings)
    _edit_policy(settings)
    _cut_after_half(settings)
    export(settings, ExportOptions(n_similar=3), epoch=epoch, dry_run=True)
    kept = settings.state_dir / "cache/epochs.json"
    warm = export(settings, ExportOptions(), epoch=epoch, out=tmp_path / "warm")
    for damage in (kept.unlink, lambda: kept.write_bytes(kept.read_bytes().replace(b"wc-", b"wd-"))):
        damage()
        shutil.rmtree(tmp_path / "cold", ignore_errors=True)
        for last in (settings.state_dir / "cache").glob("last-*"):
            last.unlink()
        cold = export(settings, ExportOptions(), epoch=epoch, out=tmp_path / "cold")
        assert _files(tmp_path / "warm") == _files(tmp_path / "cold")
        assert warm.document == cold.document
    assert warm.document["not_selected"] == {"other_epoch": 33}


@pytest.mark.parametrize("change", [_cut_after_half, _edit_policy], ids=["cut", "policy"])
def test_the_runs_of_an_epoch_are_found_again_where_epochs_changed(
    golden_repo: Any, settings_for: Any, change: Callable[[Settings], None]
) -> None:
    settings = settings_for(golden_repo("kernel-run"))
    ingest(settings)
    export(settings, ExportOptions(), epoch="current", dry_run=True)
    kept = settings.state_dir / "cache/epochs.json"
    before = kept.read_bytes()
    export(settings, ExportOptions(), epoch="current", dry_run=True)
    assert kept.read_bytes() == before
    change(settings)
    export(settings, ExportOptions(), epoch="current", dry_run=True)
    assert kept.read_bytes() != before
