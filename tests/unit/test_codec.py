"""How artifacts are packed."""

from __future__ import annotations

import random
import zlib
from hashlib import sha256

import pytest

from collectord.index.rows import CODEC, pack, pack_all, unpack

SIZES = (0, 1, 2, 255, 256, 257, 4_095, 4_096, 32_767, 32_768, 32_769, 300_000)


@pytest.mark.parametrize("size", SIZES)
def test_any_size_comes_back_as_it_was(size: int) -> None:
    random_bytes = random.Random(size).randbytes(size)
    for data in (random_bytes, b"a" * size, (b'{"key": "value", "n": 1}' * size)[:size]):
        assert unpack(sha256(data).hexdigest(), CODEC, pack(data)) == data


def test_a_small_window_packs_as_well_as_a_large_one() -> None:
    for size in SIZES:
        text = (b'{"passed": true, "score": 0.25, "name": "typecheck"}' * size)[:size]
        # The window is as large as the data; a few bytes may go to other block limits.
        assert len(pack(text)) <= len(zlib.compress(text, 1)) * 1.02 + 8


def test_many_are_packed_in_their_order() -> None:
    items = [str(number).encode() * 50 for number in range(500)]
    assert pack_all(items) == [pack(item) for item in items]
