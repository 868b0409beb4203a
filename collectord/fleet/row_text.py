"""A row of a fleet's Parquet files as JSON again: to be hashed, and to be written a line each. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from collectord.dataset.columns import SPLIT_NAMES
from collectord.dataset.row_plan import BUDGETS, SWARM
from collectord.kernel.jsonio import JsonObject, canonical, marked
from collectord.kernel.rows import ACTION_SCHEMA, line_of
from collectord.kernel.values import format_ms

# What the rows themselves call a split.
OWN_NAMES = {name: split for split, name in SPLIT_NAMES.items()}
Record = Mapping[str, Any]


def label_of(record: Record, planner_input: JsonObject) -> JsonObject:
    """The label of a row, from its columns; the counterpart of `kernel.rows.label_action`."""
    created_at = planner_input.get("created_at")
    return {
        "schema_version": ACTION_SCHEMA,
        "created_at": created_at if isinstance(created_at, str) else format_ms(record["started_ms"]),
        "swarm_id": record[f"label_{SWARM}"],
        "budgets": {name: _bin(record[f"label_{name}"]) for name in BUDGETS},
        "model": {"checkpoint_id": "executed_plan"},
        "confidence": 1.0,
        "abstain_to_default": False,
        "reason": None,
        "input_hash": record["input_hash"],
    }


def _bin(text: str) -> int | str:
    return text if text == "NA" else int(text)


def row_digest(record: Record) -> str:
    """sha256 hex of the canonical JSON of a row with its source; raises ValueError for what is no row."""
    planner_input = json.loads(record["planner_input_json"])
    row = {
        "label_action": label_of(record, planner_input),
        "planner_input": planner_input,
        "run_id": record["run_id"],
        "source": record["source"],
        "split": OWN_NAMES[record["split"]],
        "started_ms": record["started_ms"],
        "tokens": record["tokens"],
    }
    return sha256(canonical(row).encode("utf-8", "surrogatepass")).hexdigest()


def row_line(record: Record) -> str:
    """A row with its source in the form of dataset.jsonl, without the end of the line."""
    planner_input = json.loads(record["planner_input_json"])
    head = {"label_action": label_of(record, planner_input)}
    tail = {
        "run_id": record["run_id"],
        "source": record["source"],
        "split": OWN_NAMES[record["split"]],
        "started_ms": record["started_ms"],
        "tokens": record["tokens"],
    }
    before, after = (line_of(marked(part), escape=True) for part in (head, tail))
    return f'{before[:-1]}, "planner_input": {record["planner_input_json"]}, {after[1:]}'
