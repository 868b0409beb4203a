"""Rows that were computed before: a file beside the index that only saves time.

There is one file for each set of export options. An export that has other rows replaces it atomically, so
that two exports at once cannot mix. Rows lie in blocks, each compressed and with the key of every row: a
digest of all that its bytes depend on. A block of which no row changed is taken as it is, without a look at
its rows; of any other each row is taken by its key. Damaged blocks, all behind a torn end, and files of
another format or of other code are ignored.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import tempfile
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from collectord.dataset.credentials import KindsOf
from collectord.dataset.row_plan import LazyRow, label_of_row, label_values
from collectord.index.rows import pack
from collectord.kernel.rows import SPLITS, RowPieces, row_from_bytes
from collectord.system.durable import SUFFIX, own_prefix, remove_leftovers
from collectord.system.own_code import code_stamp

# A block ends at whichever comes first; recorded inputs can have megabytes each.
BLOCK_ROWS = 64
_BLOCK_BYTES = 4 * 2**20
_MAGIC = b"collectord rows 3\n"
_KEY_BYTES = 32
# How many rows a block has, and how many bytes its packed rows and its packed marks.
_HEADER = struct.Struct(">III")


@dataclass(frozen=True, slots=True)
class RowMarks:
    """What is counted of a row: its label in the order of LABEL_PARTS, and kinds of credentials in it."""

    label: tuple[str, ...]
    credentials: tuple[str, ...] = ()


@dataclass(frozen=True)
class Block:
    """Rows that follow each other: keys, bytes (`RowPieces.as_bytes`, a line each) and marks of each."""

    keys: bytes
    data: bytes
    marks: Sequence[RowMarks]

    def __len__(self) -> int:
        return len(self.marks)

    @cached_property
    def rows(self) -> list[bytes]:
        """The bytes of each row; JSON holds no line break."""
        return self.data.split(b"\n")


def unpack_row(data: bytes) -> RowPieces | None:
    """A row from its compressed bytes; None where they are damaged."""
    try:
        return row_from_bytes(zlib.decompress(data))
    except (zlib.error, ValueError):
        return None


def kept_or_made(row: LazyRow) -> RowPieces:
    """A row from the index, where it was kept when its run was read, else computed."""
    packed = row.find(row.key)
    return (unpack_row(packed) if packed else None) or row.make()


def is_usable(folder: Path) -> bool:
    """Whether files can be read and written in the folder, which is made where it is missing."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.R_OK | os.W_OK | os.X_OK)


@dataclass(frozen=True, slots=True)
class _Packed:
    """A block as it lies in the file: `start` is where its packed rows begin, behind the keys."""

    keys: bytes
    start: int
    row_bytes: int
    mark_bytes: int

    def __len__(self) -> int:
        return len(self.keys) // _KEY_BYTES

    @property
    def end(self) -> int:
        return self.start + self.row_bytes + self.mark_bytes


class RowCache:
    """Rows of the last export by key, and a new file being written beside it; None for a file: no cache."""

    def __init__(self, path: Path | None, kinds_of: KindsOf) -> None:
        """`kinds_of` gives the kinds of credentials in a row that was not looked at before."""
        self._path, self._kinds_of = path, kinds_of
        self._map: mmap.mmap | None = None
        self._old: list[_Packed] = []
        self._place: dict[bytes, tuple[int, int]] = {}
        self._unpacked: tuple[int, Block | None] = (-1, None)
        self._partial: Path | None = None
        self._new: BinaryIO | None = None
        self.reused = 0
        self.computed = 0

    def __enter__(self) -> RowCache:
        if self._path is None:
            return self
        magic = _MAGIC + sha256(code_stamp().encode("utf-8", "surrogatepass")).digest()
        self._load(self._path, magic)
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        remove_leftovers(self._path.parent)
        fd, name = tempfile.mkstemp(prefix=own_prefix(), suffix=SUFFIX, dir=self._path.parent)
        self._partial = Path(name)
        self._new = os.fdopen(fd, "wb", buffering=2**20)
        self._new.write(magic)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._new is not None:
            self._new.close()
        if self._map is not None:
            self._map.close()
        if self._partial is None or self._path is None:
            return
        if kind is None and (self.computed or self.reused != len(self._place)):
            self._partial.replace(self._path)
        self._partial.unlink(missing_ok=True)

    def _load(self, path: Path, magic: bytes) -> None:
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):
            return
        if self._map[: len(magic)] != magic:
            return
        position, end = len(magic), len(self._map)
        while position + _HEADER.size <= end:
            rows, row_bytes, mark_bytes = _HEADER.unpack_from(self._map, position)
            start = position + _HEADER.size + rows * _KEY_BYTES
            block = _Packed(self._map[position + _HEADER.size : start], start, row_bytes, mark_bytes)
            for place, key in enumerate(_split_keys(block.keys)):
                self._place[key] = len(self._old), place
            self._old.append(block)
            position = block.end

    def blocks(self, rows: Iterable[LazyRow]) -> Iterator[Block]:
        """All rows in order; what was not there before goes into the new file, as the rest does."""
        coming = iter(rows)
        ahead: deque[LazyRow] = deque(islice(coming, BLOCK_ROWS))
        made: list[tuple[bytes, bytes, RowMarks]] = []
        size = 0
        while ahead:
            whole = self._whole(ahead)
            if made and (whole or len(made) == BLOCK_ROWS or size >= _BLOCK_BYTES):
                yield self._put(made)
                made, size = [], 0
            if whole:
                yield whole
            else:
                made.append(self._row(ahead.popleft()))
                size += len(made[-1][1])
            ahead.extend(islice(coming, BLOCK_ROWS - len(ahead)))
        if made:
            yield self._put(made)

    def _whole(self, ahead: deque[LazyRow]) -> Block | None:
        """The block of before with exactly the rows that come next, which it takes from those ahead."""
        number, place = self._place.get(ahead[0].key, (0, -1))
        if place != 0:
            return None
        packed = self._old[number]
        may_grow = number == len(self._old) - 1 and len(packed) < BLOCK_ROWS
        if may_grow or packed.keys != b"".join([row.key for row in islice(ahead, len(packed))]):
            return None
        block = self._unpack(number)
        if block is not None:
            assert self._map is not None
            self.reused += len(block)
            self._append(block.keys, self._map[packed.start : packed.end], packed.row_bytes)
            for _ in range(len(block)):
                ahead.popleft()
        return block

    def _row(self, row: LazyRow) -> tuple[bytes, bytes, RowMarks]:
        number, place = self._place.get(row.key, (-1, 0))
        block = self._unpack(number) if number >= 0 else None
        if block is not None:
            self.reused += 1
            return row.key, block.rows[place], block.marks[place]
        self.computed += 1
        pieces = kept_or_made(row)
        label = label_values(label_of_row(pieces))
        # Whole, in whichever split: it may be decoded.
        kinds = tuple(sorted(self._kinds_of(pieces.with_split(SPLITS[0]))))
        return row.key, pieces.as_bytes(), RowMarks(label, kinds)

    def _unpack(self, number: int) -> Block | None:
        """A block of before; None where it is damaged. The last one stays at hand, for its next row."""
        if self._unpacked[0] != number:
            assert self._map is not None
            self._unpacked = number, _unpacked(self._map, self._old[number])
        return self._unpacked[1]

    def _put(self, made: list[tuple[bytes, bytes, RowMarks]]) -> Block:
        keys, rows, marks = zip(*made, strict=True)
        block = Block(b"".join(keys), b"\n".join(rows), marks)
        if self._new is not None:
            data = pack(block.data)
            listed = [[mark.label, mark.credentials] for mark in marks]
            self._append(block.keys, data + pack(json.dumps(listed).encode("ascii")), len(data))
        return block

    def _append(self, keys: bytes, packed: bytes, row_bytes: int) -> None:
        assert self._new is not None
        self._new.write(_HEADER.pack(len(keys) // _KEY_BYTES, row_bytes, len(packed) - row_bytes))
        self._new.write(keys)
        self._new.write(packed)


def _split_keys(keys: bytes) -> list[bytes]:
    return [keys[start : start + _KEY_BYTES] for start in range(0, len(keys), _KEY_BYTES)]


def _unpacked(data: mmap.mmap, packed: _Packed) -> Block | None:
    middle = packed.start + packed.row_bytes
    try:
        rows = zlib.decompress(data[packed.start : middle])
        listed = json.loads(zlib.decompress(data[middle : packed.end]))
        marks = [RowMarks(tuple(label), tuple(kinds)) for label, kinds in listed]
    except (zlib.error, ValueError, TypeError):
        return None
    return Block(packed.keys, rows, marks) if len(marks) == len(packed) else None
