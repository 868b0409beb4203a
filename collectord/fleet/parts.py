"""One file of a fleet's dataset: its rows fetched from many sources, in order."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collectord.dataset.columns import INTEGER, ROW_COLUMNS, SPLIT_NAMES, TEXT
from collectord.dataset.jsonl import file_sha256
from collectord.dataset.parquet import arrow_array, arrow_schema
from collectord.dataset.row_plan import DIMENSIONS, OUTCOME
from collectord.fleet.merge import Part, read_plan
from collectord.fleet.options import FLEET_COLUMNS, SOURCE_COLUMN
from collectord.fleet.render import Rendered
from collectord.fleet.row_text import row_line
from collectord.fleet.storage import open_storage
from collectord.fleet.tables import StoredTable

# Rows of one row group of a file.
BLOCK_ROWS = 256
# Of rows that are fetched together; the first of a file are so many.
BATCH_BYTES = 24 * 2**20
FIRST_BATCH = 4 * BLOCK_ROWS
COLUMN_OF = {name: OUTCOME if name == OUTCOME else f"label_{name}" for name in DIMENSIONS}
_LEVEL = 3


@dataclass(frozen=True, slots=True)
class PartTask:
    """`to` is a URL, `folder` is where the dataset is put together; `parts` is how many its split has."""

    to: str
    folder: str
    rendered: tuple[Rendered, ...]
    part: Part
    parts: int
    jsonl: bool


@dataclass(frozen=True, slots=True)
class MadeFile:
    """A file of the dataset, by its name in it."""

    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class MadePart:
    """What a part became; `counts` are dimension → value → rows."""

    split: str
    rows: int
    files: tuple[MadeFile, ...]
    counts: dict[str, dict[str, int]]


def make_part(task: PartTask) -> MadePart:
    """Write one file of rows, and its JSON lines where they are asked for. Done twice it is the same."""
    storage = open_storage(task.to)
    plan = read_plan(storage, task.part)
    used = sorted({place for place, _ in plan})
    tables = [StoredTable(storage, task.rendered[place].rows_file, ROW_COLUMNS) for place in used]
    blocks = _Blocks([task.rendered[place].source for place in used], tables, task.part.split)
    number_of = {place: number for number, place in enumerate(used)}
    name = task.part.name(task.parts)
    with tempfile.TemporaryDirectory(prefix="collectord-fleet-") as scratch:
        writer = _Writer(Path(scratch), name, jsonl=task.jsonl)
        with writer:
            for block in blocks.blocks([(number_of[place], row) for place, row in plan]):
                writer.add(block)
        made = []
        for local, target in writer.files:
            storage.put(local, f"{task.folder}/{target}")
            made.append(MadeFile(target, file_sha256(local), local.stat().st_size))
    return MadePart(task.part.split, len(plan), tuple(made), writer.counts())


class _Blocks:
    """Gathers rows of many sources into blocks.

    The rows of as many blocks as have room are fetched together, so that each row group is read once for all
    of them, and nothing of it but those rows stays in memory.
    """

    def __init__(self, sources: Sequence[str], tables: Sequence[StoredTable], split: str) -> None:
        self._sources, self._tables, self._split = sources, tables, SPLIT_NAMES[split]
        self._schema = arrow_schema(FLEET_COLUMNS)

    def blocks(self, rows: Sequence[tuple[int, int]]) -> Iterator[Any]:
        """The rows in this order, with their source and the split that they have among all."""
        start, at_once = 0, FIRST_BATCH
        while start < len(rows):
            batch = rows[start : start + at_once]
            gathered, places = self._gather(batch)
            for first in range(0, len(batch), BLOCK_ROWS):
                chosen = slice(first, first + BLOCK_ROWS)
                block = gathered.take(arrow_array(INTEGER, places[chosen]))
                yield self._finished(block, [self._sources[table] for table, _ in batch[chosen]])
            # How large rows are unpacked is known only of those that were; the next ones are much the same.
            mean = max(1, gathered.nbytes // len(batch))
            start, at_once = start + len(batch), max(1, BATCH_BYTES // mean // BLOCK_ROWS) * BLOCK_ROWS

    def _gather(self, rows: Sequence[tuple[int, int]]) -> tuple[Any, list[int]]:
        """A table of exactly these rows in some order, and where in it each of them is."""
        import pyarrow as pa

        by_group: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for position, (table, row) in enumerate(rows):
            group, within = self._tables[table].place(row)
            by_group.setdefault((table, group), []).append((within, position))
        pieces, places, found = [], [0] * len(rows), 0
        for (table, group), wanted in by_group.items():
            # A copy of the rows: a slice would keep all of the group.
            within = arrow_array(INTEGER, [within for within, _ in wanted])
            pieces.append(self._tables[table].read(group).take(within))
            for _, position in wanted:
                places[position], found = found, found + 1
        return pa.concat_tables(pieces).combine_chunks(), places

    def _finished(self, block: Any, sources: Sequence[str]) -> Any:
        # Built from buffers: pyarrow's own way imports pandas wherever it is installed.
        splits = arrow_array(TEXT, [self._split] * len(sources))
        block = block.set_column(block.schema.get_field_index("split"), "split", splits)
        block = block.add_column(0, SOURCE_COLUMN.name, arrow_array(TEXT, sources))
        return block.select(self._schema.names).cast(self._schema).combine_chunks()


class _Writer:
    """The files of one part, while they are written."""

    def __init__(self, scratch: Path, name: str, *, jsonl: bool) -> None:
        self._tables = scratch / f"{name}.parquet"
        self._lines = scratch / f"{name}.jsonl.zst" if jsonl else None
        self.files = [(self._tables, f"data/{self._tables.name}")]
        if self._lines is not None:
            self.files.append((self._lines, f"dataset/{self._lines.name}"))
        self._counts: dict[str, Counter[str]] = {name: Counter() for name in DIMENSIONS}

    def __enter__(self) -> _Writer:
        import pyarrow.parquet as pq
        import zstandard

        schema = arrow_schema(FLEET_COLUMNS)
        self._parquet: Any = pq.ParquetWriter(self._tables, schema, compression="zstd", compression_level=1)
        if self._lines is not None:
            self._file = self._lines.open("xb")
            compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
            self._packed: Any = compressor.stream_writer(self._file)
        return self

    def __exit__(self, *_error: object) -> None:
        self._parquet.close()
        if self._lines is not None:
            self._packed.close()

    def add(self, block: Any) -> None:
        """One row group."""
        self._parquet.write_table(block)
        for name in DIMENSIONS:
            self._counts[name].update(block.column(COLUMN_OF[name]).to_pylist())
        if self._lines is not None:
            for record in block.to_pylist():
                self._packed.write(f"{row_line(record)}\n".encode())

    def counts(self) -> dict[str, dict[str, int]]:
        """Rows by dimension and value; an outcome that is not known is not counted."""
        return {
            name: dict(sorted((value, count) for value, count in counter.items() if value is not None))
            for name, counter in self._counts.items()
        }
