"""The rows of dataset.jsonl: schema, order, splits, hash."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from collectord.cyntra.jsonio import JsonObject, canonical
from collectord.cyntra.rows import SPLITS
from collectord.export.checks.findings import Findings
from collectord.export.distributions import Distributions, Tally
from collectord.export.rowschema import row_schema, violations
from collectord.export.snapshot import DATASET_FILE, SCHEMA_FILE

_OURS = row_schema()
_NO_SCHEMA = (TypeError, KeyError, AttributeError, ValueError, re.error)


@dataclass(frozen=True, slots=True)
class CheckedRows:
    """What the rows themselves give; `labels` counts the labels of those that are rows at all."""

    rows: int
    dataset_hash: str
    split_counts: dict[str, int]
    labels: Distributions
    span_ms: tuple[int, int] | None


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a file, each with its end."""
    with path.open("rb") as file:
        yield from file


def check_rows(folder: Path, schema: JsonObject | None, findings: Findings) -> CheckedRows:
    """Read every row once; `schema` is the snapshot's own, None where it has none."""
    schemas = [_OURS] if schema in (None, _OURS) else [_OURS, schema]
    digest, splits, tally, number = sha256(), Counter[str](), Tally(), 0
    order: list[tuple[int, str]] = []
    for number, line in enumerate(lines_of(folder / DATASET_FILE), 1):
        row, complaint = _row(line, schemas)
        if complaint:
            findings.add(f"{DATASET_FILE}:{number}: {complaint}")
        if row is None:
            continue
        digest.update(canonical(row).encode("utf-8", "surrogatepass") + b"\n")
        splits[row["split"]] += 1
        tally.add(row["split"], row["label_action"], None)
        here = (row["started_ms"], row["run_id"])
        if order and here < order[-1]:
            findings.add(f"{DATASET_FILE}:{number}: out of order")
        order = [*order[:1], here]
    span = (order[0][0], order[-1][0]) if order else None
    counts = {name: splits[name] for name in SPLITS}
    return CheckedRows(number, digest.hexdigest(), counts, tally.as_json(), span)


def _row(line: bytes, schemas: Sequence[Any]) -> tuple[JsonObject | None, str | None]:
    """A row, or None where it is none, and what is wrong with it."""
    try:
        row = json.loads(line.decode("utf-8"))
    except ValueError:
        return None, "not JSON"
    except RecursionError:
        return None, "nested too deeply"
    for schema in schemas:
        try:
            broken = list(violations(row, schema))
        except _NO_SCHEMA:
            broken = [f"{SCHEMA_FILE} cannot judge it"]
        if broken:
            return None, f"not a row: {', '.join(broken[:3])}"
    return row, None if line.endswith(b"\n") else "the file ends within the row"
