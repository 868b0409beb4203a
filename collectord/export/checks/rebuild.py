"""A snapshot against the index: every row, run and reject is made again and compared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from collectord.cyntra.jsonio import JsonObject, Marked
from collectord.cyntra.rows import line_of
from collectord.export import snapshot
from collectord.export.checks.findings import Findings
from collectord.export.checks.rows import lines_of
from collectord.export.checks.tables import Record, same_records, unequal
from collectord.export.columns import ROW_COLUMNS, RUN_COLUMNS, SPLIT_NAMES, split_file
from collectord.export.dataset import whole_rows
from collectord.export.documents import differences, short
from collectord.export.flat_columns import outcome_columns, run_values
from collectord.export.inputs import plan_dataset
from collectord.export.jsonl import row_head
from collectord.export.parquet import pyarrow_version, read_parquet
from collectord.export.row_plan import (
    BUILDER,
    FIRST_RULE,
    OTHER_EPOCH,
    ExportOptions,
    PlannedDataset,
    RunKeys,
    options_from_json,
)
from collectord.export.snapshot import Provenance
from collectord.export.tables import count_rows
from collectord.index.facts import facts_of
from collectord.index.reader import IndexReader, Revisions


def check_rebuilt(
    folder: Path, document: JsonObject, reader: IndexReader, repo: Path, findings: Findings
) -> None:
    """Make the snapshot again from the revisions it names, with the options it names."""
    try:
        options = options_from_json(document["options"])
        only, other_epoch = _revisions(folder / snapshot.RUNS_FILE)
    except (KeyError, TypeError, ValueError, OSError, RecursionError):
        findings.add(f"{snapshot.SNAPSHOT_FILE} and {snapshot.RUNS_FILE} do not say what to rebuild from")
        return
    rule = document.get("history_rule", FIRST_RULE)
    planned = plan_dataset(reader, repo, options, only, other_epoch, rule=rule)
    known = len(planned.runs) + len(planned.rejects)
    if known != len(only):
        findings.add(f"{len(only) - known} of its {len(only)} runs are not in this index")
    _compare_rows(folder, options, whole_rows(planned, options, None), findings)
    _compare_lines(folder / snapshot.RUNS_FILE, snapshot.runs_lines(planned), findings)
    _compare_document(document, planned, findings)
    if "files" in document:
        _compare_lines(folder / snapshot.REJECTS_FILE, snapshot.rejects_lines(planned), findings)
    if "files" in document and not findings:
        try:
            _compare_outcomes(folder, document, planned, reader, findings)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            findings.add(f"the outcomes cannot be held against the index: {error}")


def _revisions(path: Path) -> tuple[Revisions, RunKeys]:
    """The revision of every run that was looked at, and which of them were left out as of another epoch."""
    found, other_epoch = {}, set()
    for line in lines_of(path):
        run = json.loads(line)
        key = run["kind"], run["workcell_id"]
        found[key] = str(run["revision"])
        if run["left_out"] == OTHER_EPOCH:
            other_epoch.add(key)
    return found, other_epoch


def _compare_rows(folder: Path, options: ExportOptions, rows: Iterator[Marked], findings: Findings) -> None:
    published = lines_of(folder / snapshot.DATASET_FILE)
    number = 0
    for number, row in enumerate(rows, 1):
        text = line_of(row, escape=options.profile != BUILDER)
        line = next(published, b"").decode("utf-8", "replace").removesuffix("\n")
        if line != text:
            findings.add(f"{snapshot.DATASET_FILE}:{number}: rebuilt otherwise: {_difference(line, text)}")
    extra = sum(1 for _ in published)
    if extra:
        findings.add(f"{snapshot.DATASET_FILE}: {extra} rows beyond the {number} that the index gives")


def _difference(published: str, rebuilt: str) -> str:
    """The members of two rows that differ, by path."""
    try:
        found = list(differences(json.loads(published), json.loads(rebuilt)))
    except (ValueError, RecursionError):
        return "the published line is not JSON"
    told = [f"{d.path} is {short(d.before)}, rebuilt {short(d.after)}" for d in found[:5]]
    return ", ".join(told) or "the same values in other bytes"


def _compare_lines(path: Path, wanted: Iterator[bytes], findings: Findings) -> None:
    published = lines_of(path) if path.is_file() else iter(())
    number = 0
    for number, line in enumerate(wanted, 1):
        if next(published, b"") != line:
            findings.add(f"{path.name}:{number}: rebuilt otherwise")
    if extra := sum(1 for _ in published):
        findings.add(f"{path.name}: {extra} lines beyond the {number} that the index gives")


def _compare_document(document: JsonObject, planned: PlannedDataset, findings: Findings) -> None:
    wanted: dict[str, Any] = {
        "universe_id": planned.universe_id,
        "left_out": planned.left_out,
        "not_selected": planned.not_selected,
        "input_hashes": dict(planned.input_hashes),
        "runs_digest": planned.runs_digest,
    }
    for key, value in wanted.items():
        if document.get(key) != value:
            findings.add(
                f"{snapshot.SNAPSHOT_FILE}: {key} is {short(document.get(key))}, rebuilt {short(value)}"
            )


def _compare_outcomes(
    folder: Path, document: JsonObject, planned: PlannedDataset, reader: IndexReader, findings: Findings
) -> None:
    """What only the index can give: outcomes, and the columns of runs. The rows are as they should be."""
    if document["distributions"] != count_rows(folder, planned).as_json():
        findings.add(f"{snapshot.SNAPSHOT_FILE}: the distributions are not those that the index gives")
    if document["parquet"] is None or pyarrow_version() is None:
        return
    runs = read_parquet(folder / snapshot.RUNS_TABLE, RUN_COLUMNS)
    same_records(snapshot.RUNS_TABLE, runs, _run_records(planned, reader), findings)
    known = Provenance(document["epoch"], document["environment"])
    tables = {split: read_parquet(folder / split_file(split), ROW_COLUMNS) for split in SPLIT_NAMES}
    facts = facts_of(reader.connection, planned.runs)
    for line, run, fact in zip(lines_of(folder / snapshot.DATASET_FILE), planned.runs, facts, strict=True):
        split = row_head(line.decode("utf-8")).split
        wanted = outcome_columns(run, fact, known)
        if wrong := unequal(wanted, next(tables[split], None)):
            findings.add(f"{split_file(split)}: {wrong} of {run.name} rebuilt otherwise")


def _run_records(planned: PlannedDataset, reader: IndexReader) -> Iterator[Record]:
    listed = snapshot.listed_runs(planned)
    names = [column.name for column in RUN_COLUMNS]
    for (run, reason), facts in zip(
        listed, facts_of(reader.connection, [run for run, _ in listed]), strict=True
    ):
        yield dict(zip(names, run_values(run, reason, facts), strict=True))
