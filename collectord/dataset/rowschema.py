"""The JSON Schema of a row, and the part of JSON Schema that it needs. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from collectord.kernel.jsonio import JsonObject
from collectord.kernel.planner_input import CANDIDATES_BINS, INPUT_SCHEMA, ITERATIONS_BINS, MINUTES_BINS
from collectord.kernel.rows import ACTION_SCHEMA, SPLITS
from collectord.kernel.tokens import MAX_TOKENS

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def row_schema() -> JsonObject:
    """schema.json: a row of dataset.jsonl. Recorded inputs may hold keys of newer kernels."""
    members = {
        "run_id": {"type": "string", "description": "The run's own id."},
        "started_ms": {"type": "integer", "description": "Dispatch, UTC epoch milliseconds."},
        "planner_input": _planner_input(),
        "tokens": {
            "type": "array",
            "items": {"type": "string"},
            "minItems": 2,
            "maxItems": MAX_TOKENS,
            "description": "Token sequence of the planner input.",
        },
        "label_action": _label(),
        "split": {"enum": list(SPLITS), "description": "The split that the row belongs to."},
    }
    document = _closed(members, "One run: what the planner saw at dispatch and what was executed.")
    return {"$schema": _DRAFT, "title": "cyntra.planner_dataset.v1 row", **document}


def _planner_input() -> JsonObject:
    return {
        "type": "object",
        "required": ["schema_version"],
        "properties": {"schema_version": {"const": INPUT_SCHEMA}},
        "description": "What a policy sees at dispatch; the only features.",
    }


def _label() -> JsonObject:
    bins = {
        "max_candidates_bin": {"enum": [*CANDIDATES_BINS, "NA"]},
        "max_minutes_bin": {"enum": [*MINUTES_BINS, "NA"]},
        "max_iterations_bin": {"enum": [*ITERATIONS_BINS, "NA"]},
    }
    model = {"checkpoint_id": {"const": "executed_plan"}}
    members = {
        "schema_version": {"const": ACTION_SCHEMA},
        "created_at": {"type": "string"},
        "swarm_id": {"type": "string"},
        "budgets": _closed(bins, "The budgets as bins."),
        "model": _closed(model, "Who chose: the plan that was executed."),
        "confidence": {"const": 1.0},
        "abstain_to_default": {"const": False},
        "reason": {"type": "null"},
        "input_hash": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    }
    return _closed(members, "The executed plan in the policy's own bins.")


def _closed(members: JsonObject, description: str) -> JsonObject:
    return {
        "type": "object",
        "required": list(members),
        "properties": members,
        "additionalProperties": False,
        "description": description,
    }


def violations(value: Any, schema: Any, path: str = "") -> Iterator[str]:
    """Where a value breaks a schema, a few words each; keywords other than those of `row_schema` say nothing.

    Raises TypeError, KeyError, AttributeError or re.error for a schema that is none.
    """
    if "type" in schema and not _is(value, schema["type"]):
        yield f"{path or '/'} is not of type {schema['type']}"
        return
    if "const" in schema and not _same(value, schema["const"]):
        yield f"{path} is not {schema['const']!r}"
    if "enum" in schema and not any(_same(value, allowed) for allowed in schema["enum"]):
        yield f"{path} is none of {schema['enum']}"
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{path} does not match {schema['pattern']}"
    if isinstance(value, dict):
        yield from _members(value, schema, path)
    if isinstance(value, list):
        yield from _items(value, schema, path)


def _members(value: JsonObject, schema: Any, path: str) -> Iterator[str]:
    properties = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{path}/{name} is missing"
    for name, inner in value.items():
        if name in properties:
            yield from violations(inner, properties[name], f"{path}/{name}")
        elif schema.get("additionalProperties") is False:
            yield f"{path}/{name} is not part of it"


def _items(value: list[Any], schema: Any, path: str) -> Iterator[str]:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        yield f"{path} has {len(value)} items"
    items = schema.get("items", {})
    # Tokens are most of a row, and they are all of one type.
    if set(items) == {"type"} and all(_is(inner, items["type"]) for inner in value):
        return
    for place, inner in enumerate(value):
        yield from violations(inner, items, f"{path}/{place}")


def _is(value: object, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[name])


def _same(value: object, other: object) -> bool:
    return value == other and isinstance(value, bool) == isinstance(other, bool)
