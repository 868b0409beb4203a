"""Rows that were computed before: a file beside the index that only saves time.

There is one file for each set of export options. An export that computed a new row replaces it atomically, so
that two exports at once cannot mix. A row is stored under a digest of all that its bytes depend on, with a
checksum: damaged rows, all behind a torn end and every file of another format are ignored.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
import zlib
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from collectord.index.rows import pack
from collectord.kernel.rows import RowPieces, row_from_bytes
from collectord.system.durable import SUFFIX, own_prefix, remove_leftovers

_MAGIC = b"collectord rows 2\n"
_HEADER = struct.Struct(">32sI")


def unpack_row(data: bytes) -> RowPieces | None:
    """A row from its compressed bytes; None where they are damaged."""
    try:
        return row_from_bytes(zlib.decompress(data))
    except (zlib.error, ValueError):
        return None


def is_usable(folder: Path) -> bool:
    """Whether files can be read and written in the folder, which is made where it is missing."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.R_OK | os.W_OK | os.X_OK)


class RowCache:
    """Rows of the last export by key, and a new file being written beside it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._old: dict[bytes, tuple[int, int]] = {}
        self._map: mmap.mmap | None = None
        self._partial: Path | None = None
        self._new: BinaryIO | None = None
        self.reused = 0
        self.computed = 0

    def __enter__(self) -> RowCache:
        self._load()
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        remove_leftovers(self._path.parent)
        fd, name = tempfile.mkstemp(prefix=own_prefix(), suffix=SUFFIX, dir=self._path.parent)
        self._partial = Path(name)
        self._new = os.fdopen(fd, "wb", buffering=2**20)
        self._new.write(_MAGIC)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._new is not None:
            self._new.close()
        if self._map is not None:
            self._map.close()
        if self._partial is None:
            return
        if kind is None and (self.computed or self.reused != len(self._old)):
            self._partial.replace(self._path)
        self._partial.unlink(missing_ok=True)

    def _load(self) -> None:
        try:
            with self._path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):
            return
        if self._map[: len(_MAGIC)] != _MAGIC:
            return
        position, end = len(_MAGIC), len(self._map)
        while position + _HEADER.size <= end:
            key, length = _HEADER.unpack_from(self._map, position)
            position += _HEADER.size
            if position + length <= end:
                self._old[key] = (position, length)
            position += length

    def reuse(self, key: bytes) -> RowPieces | None:
        """The row of a key, if the last export had it; it goes into the new file too."""
        found = self._old.get(key)
        if found is None or self._map is None:
            return None
        packed = self._map[found[0] : found[0] + found[1]]
        row = unpack_row(packed)
        if row is None:
            return None
        self.reused += 1
        self._append(key, packed)
        return row

    def put(self, key: bytes, row: RowPieces, packed: bytes | None = None) -> None:
        """Store a row that was computed now; `packed` are its compressed bytes if the caller has them."""
        self.computed += 1
        self._append(key, packed or pack(row.as_bytes()))

    def _append(self, key: bytes, packed: bytes) -> None:
        assert self._new is not None
        self._new.write(_HEADER.pack(key, len(packed)))
        self._new.write(packed)
