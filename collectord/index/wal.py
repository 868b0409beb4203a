"""Whether the index's write-ahead log is whole. SQLite itself takes a damaged one for a short one.

After a crash SQLite replays the log up to the first frame whose checksum is wrong and forgets the rest
without a word. A power cut can tear the last transaction, which nobody was told is durable; but a whole
transaction behind a torn one can only be damage. File format: https://sqlite.org/fileformat2.html#walformat
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from collectord.errors import IndexDamaged

_MAGIC = {0x377F0682: "<", 0x377F0683: ">"}
_HEADER, _FRAME_HEADER = 32, 24
_MASK = 0xFFFFFFFF
TORN_BY_POWER_CUT = 1


@dataclass(frozen=True, slots=True)
class LogState:
    """`commits` that a replay would take, `lost` ones behind the first frame that is not whole."""

    commits: int
    lost: int

    @property
    def damaged(self) -> bool:
        """Whether more is lost than the last transaction, which a power cut may tear."""
        return self.lost > TORN_BY_POWER_CUT


def log_path(index: Path) -> Path:
    """Where SQLite keeps the log of an index file."""
    return index.with_name(f"{index.name}-wal")


def require_whole_log(index: Path) -> None:
    """Raise IndexDamaged before SQLite forgets what is behind the damage. Nobody may have the index open."""
    state = examine_log(log_path(index))
    if state.damaged:
        raise IndexDamaged(
            f"{log_path(index)}: {state.lost} transactions stand behind a damaged part of the log and "
            "would be forgotten: run `collectord db recover`, which keeps the file"
        )


def examine_log(path: Path) -> LogState:
    """Read a log from its start; a missing or empty one is whole."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return LogState(0, 0)
    if not any(data[:_HEADER]) and len(data) <= _HEADER:
        return LogState(0, 0)
    order = _MAGIC.get(int.from_bytes(data[:4], "big"))
    page = int.from_bytes(data[8:12], "big") if len(data) >= _HEADER else 0
    sums = _checksum(order, data[:24], (0, 0)) if order and len(data) >= _HEADER else None
    if order is None or sums != struct.unpack(">2I", data[24:32]) or not 512 <= page <= 65536:
        # Without its header nothing in it can be told from what an earlier use of the file left behind.
        return LogState(0, TORN_BY_POWER_CUT + 1 if len(data) > _HEADER else 0)
    return _count(data, order, page, sums)


def _count(data: bytes, order: str, page: int, sums: tuple[int, int]) -> LogState:
    salts = data[16:24]
    commits = lost = 0
    whole = True
    for start in range(_HEADER, len(data) - _FRAME_HEADER - page + 1, _FRAME_HEADER + page):
        header = data[start : start + _FRAME_HEADER]
        if whole:
            body = data[start + _FRAME_HEADER : start + _FRAME_HEADER + page]
            sums = _checksum(order, body, _checksum(order, header[:8], sums))
            whole = header[8:16] == salts and sums == struct.unpack(">2I", header[16:24])
        ends_a_transaction = header[8:16] == salts and header[4:8] != b"\0\0\0\0"
        commits += whole and ends_a_transaction
        lost += not whole and ends_a_transaction
    return LogState(commits, lost)


def _checksum(order: str, data: bytes, sums: tuple[int, int]) -> tuple[int, int]:
    first, second = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & _MASK
        second = (second + odd + first) & _MASK
    return first, second
