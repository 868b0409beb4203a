"""Two datasets of fleets compared: sources, rows, labels, splits and distributions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from collectord.dataset.diff import counts_of, shifts
from collectord.dataset.row_plan import LABEL_PARTS, OUTCOME
from collectord.errors import CollectordError
from collectord.fleet.datasets import read_document
from collectord.fleet.documents import FLEET_FILE, tables_of
from collectord.fleet.options import FLEET_COLUMNS
from collectord.fleet.storage import Storage
from collectord.fleet.tables import StoredTable
from collectord.fleet.verify import values_digest
from collectord.kernel.rows import SPLITS

SCHEMA = "collectord.fleet_diff.v1"
# A row: its source, its run id, and which of the rows with both it is.
Key = tuple[str, str, int]
_VALUES = [column.name for column in FLEET_COLUMNS if column.name != "split"]
_LABEL = [f"label_{name}" for name in LABEL_PARTS]


@dataclass(frozen=True, slots=True)
class Entry:
    """What a row is compared by: all of it but the split."""

    digest: bytes
    split: str
    label: tuple[str, ...]
    status: str | None


@dataclass(frozen=True)
class Side:
    """One dataset."""

    url: str
    document: Mapping[str, Any]
    rows: dict[Key, Entry]


def read_side(storage: Storage, name: str) -> Side:
    """Run once through the rows; raises CollectordError for what is no dataset of a fleet."""
    document = read_document(storage, f"{name}/{FLEET_FILE}")
    where = f"{storage.url}/{name}"
    if document is None:
        raise CollectordError(f"{where}: there is no {FLEET_FILE} that can be read in it")
    rows: dict[Key, Entry] = {}
    seen = Counter[tuple[str, str]]()
    try:
        for split in SPLITS:
            for file in tables_of(document, split):
                for record in StoredTable(storage, f"{name}/{file}", FLEET_COLUMNS).records():
                    of = record["source"], record["run_id"]
                    digest = values_digest(record[column] for column in _VALUES)
                    label = tuple(record[column] for column in _LABEL)
                    rows[*of, seen[of]] = Entry(digest, split, label, record[OUTCOME])
                    seen[of] += 1
        sources = {one["source"]: one["sequence"] for one in document["sources"]}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CollectordError(
            f"{where}: is no dataset of a fleet; `collectord fleet verify` says more"
        ) from error
    return Side(where, {**document, "sequences": sources}, rows)


def compare(a: Side, b: Side) -> dict[str, Any]:
    """What differs, as a document; `same` where the rows are the same in the same splits."""
    common = [key for key in a.rows if key in b.rows]
    flips = [key for key in common if a.rows[key].label != b.rows[key].label]
    changed = [key for key in common if a.rows[key].digest != b.rows[key].digest]
    added = [key for key in b.rows if key not in a.rows]
    removed = [key for key in a.rows if key not in b.rows]
    moved = Counter(
        f"{a.rows[key].split} to {b.rows[key].split}"
        for key in common
        if a.rows[key].split != b.rows[key].split
    )
    counts = [_counts(side) for side in (a, b)]
    return {
        "schema": SCHEMA,
        "a": a.url,
        "b": b.url,
        "same": not (added or removed or changed or moved),
        "rows": [len(a.rows), len(b.rows)],
        "dataset_hash": [a.document.get("dataset_hash"), b.document.get("dataset_hash")],
        "sources": _sources(a, b, added, removed, changed),
        "options": {
            name: [before, after]
            for name, before in a.document["options"].items()
            if before != (after := b.document["options"].get(name))
        },
        "added": [_name(key) for key in added],
        "removed": [_name(key) for key in removed],
        "changed": [_name(key) for key in changed],
        "moved": dict(sorted(moved.items())),
        "flips": [{**_name(key), "before": _label(a, key), "after": _label(b, key)} for key in flips],
        "shifts": shifts(*counts),
    }


def _sources(a: Side, b: Side, *lists: list[Key]) -> dict[str, Any]:
    """Source → its pushes on both sides, and how many of its rows were added, removed and changed."""
    before, after = a.document["sequences"], b.document["sequences"]
    counted = [Counter(key[0] for key in listed) for listed in lists]
    found = {}
    for name in sorted({*before, *after}):
        numbers = [count[name] for count in counted]
        if before.get(name) != after.get(name) or any(numbers):
            found[name] = {
                "pushes": [before.get(name), after.get(name)],
                **dict(zip(("added", "removed", "changed"), numbers, strict=True)),
            }
    return found


def _counts(side: Side) -> dict[str, Mapping[str, int]]:
    statuses = Counter(entry.status for entry in side.rows.values() if entry.status is not None)
    labels = (entry.label for entry in side.rows.values())
    return {**counts_of(labels, {}), OUTCOME: dict(statuses)}


def _name(key: Key) -> dict[str, str]:
    return {"source": key[0], "run_id": key[1]}


def _label(side: Side, key: Key) -> dict[str, str]:
    return dict(zip(LABEL_PARTS, side.rows[key].label, strict=True))
