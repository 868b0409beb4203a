"""One order over all sources: by dispatch, source and run id, with the hash, the splits and the files of it.

Only keys are read, a few thousand rows of each source at a time; the rows themselves stay where they are.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from heapq import merge as merged
from itertools import groupby

from collectord.dataset.columns import SPLIT_NAMES
from collectord.dataset.row_plan import BY_ISSUE
from collectord.fleet.options import BY_SOURCE
from collectord.fleet.render import DIGEST_CHARACTERS, KEY_COLUMNS, Rendered
from collectord.fleet.storage import Storage, StorageError, open_storage
from collectord.fleet.tables import StoredTable
from collectord.kernel.rows import SPLITS, split_of, split_of_issue

_MAX_PLAN = 2**30


@dataclass(frozen=True, slots=True)
class MergeTask:
    """`to` is a URL, `folder` is where plans of files go; `rendered` is ordered by source."""

    to: str
    folder: str
    rendered: tuple[Rendered, ...]
    split_by: str
    shard_rows: int


@dataclass(frozen=True, slots=True)
class Part:
    """One file of rows: the `number`th of its split. Its plan says which row of which source comes where."""

    split: str
    number: int
    rows: int
    plan: str

    def name(self, parts: int) -> str:
        """How loaders know it, as one of so many of its split; without the end that tells its form."""
        return f"{SPLIT_NAMES[self.split]}-{self.number:05}-of-{parts:05}"


@dataclass(frozen=True, slots=True)
class Merged:
    """`span_ms` are the first and the last dispatch, None without rows."""

    dataset_hash: str
    rows: int
    split_counts: dict[str, int]
    parts: tuple[Part, ...]
    span_ms: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Key:
    """One row: what orders it, where it is, and what it is hashed as in each split."""

    order: tuple[int, str, str]
    place: int
    row: int
    issue_split: str
    digests: str


def merge(task: MergeTask) -> Merged:
    """Order the rows of all sources, and write the plan of each file. Done twice it is the same.

    Rows that are equal in all three stay in the order that their source has them in.
    """
    storage = open_storage(task.to)
    streams = [_keys(storage, place, one) for place, one in enumerate(task.rendered)]
    total = sum(one.rows for one in task.rendered)
    files = _Files(storage, task)
    digest, rows, first_ms, last_ms = sha256(), 0, 0, 0
    for key, split in with_splits(merged(*streams, key=_order), task, total):
        files.add(split, key)
        place = SPLITS.index(split) * DIGEST_CHARACTERS
        digest.update(bytes.fromhex(key.digests[place : place + DIGEST_CHARACTERS]))
        last_ms = key.order[0]
        first_ms = first_ms if rows else last_ms
        rows += 1
    if rows != total:
        raise StorageError(
            f"{task.to}: {rows} rows were kept of {total}; remove {task.to}/scratch and export again"
        )
    parts = files.close()
    span_ms = (first_ms, last_ms) if rows else None
    return Merged(digest.hexdigest(), rows, dict(files.counts), parts, span_ms)


def _order(key: Key) -> tuple[int, str, str]:
    return key.order


def _keys(storage: Storage, place: int, one: Rendered) -> Iterator[Key]:
    table = StoredTable(storage, one.keys_file, KEY_COLUMNS)
    source = one.source
    for row, record in enumerate(table.records()):
        order = (record["started_ms"], source, record["run_id"])
        yield Key(order, place, row, record["issue_split"], record["digests"])


def with_splits(keys: Iterable[Key], task: MergeTask, total: int) -> Iterator[tuple[Key, str]]:
    """The keys with the split of each. Pure."""
    if task.split_by not in (BY_ISSUE, BY_SOURCE):
        yield from ((key, split_of(rank, total)) for rank, key in enumerate(keys))
        return
    of_sources = [split_of_issue(one.source) for one in task.rendered]
    split: Callable[[Key], str] = (
        (lambda key: key.issue_split) if task.split_by == BY_ISSUE else lambda key: of_sources[key.place]
    )
    # Who reads the files has the splits apart: what is equal in all else is ordered by them.
    for _, same in groupby(keys, _order):
        for key in sorted(same, key=lambda key: SPLITS.index(split(key))):
            yield key, split(key)


class _Files:
    """The plans of files, of which one for each split is being filled."""

    def __init__(self, storage: Storage, task: MergeTask) -> None:
        self._storage, self._task = storage, task
        self._open = {split: array("Q") for split in SPLITS}
        self._parts: dict[str, list[Part]] = {split: [] for split in SPLITS}
        self.counts = dict.fromkeys(SPLITS, 0)

    def add(self, split: str, key: Key) -> None:
        plan = self._open[split]
        plan.append(key.place << 32 | key.row)
        self.counts[split] += 1
        if len(plan) == self._task.shard_rows:
            self._write(split)

    def _write(self, split: str) -> None:
        plan, self._open[split] = self._open[split], array("Q")
        number = len(self._parts[split])
        name = f"{self._task.folder}/plans/{split}-{number:05}.plan"
        self._storage.replace(name, plan_bytes(plan))
        self._parts[split].append(Part(split, number, len(plan), name))

    def close(self) -> tuple[Part, ...]:
        for split in SPLITS:
            if self._open[split]:
                self._write(split)
        return tuple(part for split in SPLITS for part in self._parts[split])


def plan_bytes(plan: array[int]) -> bytes:
    """A plan as it is stored: eight bytes a row, the lowest first."""
    if sys.byteorder == "big":
        plan = plan[:]
        plan.byteswap()
    return plan.tobytes()


def read_plan(storage: Storage, part: Part) -> list[tuple[int, int]]:
    """(place of its source, row of that) of each row of a file."""
    data = storage.read(part.plan, min(_MAX_PLAN, 8 * part.rows))
    if data is None or len(data) != 8 * part.rows:
        raise StorageError(f"{storage.url}/{part.plan}: is not what was stored there; export again")
    plan = array("Q", data)
    if sys.byteorder == "big":
        plan.byteswap()
    return [(entry >> 32, entry & 0xFFFFFFFF) for entry in plan]
