"""The flat files of a snapshot and the counts on its card, from the rows that were just written.

The rows are read back from dataset.jsonl, one at a time: the tables can only say what is published there,
and it makes no difference whether the rows were computed, cached or copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from collectord.export.columns import ROW_COLUMNS, RUN_COLUMNS, split_file
from collectord.export.distributions import Tally
from collectord.export.flat_columns import outcome_columns, row_values, run_values
from collectord.export.jsonl import published_row, row_head
from collectord.export.row_plan import PlannedDataset
from collectord.export.snapshot import DATASET_FILE, RUNS_TABLE, Provenance, listed_runs
from collectord.index.facts import facts_of
from collectord.index.reader import IndexReader

if TYPE_CHECKING:
    from collectord.export.parquet import ParquetFile


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
    from collectord.export.parquet import ParquetFile

    path = folder / split_file(split)
    path.parent.mkdir(exist_ok=True)
    return ParquetFile(path, ROW_COLUMNS)


def _write_runs(path: Path, planned: PlannedDataset, reader: IndexReader) -> None:
    from collectord.export.parquet import ParquetFile

    listed = listed_runs(planned)
    facts = facts_of(reader.connection, [run for run, _ in listed])
    with ParquetFile(path, RUN_COLUMNS) as file:
        for (run, left_out), known in zip(listed, facts, strict=True):
            file.add(run_values(run, left_out, known))


def _lines(folder: Path) -> Iterator[str]:
    with (folder / DATASET_FILE).open(encoding="utf-8", newline="\n") as file:
        yield from file
