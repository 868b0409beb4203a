"""How values and bytes are held in columns: digests as keys, texts a database can hold, compression."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import overload

from collectord.errors import IndexDamaged


def text_digest(text: str) -> str:
    """sha256 of an ASCII text."""
    return sha256(text.encode("ascii")).hexdigest()


MAX_INT = 2**63 - 1


@overload
def db_text(value: str) -> str: ...
@overload
def db_text(value: None) -> None: ...
def db_text(value: str | None) -> str | None:
    """The text with lone surrogates and NULs written as escapes; for looking at, not for hashing."""
    if value is None or value.isprintable():
        return value
    return value.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")


def db_int(value: int | None) -> int | None:
    """The integer, or None where it does not fit into 64 bits."""
    return int(value) if value is not None and -MAX_INT - 1 <= value <= MAX_INT else None


def db_real(value: float | None) -> float | None:
    """The number, or None for NaN, which SQLite would turn into NULL by itself."""
    return None if value is None or value != value else float(value)


CODEC = "zlib"
_WORTH_THREADS = 64
# Level 1 costs a third of the time of 6 and a tenth more room; ingest waits for it.
_LEVEL = 1


def pack(data: bytes) -> bytes:
    """Compressed bytes of one artifact or row."""
    # A window no larger than the data gives the same size; clearing the memory for a large one takes longer
    # than compressing what is small.
    window = max(9, min(zlib.MAX_WBITS, len(data).bit_length()))
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, window, max(1, min(zlib.DEF_MEM_LEVEL, window - 6)))
    return compressor.compress(data) + compressor.flush()


def pack_all(items: Sequence[bytes]) -> list[bytes]:
    """Compress many artifacts at once; zlib lets go of the interpreter, so threads share the cores."""
    if len(items) < _WORTH_THREADS:
        return [pack(item) for item in items]
    # One task a thread: one an item cost as much as the compression of a small one.
    threads = min(4, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        shares = [items[start::threads] for start in range(threads)]
        packed: list[bytes] = [b""] * len(items)
        for start, share in enumerate(pool.map(_pack_share, shares)):
            packed[start::threads] = share
    return packed


def _pack_share(items: Sequence[bytes]) -> list[bytes]:
    return [pack(item) for item in items]


def unpack(digest: str, codec: str, data: bytes) -> bytes:
    """The artifact's bytes, checked against the digest that it is filed under."""
    try:
        raw = zlib.decompress(data) if codec == CODEC else b""
    except zlib.error as error:
        raise IndexDamaged(f"artifact {digest}: {error}; run `collectord db recover`") from error
    if sha256(raw).hexdigest() != digest:
        raise IndexDamaged(f"artifact {digest}: its bytes have another digest; run `collectord db recover`")
    return raw
