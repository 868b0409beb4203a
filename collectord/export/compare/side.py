"""One of two dataset directories that are compared: its documents, and an index into its rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from collectord.cyntra.jsonio import JsonObject
from collectord.cyntra.values import as_object
from collectord.errors import CollectordError
from collectord.export import snapshot
from collectord.export.jsonl import row_mark

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
        with (self.folder / snapshot.DATASET_FILE).open("rb") as file:
            for key in keys:
                file.seek(self.rows[key].offset)
                yield json.loads(file.read(self.rows[key].size))

    def revisions(self, run_ids: set[str]) -> dict[str, str]:
        """Run id → the revision that its row was made of, as far as runs.jsonl says."""
        path, found = self.folder / snapshot.RUNS_FILE, {}
        if run_ids and path.is_file():
            with path.open(encoding="utf-8") as file:
                for run in map(json.loads, file):
                    if run["run_id"] in run_ids and run["left_out"] is None:
                        found[run["run_id"]] = str(run["revision"])
        return found


def read_side(folder: Path) -> Side:
    """Read the documents and run once through the rows; raises CollectordError for what is no dataset."""
    path = folder / snapshot.DATASET_FILE
    if not path.is_file():
        raise CollectordError(f"{folder}: there is no {path.name} in it; name a dataset directory")
    drift = _document(folder / snapshot.DRIFT_FILE).get("changes")
    return Side(
        folder,
        _document(folder / snapshot.SNAPSHOT_FILE),
        _document(folder / snapshot.ENVIRONMENT_FILE),
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
