"""Values that are kept in a file to save time: whoever has lost the file finds them anew."""

from __future__ import annotations

import json
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from collectord.system.durable import atomic_write

UNUSABLE = (OSError, ValueError, KeyError, TypeError, RecursionError)


def load_cached(path: Path, key: str) -> dict[str, Any]:
    """What was saved in a file of the cache under that key; raises one of `UNUSABLE` for anything else."""
    head, _, body = path.read_bytes().partition(b"\n")
    if head != _head(key, body):
        raise ValueError("of other inputs, or damaged")
    found: dict[str, Any] = json.loads(body)
    return found


def save_cached(path: Path, key: str, values: dict[str, Any]) -> None:
    """Save values that JSON can hold under a key that says what they follow from; a failure is ignored."""
    # Members keep their order, so that what is loaded is written as what was found.
    body = json.dumps(values, separators=(",", ":")).encode("ascii")
    # A file that cannot be written costs the next time its work only.
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        atomic_write(path, _head(key, body) + b"\n" + body)


def _head(key: str, body: bytes) -> bytes:
    return f"{key} {sha256(body).hexdigest()}".encode("ascii")
