"""Two dataset directories compared: rows, labels and why they flipped, distributions, environments."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from collectord.dataset import layout
from collectord.dataset.documents import differences, short
from collectord.dataset.jsonl import row_mark
from collectord.dataset.row_plan import BUDGETS, DIMENSIONS, LABEL_PARTS, OUTCOME, SWARM
from collectord.errors import CollectordError
from collectord.kernel.jsonio import JsonObject
from collectord.kernel.planner_input import recorded_issue_id
from collectord.kernel.values import as_object, is_int, texts

# A run id and which of its rows: two directories can carry the same run id.
Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a row stands in dataset.jsonl, and the digest of what it says apart from its split."""

    offset: int
    size: int
    digest: bytes
    split: str
    label: tuple[str, ...]


@dataclass(frozen=True)
class Side:
    """A dataset directory; its documents are empty where it has none, as the kernel's own have not."""

    folder: Path
    document: JsonObject
    environment: JsonObject
    drift: list[JsonObject]
    rows: dict[Key, Entry]

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of its environment, None where it is not known."""
        found: str | None = as_object(self.document.get("environment")).get("fingerprint")
        return found

    def read(self, keys: list[Key]) -> Iterator[JsonObject]:
        """Rows, one at a time."""
        with (self.folder / layout.DATASET_FILE).open("rb") as file:
            for key in keys:
                file.seek(self.rows[key].offset)
                yield json.loads(file.read(self.rows[key].size))

    def revisions(self, run_ids: set[str]) -> dict[str, str]:
        """Run id → the revision that its row was made of, as far as runs.jsonl says."""
        path, found = self.folder / layout.RUNS_FILE, {}
        if run_ids and path.is_file():
            with path.open(encoding="utf-8") as file:
                for run in map(json.loads, file):
                    if run["run_id"] in run_ids and run["left_out"] is None:
                        found[run["run_id"]] = str(run["revision"])
        return found


def read_side(folder: Path) -> Side:
    """Read the documents and run once through the rows; raises CollectordError for what is no dataset."""
    path = folder / layout.DATASET_FILE
    if not path.is_file():
        raise CollectordError(f"{folder}: there is no {path.name} in it; name a dataset directory")
    drift = _document(folder / layout.DRIFT_FILE).get("changes")
    return Side(
        folder,
        _document(folder / layout.SNAPSHOT_FILE),
        _document(folder / layout.ENVIRONMENT_FILE),
        [change for change in drift if isinstance(change, dict)] if isinstance(drift, list) else [],
        dict(_entries(path)),
    )


def _document(path: Path) -> JsonObject:
    try:
        return as_object(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError):
        raise CollectordError(
            f"{path}: not JSON; `collectord verify {path.parent}` says what else is wrong"
        ) from None


def _entries(path: Path) -> Iterator[tuple[Key, Entry]]:
    seen, offset = Counter[str](), 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                mark = row_mark(line.decode("utf-8"))
            except (ValueError, KeyError, TypeError, RecursionError):
                raise CollectordError(
                    f"{path}:{number}: not a row; `collectord verify {path.parent}` says more"
                ) from None
            digest = sha256(mark.rest.encode("utf-8")).digest()[:16]
            yield (mark.run_id, seen[mark.run_id]), Entry(offset, len(line), digest, mark.split, mark.label)
            seen[mark.run_id] += 1
            offset += len(line)


def environments_differ(a: Side, b: Side) -> bool:
    """Whether both environments are known and are not the same."""
    return None not in (a.fingerprint, b.fingerprint) and a.fingerprint != b.fingerprint


def components_of(side: Side) -> dict[str, Any]:
    """The components of its environment, as far as environment.json has them."""
    return as_object(side.environment.get("components"))


# The parts of a label as changes of the environment name them.
_PARTS = {SWARM: "swarm", **{name: name.split("_")[1] for name in BUDGETS}}


@dataclass(frozen=True, slots=True)
class EnvironmentChange:
    """A difference between two environments; `moves` are the label parts it can move, None if not known."""

    component: str
    pointer: str
    words: str
    moves: tuple[str, ...] | None

    def as_json(self) -> JsonObject:
        """The change as a document."""
        moves = None if self.moves is None else list(self.moves)
        return {
            "component": self.component,
            "pointer": self.pointer,
            "words": self.words,
            "moves": moves,
        }


def environment_changes(a: Side, b: Side) -> list[EnvironmentChange]:
    """What changed from one environment to the other; none where one of them is not known.

    An epoch that follows directly says so itself, with what each change moves; else the components tell.
    """
    if not environments_differ(a, b):
        return []
    before, after = (as_object(side.document.get("epoch")).get("number") for side in (a, b))
    if is_int(before) and after == before + 1 and b.drift:
        return [_change_from(change) for change in b.drift]
    found = differences(components_of(a), components_of(b))
    return [
        EnvironmentChange(
            component=d.path.split("/")[1],
            pointer=d.path,
            words=f"{short(d.before)} became {short(d.after)}",
            moves=None,
        )
        for d in found
        if d.path
    ]


def _change_from(change: JsonObject) -> EnvironmentChange:
    moves = tuple(texts(change.get("moves"))) if isinstance(change.get("moves"), list) else None
    component, pointer, words = (str(change.get(name) or "") for name in ("component", "pointer", "words"))
    return EnvironmentChange(component, pointer, words, moves)


def why_flipped(
    parts: Sequence[str],
    changes: Sequence[EnvironmentChange],
    revisions: tuple[str | None, str | None],
    sides: tuple[Side, Side],
) -> list[str]:
    """Reasons why the parts of a label differ, the most telling first; never empty."""
    moved = {_PARTS[part] for part in parts}
    able = [c for c in changes if c.moves is None or moved & set(c.moves)]
    found = [f"environment: {c.component} {c.pointer}: {c.words}" for c in able]
    if None not in revisions and revisions[0] != revisions[1]:
        found.append("its archive was changed after the first dataset was made")
    found += other_ways(*sides)
    return found or ["nothing in the two directories explains it"]


def other_ways(a: Side, b: Side) -> list[str]:
    """In what other way a dataset was made, where both say how."""
    asked = [as_object(side.document.get("options")) for side in (a, b)]
    found = [f"option {name}: {old} became {new}" for name, old, new in _unequal(*asked)]
    made = [as_object(side.document.get("software")).get("collectord") for side in (a, b)]
    if None not in made and made[0] != made[1]:
        found.append(f"collectord: {short(made[0])} became {short(made[1])}")
    return found


def _unequal(a: Mapping[str, object], b: Mapping[str, object]) -> list[tuple[str, str, str]]:
    # An epoch is named in the environments, and an option that one of them does not know is none.
    shared = sorted((a.keys() & b.keys()) - {"epoch", "environment"})
    return [(name, short(a[name]), short(b[name])) for name in shared if a[name] != b[name]]


Counts = Mapping[str, int]


def counts_of(labels: Iterable[tuple[str, ...]], document: JsonObject) -> dict[str, Counts]:
    """Dimension → value → rows; outcomes from snapshot.json, missing where that does not tell."""
    counters = [Counter[str]() for _ in LABEL_PARTS]
    for label in labels:
        for counter, value in zip(counters, label, strict=True):
            counter[value] += 1
    found: dict[str, Counts] = dict(zip(LABEL_PARTS, counters, strict=True))
    outcomes = as_object(as_object(document.get("distributions")).get(OUTCOME))
    if outcomes:
        found[OUTCOME] = {value: sum(splits.values()) for value, splits in outcomes.items()}
    return found


def shift(before: Counts, after: Counts) -> float:
    """Total variation distance: the share of rows that would have to change to make them alike, 0 to 1."""
    totals = sum(before.values()), sum(after.values())
    if not all(totals):
        return 0.0 if totals[0] == totals[1] else 1.0
    values = {*before, *after}
    return sum(abs(before.get(v, 0) / totals[0] - after.get(v, 0) / totals[1]) for v in values) / 2


def shifts(before: Mapping[str, Counts], after: Mapping[str, Counts]) -> dict[str, JsonObject]:
    """The dimensions that differ, with counts on both sides and the shift."""
    found = {}
    for name in DIMENSIONS:
        if name in before and name in after and dict(before[name]) != dict(after[name]):
            values = sorted({*before[name], *after[name]})
            found[name] = {
                "shift": round(shift(before[name], after[name]), 6),
                "values": {v: [before[name].get(v, 0), after[name].get(v, 0)] for v in values},
            }
    return found


@dataclass(frozen=True)
class Flip:
    """A label that is another one: of the same run, or of an issue that ran again (`run_ids` of both)."""

    run_ids: tuple[str, str]
    issue_id: str | None
    before: dict[str, str]
    after: dict[str, str]
    why: list[str]

    def as_json(self) -> JsonObject:
        """The flip as a document; only the parts that differ are told."""
        return {
            "run_ids": list(dict.fromkeys(self.run_ids)),
            "issue_id": self.issue_id,
            "before": self.before,
            "after": self.after,
            "why": self.why,
        }


@dataclass(frozen=True)
class Diff:
    """`changed` is run id → pointers of the members that differ; `moved` counts rows by old and new split."""

    added: list[str]
    removed: list[str]
    changed: dict[str, list[str]]
    moved: dict[str, int]
    flips: list[Flip]
    issue_flips: list[Flip]
    shifts: dict[str, JsonObject]
    environment: list[EnvironmentChange]
    fingerprints: tuple[str | None, str | None]
    made: list[str]
    row_counts: tuple[int, int]

    @property
    def is_same(self) -> bool:
        """Whether the rows are the same in the same splits, and the environment is."""
        rows = self.added or self.removed or self.changed or self.moved
        return not rows and self.fingerprints[0] == self.fingerprints[1]


def diff_snapshots(a: Path, b: Path) -> Diff:
    """Compare two directories; raises CollectordError for one that is none."""
    sides = read_side(a), read_side(b)
    return _diff(*sides)


def _diff(a: Side, b: Side) -> Diff:
    common = [key for key in a.rows if key in b.rows]
    other = [key for key in common if a.rows[key].digest != b.rows[key].digest]
    changed = dict(_changed(a, b, other))
    changes = environment_changes(a, b)
    counts = [counts_of((entry.label for entry in side.rows.values()), side.document) for side in (a, b)]
    splits = ((a.rows[key].split, b.rows[key].split) for key in common)
    moved = Counter(f"{old} to {new}" for old, new in splits if old != new)
    return Diff(
        added=[run_id for run_id, n in b.rows if (run_id, n) not in a.rows],
        removed=[run_id for run_id, n in a.rows if (run_id, n) not in b.rows],
        changed=changed,
        moved=dict(sorted(moved.items())),
        flips=list(_flips(a, b, other, changes)),
        issue_flips=list(_issue_flips(a, b, changes)) if environments_differ(a, b) else [],
        shifts=shifts(*counts),
        environment=changes,
        fingerprints=(a.fingerprint, b.fingerprint),
        made=other_ways(a, b),
        row_counts=(len(a.rows), len(b.rows)),
    )


def _changed(a: Side, b: Side, keys: list[Key]) -> Iterator[tuple[str, list[str]]]:
    for key, old, new in zip(keys, a.read(keys), b.read(keys), strict=True):
        found = [d.path for d in differences({**old, "split": ""}, {**new, "split": ""})]
        if found:  # else they are the same values in other bytes, as the two profiles write some
            yield key[0], found


def _flips(a: Side, b: Side, keys: list[Key], changes: Sequence[EnvironmentChange]) -> Iterator[Flip]:
    flipped = [key for key in keys if a.rows[key].label != b.rows[key].label]
    run_ids = {run_id for run_id, _ in flipped}
    known = a.revisions(run_ids), b.revisions(run_ids)
    for key, row in zip(flipped, b.read(flipped), strict=True):
        before, after = _parts(a.rows[key].label, b.rows[key].label)
        revisions = known[0].get(key[0]), known[1].get(key[0])
        why = why_flipped(list(before), changes, revisions, (a, b))
        yield Flip((key[0], key[0]), _issue_of(row), before, after, why)


def _parts(old: tuple[str, ...], new: tuple[str, ...]) -> tuple[dict[str, str], dict[str, str]]:
    unequal = [(name, x, y) for name, x, y in zip(LABEL_PARTS, old, new, strict=True) if x != y]
    return {name: x for name, x, _ in unequal}, {name: y for name, _, y in unequal}


def _issue_flips(a: Side, b: Side, changes: Sequence[EnvironmentChange]) -> Iterator[Flip]:
    """Issues whose last run on one side and first run on the other have different labels."""
    before, after = dict(_by_issue(a, b, last=True)), dict(_by_issue(b, a, last=False))
    for issue_id in sorted(before.keys() & after.keys()):
        old, new = a.rows[before[issue_id]].label, b.rows[after[issue_id]].label
        if old != new:
            parts = _parts(old, new)
            why = why_flipped(list(parts[0]), changes, (None, None), (a, b))
            yield Flip((before[issue_id][0], after[issue_id][0]), issue_id, *parts, why)


def _by_issue(side: Side, other: Side, *, last: bool) -> dict[str, Key]:
    keys = [key for key in side.rows if key not in other.rows]
    found: dict[str, Key] = {}
    for key, row in zip(keys, side.read(keys), strict=True):
        issue_id = _issue_of(row)
        if issue_id is not None and (last or issue_id not in found):
            found[issue_id] = key
    return found


def _issue_of(row: JsonObject) -> str | None:
    return recorded_issue_id(as_object(row.get("planner_input")))


def diff_document(diff: Diff, a: Path, b: Path) -> dict[str, Any]:
    """The comparison as one JSON document."""
    return {
        "schema": "collectord.diff.v1",
        "a": str(a),
        "b": str(b),
        "same": diff.is_same,
        "rows": list(diff.row_counts),
        "added": diff.added,
        "removed": diff.removed,
        "changed": [{"run_id": run_id, "fields": fields} for run_id, fields in diff.changed.items()],
        "moved_between_splits": diff.moved,
        "label_flips": [flip.as_json() for flip in diff.flips],
        "issue_flips": [flip.as_json() for flip in diff.issue_flips],
        "shifts": diff.shifts,
        "environment": {
            "fingerprints": list(diff.fingerprints),
            "changes": [change.as_json() for change in diff.environment],
        },
        "made": diff.made,
    }
