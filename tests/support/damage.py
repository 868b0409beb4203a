"""Harm to an index file or its log as a failing disk does it, the same for the same seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Harm:
    """What was done to which file."""

    file: str
    how: str
    place: int
    length: int


def harm(index: Path, seed: int) -> Harm:
    """Damage the index or its log in one place: a bit, zeros, noise, a lost end, a misplaced page."""
    rng = random.Random(seed)
    log = index.with_name(f"{index.name}-wal")
    path = rng.choice([index, index, log])
    data = bytearray(path.read_bytes())
    how = rng.choice(["bit", "bit", "zeros", "noise", "end", "page"])
    place, length = rng.randrange(len(data)), rng.choice([1, 16, 512, 4096])
    length = min(length, len(data) - place)
    match how:
        case "bit":
            data[place] ^= 1 << rng.randrange(8)
        case "zeros":
            data[place : place + length] = bytes(length)
        case "noise":
            data[place : place + length] = rng.randbytes(length)
        case "end":
            del data[place:]
        case "page":
            page, other = (rng.randrange(len(data) // 4096) * 4096 for _ in range(2))
            data[page : page + 4096] = data[other : other + 4096]
    path.write_bytes(data)
    return Harm(path.name, how, place, length)
