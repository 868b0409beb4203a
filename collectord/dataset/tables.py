"""The flat files of a snapshot, and the counts on its card, from the rows that were just written."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collectord.dataset.columns import (
    ARTIFACT_COLUMNS,
    FLAG,
    ROW_COLUMNS,
    RUN_COLUMNS,
    SPLIT_NAMES,
    split_file,
)
from collectord.dataset.jsonl import PublishedRow, published_row, row_head
from collectord.dataset.layout import DATASET_FILE, RUNS_TABLE
from collectord.dataset.row_plan import PlannedDataset, Tally, label_values
from collectord.dataset.snapshot import Provenance, listed_runs
from collectord.index.reader import IndexReader
from collectord.index.rows import db_text
from collectord.index.runs import facts_of
from collectord.kernel.values import as_object, member, text_or_none, texts
from collectord.model import IndexedRun

if TYPE_CHECKING:
    from collectord.dataset.parquet import ParquetFile


_MAX = 2**63
_ISSUE_TEXTS = ("dk_priority", "dk_risk", "dk_size", "dk_tool_hint")


def row_columns(row: PublishedRow) -> dict[str, Any]:
    """The columns that the row itself gives; what has another type than its column is null there."""
    issue = as_object(member(row.planner_input, "issue"))
    return {
        "run_id": row.run_id,
        "split": SPLIT_NAMES[row.split],
        "started_ms": row.started_ms,
        "universe_id": text_or_none(row.planner_input.get("universe_id")),
        "job_type": text_or_none(row.planner_input.get("job_type")),
        "issue_id": text_or_none(issue.get("issue_id")),
        "issue_title": text_or_none(issue.get("title")),
        **{name: text_or_none(issue.get(name)) for name in _ISSUE_TEXTS},
        "dk_attempts": _integer(issue.get("dk_attempts")),
        "tags": texts(issue.get("tags")),
        **{f"label_{name}": value for name, value in label_values(row.label).items()},
        "input_hash": row.label["input_hash"],
        "planner_input_json": row.input_text,
        "tokens": row.tokens,
    }


def outcome_columns(run: IndexedRun, facts: Mapping[str, Any], provenance: Provenance) -> dict[str, Any]:
    """The columns that the index gives of a row's run, as the asked profile sees it."""
    summary = json.loads(run.summary)
    epoch, environment = provenance.epoch or {}, provenance.environment or {}
    return {
        "workcell_id": run.name,
        "finished_ms": _integer(run.finished_ms),
        "domain": run.domain,
        "outcome_status": summary["outcome"]["status"],
        "fail_codes": texts(summary["outcome"]["fail_codes"]),
        "duration_ms": _integer(run.duration_ms),
        "cost_usd": _real(summary.get("cost_usd_est")),
        "toolchain": facts["toolchain"],
        "model": facts["model"],
        "prompt_genome_id": facts["prompt_genome_id"],
        "epoch": _integer(epoch.get("number")),
        "environment": text_or_none(environment.get("fingerprint")),
    }


def row_values(row: PublishedRow, outcome: Mapping[str, Any]) -> list[Any]:
    """A row of data/*.parquet."""
    found = {**row_columns(row), **outcome}
    return [found[column.name] for column in ROW_COLUMNS]


def run_values(run: IndexedRun, left_out: str | None, facts: Mapping[str, Any]) -> list[Any]:
    """A row of runs.parquet; its run id is the one that the asked profile gives it."""
    artifacts = {column: run.artifacts.get(name) for column, name in ARTIFACT_COLUMNS.items()}
    own = {"workcell_id": run.name, "run_id": db_text(run.run_id), "revision": run.digest}
    found = {**facts, **artifacts, **own, "left_out": left_out}
    return [_flag(found[c.name]) if c.kind == FLAG else found[c.name] for c in RUN_COLUMNS]


def _flag(value: object) -> bool | None:
    return None if value is None else bool(value)


def _integer(value: object) -> int | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if -_MAX <= value < _MAX else None


def _real(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def count_rows(folder: Path, planned: PlannedDataset) -> Tally:
    """Labels and outcomes of the rows in dataset.jsonl."""
    tally = Tally()
    for line, run in zip(_lines(folder), planned.runs, strict=True):
        head = row_head(line)
        tally.add(head.split, head.label, run.status)
    return tally


def write_tables(folder: Path, planned: PlannedDataset, reader: IndexReader, provenance: Provenance) -> Tally:
    """data/*.parquet and runs.parquet; gives the counts too, because the rows are read only once."""
    _write_runs(folder / RUNS_TABLE, planned, reader)
    tally = Tally()
    with ExitStack() as stack:
        files: dict[str, ParquetFile] = {}
        facts = facts_of(reader.connection, planned.runs)
        for line, run, known in zip(_lines(folder), planned.runs, facts, strict=True):
            row = published_row(line)
            outcome = outcome_columns(run, known, provenance)
            tally.add(row.split, row.label, outcome["outcome_status"])
            if row.split not in files:
                files[row.split] = stack.enter_context(_open_split(folder, row.split))
            files[row.split].add(row_values(row, outcome), len(line))
    return tally


def _open_split(folder: Path, split: str) -> ParquetFile:
    from collectord.dataset.parquet import ParquetFile

    path = folder / split_file(split)
    path.parent.mkdir(exist_ok=True)
    return ParquetFile(path, ROW_COLUMNS)


def _write_runs(path: Path, planned: PlannedDataset, reader: IndexReader) -> None:
    from collectord.dataset.parquet import ParquetFile

    listed = listed_runs(planned)
    facts = facts_of(reader.connection, [run for run, _ in listed])
    with ParquetFile(path, RUN_COLUMNS) as file:
        for (run, left_out), known in zip(listed, facts, strict=True):
            file.add(run_values(run, left_out, known))


def _lines(folder: Path) -> Iterator[str]:
    with (folder / DATASET_FILE).open(encoding="utf-8", newline="\n") as file:
        yield from file
