"""The flat files of a snapshot, and the counts on its card, from the rows that were just written."""

from __future__ import annotations

import json
import marshal
import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from operator import itemgetter
from pathlib import Path
from sqlite3 import Row
from typing import Any

from collectord.dataset.columns import (
    ARTIFACT_COLUMNS,
    FLAG,
    ROW_COLUMNS,
    RUN_COLUMNS,
    SPLIT_NAMES,
    split_file,
)
from collectord.dataset.jsonl import PublishedRow, Written, file_sha256, published_row, row_head
from collectord.dataset.layout import DATASET_FILE, RUNS_TABLE
from collectord.dataset.row_plan import LABEL_PARTS, PlannedDataset, Tally, label_values
from collectord.dataset.snapshot import Provenance, listed_runs
from collectord.index.reader import IndexReader
from collectord.index.rows import db_text
from collectord.index.runs import FACTS, Tools, facts_of, tools_in
from collectord.kernel.values import as_object, member, text_or_none, texts
from collectord.model import IndexedRun

_MAX = 2**63
_LABELS = [f"label_{name}" for name in LABEL_PARTS]
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
        **dict(zip(_LABELS, label_values(row.label), strict=True)),
        "input_hash": row.label["input_hash"],
        "planner_input_json": row.input_text,
        "tokens": row.tokens,
    }


def outcome_columns(run: IndexedRun, tools: Tools, provenance: Provenance) -> dict[str, Any]:
    """The columns that the index gives of a row's run, as the asked profile sees it."""
    summary = json.loads(run.summary)
    return {
        "workcell_id": run.name,
        "finished_ms": _integer(run.finished_ms),
        "domain": run.domain,
        "outcome_status": summary["outcome"]["status"],
        "fail_codes": texts(summary["outcome"]["fail_codes"]),
        "duration_ms": _integer(run.duration_ms),
        "cost_usd": _real(summary.get("cost_usd_est")),
        **tools._asdict(),
        **_provenance_columns(provenance),
    }


def _provenance_columns(provenance: Provenance) -> dict[str, Any]:
    epoch, environment = provenance.epoch or {}, provenance.environment or {}
    return {
        "epoch": _integer(epoch.get("number")),
        "environment": text_or_none(environment.get("fingerprint")),
    }


def _outcome_parts(run: IndexedRun, tools: Tools) -> tuple[object, ...]:
    """All that `outcome_columns` goes by, but for the provenance."""
    return run.name, run.finished_ms, run.domain, run.duration_ms, run.summary, *tools


def row_values(row: PublishedRow, outcome: Mapping[str, Any]) -> list[Any]:
    """A row of data/*.parquet."""
    found = {**row_columns(row), **outcome}
    return [found[column.name] for column in ROW_COLUMNS]


_OF_RUN = ("workcell_id", "revision", "run_id", "left_out", *ARTIFACT_COLUMNS)
# What the run itself says goes before what the index says of it.
_PLACES = {name: place for place, name in enumerate((*FACTS, *_OF_RUN))}
_IN_ORDER = itemgetter(*(_PLACES[column.name] for column in RUN_COLUMNS))
_FLAGS = [place for place, column in enumerate(RUN_COLUMNS) if column.kind == FLAG]


def run_values(run: IndexedRun, left_out: str | None, facts: Row) -> list[Any]:
    """A row of runs.parquet; its run id is the one that the asked profile gives it."""
    artifacts = map(run.artifacts.get, ARTIFACT_COLUMNS.values())
    found = list(_IN_ORDER((*facts, run.name, run.digest, db_text(run.run_id), left_out, *artifacts)))
    for place in _FLAGS:
        found[place] = _flag(found[place])
    return found


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
    with (folder / DATASET_FILE).open(encoding="utf-8", newline="\n") as file:
        for line, run in zip(file, planned.runs, strict=True):
            head = row_head(line)
            tally.add(head.split, label_values(head.label), run.status)
    return tally


# One new row leaves most files of so many rows as they were, so that an export copies them.
FILE_ROWS = 1024
ToolsByRun = Mapping[tuple[str, str], Tools]
# Puts the file of before with the rows of a digest at a path; gives its sha256, None where there is none.
CopyTable = Callable[[str, Path], str | None]


@dataclass(frozen=True, slots=True)
class RowFile:
    """A file of data/*.parquet: the places of its rows among all, all in one split."""

    name: str
    places: Sequence[int]


def row_files(splits: Sequence[str]) -> list[RowFile]:
    """The files for rows of those splits: each holds those of one among some that follow each other. Pure."""
    found: dict[str, list[list[int]]] = {split: [] for split in SPLIT_NAMES}
    for start in range(0, len(splits), FILE_ROWS):
        here = range(start, min(start + FILE_ROWS, len(splits)))
        for split, files in found.items():
            if places := [place for place in here if splits[place] == split]:
                files.append(places)
    return [
        RowFile(split_file(split, number, len(files)), places)
        for split, files in found.items()
        for number, places in enumerate(files)
    ]


@dataclass(frozen=True, slots=True)
class Tables:
    """The Parquet files that were written: name → sha256, and name → a digest of all that went into it."""

    sums: Mapping[str, str]
    digests: Mapping[str, str]


def write_tables(
    folder: Path,
    planned: PlannedDataset,
    written: Written,
    reader: IndexReader,
    provenance: Provenance,
    copy: CopyTable,
) -> Tables:
    """data/*.parquet and runs.parquet; a file of which nothing changed is copied."""
    tools = _write_runs(folder / RUNS_TABLE, planned, reader)
    sums, digests = {RUNS_TABLE: file_sha256(folder / RUNS_TABLE)}, {}
    for file in row_files(written.splits):
        path = folder / file.name
        path.parent.mkdir(exist_ok=True)
        digests[file.name] = _digest(file, planned, written, tools, provenance)
        copied = copy(digests[file.name], path)
        if copied is None:
            _write_rows(path, file, planned, written, tools, provenance)
        sums[file.name] = copied or file_sha256(path)
    return Tables(sums, digests)


def _digest(
    file: RowFile,
    planned: PlannedDataset,
    written: Written,
    tools: ToolsByRun,
    provenance: Provenance,
) -> str:
    size = len(written.keys) // len(written.splits)
    keys = [written.keys[place * size : place * size + size] for place in file.places]
    runs = [planned.runs[place] for place in file.places]
    outcomes = [_outcome_parts(run, tools[run.kind, run.name]) for run in runs]
    beside = written.splits[file.places[0]], _provenance_columns(provenance)
    # Version 2 writes no references: the same values give the same bytes.
    return sha256(marshal.dumps([beside, keys, outcomes], 2)).hexdigest()


def _write_rows(
    path: Path,
    file: RowFile,
    planned: PlannedDataset,
    written: Written,
    tools: ToolsByRun,
    provenance: Provenance,
) -> None:
    from collectord.dataset.parquet import ParquetFile

    with ParquetFile(path, ROW_COLUMNS) as table:
        lines = _lines_at(path.parent.parent / DATASET_FILE, file.places, written.starts)
        for place, line in zip(file.places, lines, strict=True):
            run = planned.runs[place]
            outcome = outcome_columns(run, tools[run.kind, run.name], provenance)
            table.add(row_values(published_row(line), outcome), len(line))


def _lines_at(path: Path, places: Sequence[int], starts: Sequence[tuple[int, int]]) -> Iterator[str]:
    """The lines of those numbers, ascending; `starts` has some numbers with the offset where they begin."""
    number, offset = starts[bisect_right(starts, (places[0], 2**63)) - 1]
    wanted = iter(places)
    place = next(wanted, None)
    with path.open("rb") as file:
        file.seek(offset)
        while place is not None:
            line = file.readline()
            if number == place:
                yield line.decode("utf-8")
                place = next(wanted, None)
            number += 1


def _write_runs(path: Path, planned: PlannedDataset, reader: IndexReader) -> ToolsByRun:
    """runs.parquet; gives the tools of each run, for the rows."""
    from collectord.dataset.parquet import ParquetFile

    listed = listed_runs(planned)
    found = {}
    with ParquetFile(path, RUN_COLUMNS, _RUNS_IN_A_GROUP) as file:
        facts = facts_of(reader.connection, [run for run, _ in listed])
        for (run, left_out), known in zip(listed, facts, strict=True):
            found[run.kind, run.name] = tools_in(known)
            file.add(run_values(run, left_out, known))
    return found


# They hold no long texts.
_RUNS_IN_A_GROUP = 4096
