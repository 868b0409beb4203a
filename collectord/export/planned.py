"""What a profile hands to the writer: rows in their final order, each computed only when it is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256

from collectord.cyntra.jsonio import canonical
from collectord.cyntra.rows import RowPieces
from collectord.cyntra.universe import Universe
from collectord.model import IndexedRun

# Part of every cache key: raise it whenever the bytes of a row could come out otherwise.
ROW_FORMAT = 1


@dataclass(frozen=True, slots=True)
class LazyRow:
    """A row that is computed by `make` unless a row with the same `key` was computed before."""

    key: bytes
    make: Callable[[], RowPieces]


@dataclass(frozen=True)
class PlannedDataset:
    """A dataset before it is written.

    `rows` may be iterated once. `runs` are those that become rows, in order; `left_out` counts by reason
    the runs that could have been rows, `not_selected` those that the options do not ask for.
    """

    universe_id: str
    runs: list[IndexedRun]
    rows: Callable[[], Iterator[LazyRow]]
    left_out: Counter[str] = field(default_factory=Counter)
    not_selected: Counter[str] = field(default_factory=Counter)
    input_hashes: Counter[str] = field(default_factory=Counter)
    rejects: list[tuple[str, str]] = field(default_factory=list)


def row_key(*parts: object) -> bytes:
    """The cache key of a row: everything that its bytes depend on."""
    return sha256(canonical([ROW_FORMAT, *parts]).encode("utf-8", "surrogatepass")).digest()


def runs_digest(runs: list[IndexedRun]) -> str:
    """Digest over the sorted (run_id, artifact sha256s) of the runs in a dataset."""
    lines = sorted(canonical([run.run_id, sorted(run.artifacts.items())]) for run in runs)
    return sha256("\n".join(lines).encode("utf-8")).hexdigest()


def universe_digest(universe: Universe) -> str:
    """Digest of what a universe contributes to a planner input."""
    shown = [universe.universe_id, list(universe.swarm_ids), universe.defaults()]
    return sha256(canonical(shown).encode("utf-8", "surrogatepass")).hexdigest()
