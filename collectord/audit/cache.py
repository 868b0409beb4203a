"""What artifacts told, kept by revision digest between audits. Losing it costs time and nothing else."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from collectord.audit.facts import Action, Told
from collectord.audit.run_facts import TELLING
from collectord.cyntra.jsonio import ascii_json
from collectord.fs import atomic_write

FILE = "audit.json.z"


def kept(folder: Path) -> dict[str, Told]:
    """What an earlier audit kept; nothing where it is missing, damaged or of another format."""
    try:
        document = json.loads(zlib.decompress((folder / FILE).read_bytes()))
        if document["telling"] != TELLING:
            return {}
        return {digest: _told(values) for digest, values in document["told"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, zlib.error):
        return {}


def keep(folder: Path, told: Mapping[str, Told]) -> str | None:
    """Keep it for the next audit, in place of what was there; why it could not, which costs time alone."""
    document = {"telling": TELLING, "told": {digest: _values(t) for digest, t in told.items()}}
    data = zlib.compress(ascii_json(document).encode("ascii"), 1)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        atomic_write(folder / FILE, data)
    except OSError as error:
        return f"{folder}: {error.strerror or error}"
    return None


def _values(told: Told) -> list[Any]:
    """What `dataclasses.astuple` would give; that copies deeply, which took longer than reading it all."""
    values = [getattr(told, name) for name in _FIELDS]
    asked = told.requested
    values[_REQUESTED] = (asked.swarm, asked.candidates, asked.minutes) if asked else None
    return values


def _told(values: list[Any]) -> Told:
    for place in _TUPLES:
        values[place] = tuple(values[place])
    if values[_REQUESTED] is not None:
        values[_REQUESTED] = _action(*values[_REQUESTED])
    return Told(*values)


# A collection asks for few actions: one value stands for all that are equal.
_action = lru_cache(maxsize=1024)(Action)
_FIELDS = list(Told.__dataclass_fields__)
_REQUESTED = _FIELDS.index("requested")
_TUPLES = tuple(_FIELDS.index(name) for name in ("tags", "fail_codes", "failed_gates", "empty_gates"))
