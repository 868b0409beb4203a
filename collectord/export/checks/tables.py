"""The Parquet files of a snapshot against its rows and its list of runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from collectord.cyntra.jsonio import JsonObject
from collectord.export.checks.findings import Findings
from collectord.export.checks.rows import lines_of
from collectord.export.columns import ARTIFACT_COLUMNS, ROW_COLUMNS, RUN_COLUMNS, split_file
from collectord.export.flat_columns import row_columns
from collectord.export.jsonl import published_row
from collectord.export.parquet import read_parquet
from collectord.export.snapshot import DATASET_FILE, RUNS_FILE, RUNS_TABLE
from collectord.index.codec import db_text

Record = dict[str, Any]


def check_tables(folder: Path, document: JsonObject, findings: Findings) -> None:
    """Each Parquet row says what its row of dataset.jsonl says, each run what its line of runs.jsonl does."""
    for check in (_check_rows, _check_runs):
        try:
            check(folder, document, findings)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            findings.add(f"the Parquet files cannot be held against the rows: {error}")


def _check_rows(folder: Path, document: JsonObject, findings: Findings) -> None:
    tables = {
        split: read_parquet(folder / split_file(split), ROW_COLUMNS)
        for split, count in document["split_counts"].items()
        if count
    }
    for number, line in enumerate(lines_of(folder / DATASET_FILE), 1):
        row = published_row(line.decode("utf-8"))
        record = next(tables.get(row.split, iter(())), None)
        if wrong := unequal(row_columns(row), record):
            findings.add(f"{split_file(row.split)}: {wrong} not as in {DATASET_FILE}:{number}")
    for split, rest in tables.items():
        if extra := sum(1 for _ in rest):
            findings.add(f"{split_file(split)}: {extra} rows beyond those of {DATASET_FILE}")


def unequal(wanted: Mapping[str, Any], record: Record | None) -> str:
    """The columns in which a record is not what is wanted, as words; empty where it is."""
    if record is None:
        return "the row is missing,"
    return ", ".join(name for name, value in wanted.items() if record[name] != value)


def _check_runs(folder: Path, _document: JsonObject, findings: Findings) -> None:
    table = read_parquet(folder / RUNS_TABLE, RUN_COLUMNS)
    for number, line in enumerate(lines_of(folder / RUNS_FILE), 1):
        if wrong := unequal(_run_columns(json.loads(line)), next(table, None)):
            findings.add(f"{RUNS_TABLE}: {wrong} not as in {RUNS_FILE}:{number}")
    if extra := sum(1 for _ in table):
        findings.add(f"{RUNS_TABLE}: {extra} runs beyond those of {RUNS_FILE}")


def _run_columns(run: JsonObject) -> Record:
    artifacts = {column: run["artifacts"].get(name) for column, name in ARTIFACT_COLUMNS.items()}
    same = {name: run[name] for name in ("kind", "workcell_id", "revision", "left_out")}
    return {**same, "run_id": db_text(run["run_id"]), **artifacts}


def same_records(name: str, records: Iterator[Record], wanted: Iterator[Record], findings: Findings) -> None:
    """Hold records of a table against those that the index gives, one by one."""
    number = 0
    for number, want in enumerate(wanted, 1):
        if wrong := unequal(want, next(records, None)):
            findings.add(f"{name}: row {number}: rebuilt otherwise: {wrong}")
    if extra := sum(1 for _ in records):
        findings.add(f"{name}: {extra} rows beyond the {number} that the index gives")
