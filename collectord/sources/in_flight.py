"""Workcells that are running: `.workcells/<workcell_id>/.workcell`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from collectord.cyntra.jsonio import Unparsable, parse_object
from collectord.cyntra.times import stamp_ms
from collectord.names import readable_name
from collectord.sources.files import open_regular

WORKCELLS = Path(".workcells")
MARKER = ".workcell"
MAX_WORKCELLS = 10_000
_MAX_MARKER_BYTES = 64 * 2**10


@dataclass(frozen=True, slots=True)
class InFlight:
    """A workcell that was not archived yet; `created_ms` None where nothing tells when it was dispatched."""

    name: str
    created_ms: int | None


def in_flight(repo: Path) -> list[InFlight]:
    """Every workcell with a marker, by name; none where there is no folder. Links are not followed."""
    return sorted(islice(_found(repo / WORKCELLS), MAX_WORKCELLS), key=lambda workcell: workcell.name)


def _found(folder: Path) -> Iterator[InFlight]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for name in names:
        marker = folder / name / MARKER
        if os.path.lexists(marker):
            yield InFlight(readable_name(name), _created_ms(marker, name))


def _created_ms(marker: Path, name: str) -> int | None:
    try:
        with open_regular(marker) as file:
            created = stamp_ms(parse_object(file.read(_MAX_MARKER_BYTES)).get("created"))
    except (OSError, Unparsable):
        created = None
    return stamp_ms(name) if created is None else created
