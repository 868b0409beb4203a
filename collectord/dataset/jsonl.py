"""dataset.jsonl written once, row by row, and its lines taken apart without encoding anything again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from sys import intern
from typing import BinaryIO

from collectord.dataset.credentials import NO_CREDENTIALS, CredentialCounts, counter_for
from collectord.dataset.row_plan import (
    BUILDER,
    ExportOptions,
    LazyRow,
    PlannedDataset,
    label_values,
    splitter,
)
from collectord.dataset.rowcache import RowCache, unpack_row
from collectord.kernel.jsonio import JsonObject, Marked, compact_bytes, spaced_bytes
from collectord.kernel.rows import DATASET_SCHEMA, SPLITS, RowPieces, escape_line_breaks
from collectord.model import Progress

_BATCH = 64


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: the dataset's own hash, and the sha256 of the file."""

    dataset_hash: str
    file_sha256: str
    rows: int
    split_counts: dict[str, int]
    credentials: CredentialCounts = NO_CREDENTIALS


def pieces(rows: Iterable[LazyRow], cache: RowCache | None) -> Iterator[RowPieces]:
    """Each row, from the cache or the index where it is there; without a cache each is computed."""
    for row in rows:
        yield (cache.reuse(row.key) or _new(row, cache)) if cache else row.make()


def _new(row: LazyRow, cache: RowCache) -> RowPieces:
    packed = row.find(row.key)
    found = unpack_row(packed) if packed else None
    if found is None:
        packed, found = None, row.make()
    cache.put(row.key, found, packed)
    return found


def kept_or_made(row: LazyRow) -> RowPieces:
    """A row from the index, where it was kept when its run was read, else computed."""
    packed = row.find(row.key)
    return (unpack_row(packed) if packed else None) or row.make()


def whole_rows(planned: PlannedDataset, options: ExportOptions, cache: RowCache | None) -> Iterator[Marked]:
    """The rows with their splits, in order."""
    return (row for row, _ in _split_rows(planned, options, cache))


def _split_rows(
    planned: PlannedDataset, options: ExportOptions, cache: RowCache | None
) -> Iterator[tuple[Marked, str]]:
    split_of = splitter(options.split_by, len(planned.runs))
    for position, piece in enumerate(pieces(planned.rows(), cache)):
        split = split_of(position, piece)
        yield piece.with_split(split), split


def write_rows(
    file: BinaryIO | None,
    planned: PlannedDataset,
    options: ExportOptions,
    cache: RowCache | None,
    progress: Progress,
) -> Written:
    """Write dataset.jsonl, or only hash it where `file` is None."""
    hashes = _Hashes(file, escape=options.profile != BUILDER)
    batch: list[Marked] = []
    done, total = 0, len(planned.runs)
    splits = dict.fromkeys(SPLITS, 0)
    counter = counter_for(redacted=options.redact)
    for row, split in _split_rows(planned, options, cache):
        splits[split] += 1
        counter.add(row)
        batch.append(row)
        if len(batch) == _BATCH:
            hashes.add(batch)
            done += len(batch)
            batch = []
            progress(done, total)
    hashes.add(batch)
    progress(total, total)
    return Written(hashes.dataset.hexdigest(), hashes.file.hexdigest(), total, splits, counter.counts())


class _Hashes:
    def __init__(self, file: BinaryIO | None, *, escape: bool) -> None:
        self._file, self._escape = file, escape
        self.dataset, self.file = sha256(), sha256()

    def add(self, batch: list[Marked]) -> None:
        if not batch:
            return
        text = "\n".join(batch) + "\n"
        data = text.encode("utf-8")
        self.dataset.update(compact_bytes(data))
        escaped = escape_line_breaks(text) if self._escape else text
        data = spaced_bytes(data if escaped is text else escaped.encode("utf-8"))
        self.file.update(data)
        if self._file is not None:
            self._file.write(data)


def meta_of(planned: PlannedDataset, options: ExportOptions, written: Written) -> dict[str, object]:
    """meta.json as the kernel's builder names its members."""
    return {
        "schema_version": DATASET_SCHEMA,
        "dataset_hash": written.dataset_hash,
        "example_count": written.rows,
        "split_counts": written.split_counts,
        "include_world": options.include_world,
        "n_similar_runs": options.n_similar,
        "universe_id": planned.universe_id,
    }


def file_sha256(path: Path) -> str:
    """sha256 of a file, read in pieces."""
    with path.open("rb") as file:
        return stream_sha256(file)


def stream_sha256(file: BinaryIO) -> str:
    """sha256 of what is left of an open file, read in pieces."""
    digest = sha256()
    while block := file.read(2**20):
        digest.update(block)
    return digest.hexdigest()


_DECODE = json.JSONDecoder().raw_decode
_LABEL = '{"label_action": '
_INPUT = ', "planner_input": '
_RUN = '"run_id": '
_SPLIT = '"split": "'


@dataclass(frozen=True, slots=True)
class RowHead:
    """What the counts are made of: the label and the split of a row."""

    label: JsonObject
    split: str


@dataclass(frozen=True, slots=True)
class RowMark:
    """What a row is compared by: `label` in the order of LABEL_PARTS, `rest` all of it but the split."""

    run_id: str
    split: str
    label: tuple[str, ...]
    rest: str


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """A row of dataset.jsonl; `input_text` is the planner input to the letter as it stands there."""

    run_id: str
    started_ms: int
    split: str
    label: JsonObject
    planner_input: JsonObject
    input_text: str
    tokens: list[str]


def row_head(text: str) -> RowHead:
    """Label and split of a line that we wrote; raises ValueError for any other."""
    label, _ = _DECODE(text, _after(text, _LABEL, 0))
    # What stands behind it is a number and tokens, and no token holds an unescaped quote.
    start = text.rindex(_SPLIT) + len(_SPLIT)
    return RowHead(label, text[start : text.index('"', start)])


def row_mark(text: str) -> RowMark:
    """The marks of a line that we or the kernel wrote; raises ValueError or KeyError for any other."""
    label, _ = _DECODE(text, _after(text, _LABEL, 0))
    start = text.rindex(_SPLIT) + len(_SPLIT)
    end = text.index('"', start)
    place = text.rindex(_RUN, 0, start) + len(_RUN)
    run_id, _ = _DECODE(text, place)
    if not isinstance(run_id, str):
        raise ValueError("a run id that is no text")
    values = tuple(intern(value) for value in label_values(label).values())
    return RowMark(run_id, intern(text[start:end]), values, text[:start] + text[end:])


def published_row(text: str) -> PublishedRow:
    """A line that we wrote; raises ValueError or KeyError for any other."""
    label, end = _DECODE(text, _after(text, _LABEL, 0))
    start = _after(text, _INPUT, end)
    planner_input, end = _DECODE(text, start)
    tail = json.loads("{" + text[_after(text, ", ", end) :])
    return PublishedRow(
        run_id=tail["run_id"],
        started_ms=tail["started_ms"],
        split=tail["split"],
        label=label,
        planner_input=planner_input,
        input_text=text[start:end],
        tokens=tail["tokens"],
    )


def _after(text: str, expected: str, position: int) -> int:
    if not text.startswith(expected, position):
        raise ValueError(f"not a row of ours at character {position}")
    return position + len(expected)
