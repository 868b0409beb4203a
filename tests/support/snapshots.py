"""Snapshots to look into: made of golden repos, and read back the plain way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from collectord.config import Settings, load
from collectord.dataset.exporter import Target, export_dataset
from collectord.dataset.row_plan import ExportOptions
from collectord.dataset.snapshot import Provenance
from collectord.index.opening import now_ms, reader_for


def settings_of(repo: Path) -> Settings:
    """The settings of a repo, without waiting for young files."""
    overrides = {"settle.min_age": 0}
    return load(repo=repo, config=None, overrides=overrides, environ={"HOME": "/nonexistent"}, cwd=repo)


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """The rows as the kernel's trainer reads them."""
    text = (folder / "dataset.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file with one a line."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def read_document(path: Path) -> dict[str, Any]:
    """A JSON document."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def file_names(folder: Path) -> set[str]:
    """Every file below a folder, by its path in it."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def export_with(settings: Settings, out: Path, options: ExportOptions, provenance: Provenance) -> Path:
    """A snapshot of a given provenance."""
    target = Target(settings.benches_dir, None, out)
    with reader_for(settings) as reader:
        export_dataset(reader, settings.repo, options, target, clock_ms=now_ms, provenance=provenance)
    return out
