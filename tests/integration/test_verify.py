"""verify finds what is not what it was, and --rebuild what hides behind recomputed sums."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from collectord import app
from collectord.config import Settings
from collectord.cyntra.jsonio import canonical
from collectord.export.options import BUILDER, ExportOptions
from tests.conftest import unpack
from tests.support.snapshots import file_names, settings_of

FILES = ["dataset.jsonl", "meta.json", "snapshot.json", "runs.jsonl", "SHA256SUMS"]


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = settings_of(unpack("kernel-run", tmp_path_factory.mktemp("kernel") / "repo"))
    app.ingest(settings)
    return settings


@pytest.fixture(scope="module")
def published(kernel: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot; only to be copied."""
    out = tmp_path_factory.mktemp("published") / "snapshot"
    app.export(kernel, ExportOptions(), out=out)
    return out


@pytest.fixture
def snapshot(published: Path, tmp_path: Path) -> Path:
    """A snapshot that may be harmed."""
    copy = Path(shutil.copytree(published, tmp_path / "snapshot"))
    for path in copy.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return copy


def test_an_untouched_snapshot_verifies_also_from_the_index(kernel: Settings, snapshot: Path) -> None:
    assert app.verify(None, snapshot).findings == ()
    verified = app.verify(kernel, snapshot)
    assert verified.findings == ()
    assert verified.rebuilt


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("where", [0.0, 0.3, 0.7, 0.999])
def test_a_flipped_byte_is_found_in_every_file(snapshot: Path, name: str, where: float) -> None:
    data = bytearray((snapshot / name).read_bytes())
    data[int(where * len(data))] ^= 0x01
    (snapshot / name).write_bytes(data)
    assert app.verify(None, snapshot).findings


@pytest.mark.parametrize("name", [name for name in FILES if name != "dataset.jsonl"])
def test_a_missing_file_is_found(snapshot: Path, name: str) -> None:
    (snapshot / name).unlink()
    assert any(name in finding for finding in app.verify(None, snapshot).findings)


def test_an_added_file_is_found(snapshot: Path) -> None:
    (snapshot / "extra.txt").write_text("x")
    assert any("extra.txt" in finding for finding in app.verify(None, snapshot).findings)


def _forge(snapshot: Path, change: Callable[[list[Any]], None]) -> None:
    """Change rows and recompute every sum and hash, as a forger would."""
    rows = [json.loads(line) for line in (snapshot / "dataset.jsonl").read_text().splitlines()]
    change(rows)
    lines = "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows)
    (snapshot / "dataset.jsonl").write_text(lines)
    digest = sha256("".join(canonical(row) + "\n" for row in rows).encode()).hexdigest()
    for name in ("meta.json", "snapshot.json"):
        document = json.loads((snapshot / name).read_text())
        document["dataset_hash"] = digest
        (snapshot / name).write_text(
            json.dumps(document, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
        )
    names = file_names(snapshot) - {"SHA256SUMS"}
    sums = "".join(f"{sha256((snapshot / n).read_bytes()).hexdigest()}  {n}\n" for n in sorted(names))
    (snapshot / "SHA256SUMS").write_text(sums)


def test_swapped_rows_are_found_by_their_order(snapshot: Path) -> None:
    def swap(rows: list[Any]) -> None:
        rows[3], rows[40] = rows[40], rows[3]

    _forge(snapshot, swap)
    assert any("out of order" in finding for finding in app.verify(None, snapshot).findings)


def test_an_edited_label_with_recomputed_sums_is_found_by_the_rebuild_alone(
    kernel: Settings, snapshot: Path
) -> None:
    def edit(rows: list[Any]) -> None:
        rows[5]["label_action"]["budgets"]["max_minutes_bin"] = 120

    _forge(snapshot, edit)
    assert app.verify(None, snapshot).findings == ()
    findings = app.verify(kernel, snapshot).findings
    assert len(findings) == 1
    assert "dataset.jsonl:6: rebuilt otherwise: /label_action/budgets/max_minutes_bin is 120" in findings[0]


@pytest.mark.parametrize("options", [ExportOptions(), ExportOptions(n_similar=3), ExportOptions(BUILDER)])
def test_an_old_snapshot_is_rebuilt_from_an_index_that_has_grown(
    settings_for: Any, tmp_path: Path, options: ExportOptions
) -> None:
    repo = unpack("kernel-run", tmp_path / "repo")
    late = sorted((repo / ".cyntra/archives").iterdir())[::4]
    for archive in late:
        shutil.move(archive, tmp_path / archive.name)
    settings = settings_for(repo)
    app.ingest(settings)
    app.export(settings, options, out=tmp_path / "old")
    for archive in late:
        shutil.move(tmp_path / archive.name, archive)
    proof = next((repo / ".cyntra/archives").glob("*/proof.json"))
    proof.write_text(proof.read_text().replace('"success"', '"failed"'))
    app.ingest(settings)
    assert app.export(settings, options, dry_run=True).meta["example_count"] == 66
    assert app.verify(settings, tmp_path / "old").findings == ()
