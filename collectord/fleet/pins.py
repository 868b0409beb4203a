"""Which pushes datasets of a fleet were made of: those are kept, so that the dataset can be made again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import sha256

from collectord.dataset.snapshot import pretty
from collectord.fleet.storage import Storage

SCHEMA = "collectord.fleet_pin.v1"
FOLDER = "pins"
_MAX_BYTES = 16 * 2**20


def pin(
    storage: Storage, dataset: str, pushes: Iterable[tuple[str, int]], until_ms: int | None = None
) -> str:
    """Keep pushes, by source and sequence, as those of a dataset at a URL; gives the name of the pin.

    With `until_ms` for so long, while the dataset is made.
    """
    listed = sorted(map(list, pushes))
    document = {"schema": SCHEMA, "dataset": dataset, "pushes": listed, "until_ms": until_ms}
    data = pretty(document)
    name = f"{FOLDER}/{sha256(data).hexdigest()[:32]}.json"
    storage.replace(name, data)
    return name


def unpin(storage: Storage, name: str) -> None:
    """Take back a pin."""
    storage.remove(name)


def pinned(storage: Storage, source: str, now_ms: int) -> frozenset[int] | None:
    """The sequences of a source that datasets name; None where a pin cannot be read, so that nobody knows."""
    found: set[int] = set()
    for name in storage.files(FOLDER):
        if not name.endswith(".json"):
            continue
        sequences = _sequences(storage.read(name, _MAX_BYTES), source, now_ms)
        if sequences is None:
            return None
        found |= sequences
    return frozenset(found)


def _sequences(data: bytes | None, source: str, now_ms: int) -> set[int] | None:
    if data is None:  # taken back meanwhile
        return set()
    try:
        document = json.loads(data)
        until_ms = document.get("until_ms")
        if until_ms is not None and until_ms < now_ms:
            return set()
        return {int(sequence) for name, sequence in document["pushes"] if name == source}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
