"""dataset.jsonl written once, row by row, and its lines taken apart without encoding anything again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from sys import intern
from typing import BinaryIO

from collectord.dataset.credentials import NO_CREDENTIALS, CredentialCounter, CredentialCounts
from collectord.dataset.row_plan import (
    BUILDER,
    ExportOptions,
    PlannedDataset,
    Tally,
    label_values,
    splitter,
)
from collectord.dataset.rowcache import Block, RowCache
from collectord.kernel.jsonio import KEY, JsonObject, Marked, compact_bytes, spaced_bytes
from collectord.kernel.rows import DATASET_SCHEMA, SPLITS, escape_line_breaks
from collectord.model import Progress


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: the dataset's own hash, the sha256 of the file, and what its rows hold.

    `splits` has that of each row in order, `keys` the key of each, one behind the other; `starts` says of
    some rows at which byte of the file they begin, in order.
    """

    dataset_hash: str
    file_sha256: str
    splits: Sequence[str]
    tally: Tally
    credentials: CredentialCounts = NO_CREDENTIALS
    keys: bytes = b""
    starts: Sequence[tuple[int, int]] = ()

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.splits)

    @property
    def split_counts(self) -> dict[str, int]:
        """How many rows each split has."""
        counted = Counter(self.splits)
        return {split: counted[split] for split in SPLITS}


def whole_rows(planned: PlannedDataset, options: ExportOptions) -> Iterator[Marked]:
    """The rows with their splits, in order, each computed."""
    split_of = splitter(options.split_by, len(planned.runs))
    for position, row in enumerate(planned.rows()):
        piece = row.make()
        yield piece.with_split(split_of(position, piece.as_bytes()))


def write_rows(
    file: BinaryIO | None,
    planned: PlannedDataset,
    options: ExportOptions,
    cache: RowCache,
    progress: Progress,
) -> Written:
    """Write dataset.jsonl, or only hash it where `file` is None."""
    hashes = _Hashes(file, escape=options.profile != BUILDER)
    split_of = splitter(options.split_by, len(planned.runs))
    splits, keys, starts = list[str](), list[bytes](), list[tuple[int, int]]()
    tally, counter = Tally(), CredentialCounter()
    for block in cache.blocks(planned.rows()):
        starts.append((len(splits), hashes.size))
        here = [split_of(len(splits) + i, row) for i, row in enumerate(block.rows)]
        hashes.add(_with_splits(block, here))
        runs = planned.runs[len(splits) : len(splits) + len(block)]
        for marks, split, run in zip(block.marks, here, runs, strict=True):
            tally.add(split, marks.label, run.status)
            counter.add(marks.credentials)
        splits += here
        keys.append(block.keys)
        progress(len(splits), len(planned.runs))
    progress(len(splits), len(planned.runs))
    dataset, whole = hashes.dataset.hexdigest(), hashes.file.hexdigest()
    return Written(dataset, whole, splits, tally, counter.counts(), b"".join(keys), starts)


_SPLIT_TEXTS = {split: f'"split"{KEY}"{split}"'.encode() for split in SPLITS}


def _with_splits(block: Block, splits: Sequence[str]) -> bytes:
    """The rows of a block with their splits, each with the end of its line."""
    if len(set(splits)) == 1:
        return block.data.replace(b"\0", _SPLIT_TEXTS[splits[0]]) + b"\n"
    rows = [row.replace(b"\0", _SPLIT_TEXTS[s]) for row, s in zip(block.rows, splits, strict=True)]
    return b"\n".join([*rows, b""])


class _Hashes:
    def __init__(self, file: BinaryIO | None, *, escape: bool) -> None:
        self._file, self._escape = file, escape
        self.dataset, self.file = sha256(), sha256()
        self.size = 0

    def add(self, rows: bytes) -> None:
        self.dataset.update(compact_bytes(rows))
        data = spaced_bytes(escape_line_breaks(rows) if self._escape else rows)
        self.file.update(data)
        self.size += len(data)
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
_ISSUE, _AFTER_INPUT = ', "issue": {', f", {_RUN}"
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
    """A row of dataset.jsonl; `input_text` is the planner input to the letter as it stands there.

    `planner_input` has its members from `issue` on, and all of them where that cannot be told.
    """

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
    values = tuple(intern(value) for value in label_values(label))
    return RowMark(run_id, intern(text[start:end]), values, text[:start] + text[end:])


def published_row(text: str) -> PublishedRow:
    """A line that we wrote; raises ValueError or KeyError for any other."""
    label, end = _DECODE(text, _after(text, _LABEL, 0))
    start = _after(text, _INPUT, end)
    planner_input, end = _behind_history(text, start) or _DECODE(text, start)
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


def _behind_history(text: str, start: int) -> tuple[JsonObject, int] | None:
    """The members of the planner input at `start` from its issue on, and where it ends; None if not told.

    The history before them is nine tenths of a row, and sorted members come behind it. What begins with a
    member that an object has further in ends before that object does: such text is none of these members.
    """
    end = text.rfind(_AFTER_INPUT, start, text.rfind(_SPLIT))
    begin = text.find(_ISSUE, start, end)
    if begin < 0:
        return None
    found, length = _DECODE("{" + text[begin + len(", ") : end])
    return (found, end) if begin + len(", ") + length - 1 == end else None


def _after(text: str, expected: str, position: int) -> int:
    if not text.startswith(expected, position):
        raise ValueError(f"not a row of ours at character {position}")
    return position + len(expected)
