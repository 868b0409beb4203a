"""What artifacts told, kept by revision digest between audits. Losing it costs time and nothing else."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any

from collectord.audit.facts import Action, Told
from collectord.audit.telling import TELLING
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
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zlib.error):
        return {}


def keep(folder: Path, told: Mapping[str, Told]) -> None:
    """Keep it for the next audit, in place of what was there."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    document = {"telling": TELLING, "told": {digest: astuple(t) for digest, t in told.items()}}
    atomic_write(folder / FILE, zlib.compress(ascii_json(document).encode("ascii"), 1))


def _told(values: list[Any]) -> Told:
    shaped: list[Any] = [tuple(value) if isinstance(value, list) else value for value in values]
    if shaped[_REQUESTED] is not None:
        shaped[_REQUESTED] = Action(*shaped[_REQUESTED])
    return Told(*shaped)


_REQUESTED = list(Told.__dataclass_fields__).index("requested")
