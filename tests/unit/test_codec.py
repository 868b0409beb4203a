"""How artifacts are packed."""

from __future__ import annotations

import json
import random
import zlib
from hashlib import sha256

import pytest

from collectord.index.rows import CODEC, pack, unpack

SIZES = (0, 1, 2, 255, 256, 257, 4_095, 4_096, 32_767, 32_768, 32_769, 300_000)


@pytest.mark.parametrize("size", SIZES)
def test_any_size_comes_back_as_it_was(size: int) -> None:
    random_bytes = random.Random(size).randbytes(size)
    for data in (random_bytes, b"a" * size, (b'{"key": "value", "n": 1}' * size)[:size]):
        assert unpack(sha256(data).hexdigest(), CODEC, pack(data)) == data
        assert zlib.decompress(pack(data)) == data


def test_what_is_packed_is_about_as_small_as_zlib_makes_it() -> None:
    source = random.Random(1)
    for size in SIZES:
        gates = [{"passed": True, "score": source.random(), "name": "typecheck"} for _ in range(size // 50)]
        text = json.dumps(gates, indent=2).encode()
        assert len(pack(text)) <= len(zlib.compress(text, 1)) * 1.1 + 16
