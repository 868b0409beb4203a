"""The files of a snapshot beside its rows, as values. Pure.

Nothing in them depends on when, where or in which order things arrived: the same artifacts give the same
bytes, but for the software versions in snapshot.json.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from collectord.cyntra.rows import split_counts
from collectord.export.dataset import Written
from collectord.export.options import ExportOptions
from collectord.export.planned import PlannedDataset, runs_digest
from collectord.model import IndexedRun

SNAPSHOT_SCHEMA = "collectord.snapshot.v1"
DATASET_FILE = "dataset.jsonl"
META_FILE = "meta.json"
SNAPSHOT_FILE = "snapshot.json"
RUNS_FILE = "runs.jsonl"
SUMS_FILE = "SHA256SUMS"


def pretty(value: object) -> bytes:
    """A document the way the kernel writes meta.json: indent 2, sorted keys, a final newline."""
    return (json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n").encode("utf-8")


def snapshot_document(planned: PlannedDataset, options: ExportOptions, written: Written) -> dict[str, Any]:
    """snapshot.json: what was asked for, what came of it, and what was left out and why."""
    return {
        "schema": SNAPSHOT_SCHEMA,
        "profile": options.profile,
        "options": options.as_json(),
        "universe_id": planned.universe_id,
        "dataset_hash": written.dataset_hash,
        "example_count": written.rows,
        "split_counts": split_counts(written.rows),
        "left_out": planned.left_out,
        "not_selected": planned.not_selected,
        "input_hashes": dict(sorted(planned.input_hashes.items())),
        "runs_digest": runs_digest(planned.runs),
        "software": {"collectord": version("collectord"), "python": platform.python_version()},
    }


def runs_lines(planned: PlannedDataset) -> Iterator[bytes]:
    """runs.jsonl: every run that was looked at, its revision and artifacts, and why it is no row.

    This is what a dataset is made again from, years later: rows and histories depend on nothing else.
    """
    listed = [(run, None) for run in planned.runs] + list(planned.rejects)
    for run, reason in sorted(listed, key=lambda pair: (pair[0].kind, pair[0].name)):
        yield (json.dumps(_run_document(run, reason), ensure_ascii=True, sort_keys=True) + "\n").encode()


def _run_document(run: IndexedRun, reason: str | None) -> dict[str, Any]:
    return {
        "kind": run.kind,
        "workcell_id": run.name,
        "run_id": run.run_id,
        "revision": run.digest,
        "artifacts": run.artifacts,
        "left_out": reason,
    }


def sums_document(sums: dict[str, str]) -> bytes:
    """SHA256SUMS in the form that `sha256sum -c` reads."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())).encode("utf-8")
