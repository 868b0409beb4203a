"""How the kernel writes one archive: file after file, in pieces, in its order (CONTRACT.md section 2).

Everything here is a generator that does one small step and yields, so that whoever drives it decides how
long to stand still after each step: a process that sleeps, or a test with a clock of its own.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

Steps = Iterator[None]
MOST_PIECES = 4


def write_archive(folder: Path, files: Mapping[str, str], dice: random.Random) -> Steps:
    """Copy the files in the order given, into a folder that may be there already."""
    folder.mkdir(exist_ok=True)
    yield
    for name, text in files.items():
        place = folder / name
        place.parent.mkdir(exist_ok=True)
        yield from write_file(place, pieces_of(text.encode(), dice))


def write_file(place: Path, pieces: list[bytes]) -> Steps:
    """One file, cut down to nothing first as a copy does, then grown piece by piece."""
    fd = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        yield
        for piece in pieces:
            os.write(fd, piece)
            yield
    finally:
        os.close(fd)


def pieces_of(data: bytes, dice: random.Random) -> list[bytes]:
    """The bytes cut at random places, also in the middle of a character."""
    if len(data) < 2:
        return [data]
    cuts = sorted(dice.sample(range(1, len(data)), min(len(data) - 1, dice.randrange(MOST_PIECES))))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def replace_file(place: Path, text: str) -> Steps:
    """As careful tools edit: beside it first, then renamed over it."""
    fresh = place.with_name(f".{place.name}.new")
    fresh.write_text(text)
    yield
    fresh.rename(place)
    yield


def remove_tree(folder: Path) -> Steps:
    """`rm -rf`, entry by entry."""
    for item in sorted(folder.iterdir()):
        shutil.rmtree(item) if item.is_dir() and not item.is_symlink() else item.unlink()
        yield
    folder.rmdir()
    yield
