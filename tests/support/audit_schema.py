"""The JSON Schema of an audit, derived from the values that it is made of.

`python -m tests.support.audit_schema > collectord/audit/audit.schema.json` writes the file that is shipped.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from collectord.audit.facts import Action
from collectord.audit.findings import Finding, Kind, Lane
from collectord.audit.report import SCHEMA, Answers

Schema = dict[str, Any]
_PLAIN = {int: "integer", float: "number", str: "string", bool: "boolean", NoneType: "null"}
_WORDS = (
    "Times (`…_ms`) are UTC epoch milliseconds, shares lie between 0 and 1. Texts may change, keys do not."
)


def schema() -> Schema:
    """The whole document; a key that is not listed is an error."""
    defs: Schema = {}
    answers = {name: _reference(hint, defs, {"findings"}) for name, hint in get_type_hints(Answers).items()}
    kinds = {"type": "array", "items": {"enum": [kind.value for kind in Kind]}}
    text, number = {"type": "string"}, {"type": "integer"}
    head = {
        "schema": {"const": SCHEMA},
        "repo": text,
        "made_ms": number,
        "window": _object({"from_ms": number, "to_ms": number, "words": text}),
        "epoch": {"type": ["integer", "null"]},
        "runs": number,
        "verdicts": _verdicts(kinds),
        "findings": {"type": "array", "items": _of(Finding, defs)},
        "targets": _object({"lanes": {"type": "array", "items": _of(Lane, defs)}, "thin_below": number}),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:{SCHEMA}",
        "title": "An audit of collectord",
        "description": _WORDS,
        **_object({**head, **answers}),
        "$defs": dict(sorted(defs.items())),
    }


def _verdicts(kinds: Schema) -> Schema:
    number = {"type": "integer"}
    by_name = {"type": "object", "additionalProperties": {"type": "string"}}
    return _object(
        {
            "lanes": by_name,
            "coverage": {"type": "object", "additionalProperties": number},
            "conflicting": {"type": "number"},
            "drift": {"enum": ["drift", "none", "insufficient"]},
            "environment_failures": number,
            "ready": number,
            "phase": number,
            "kinds": kinds,
        }
    )


def _object(properties: Schema) -> Schema:
    required = list(properties)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _of(hint: Any, defs: Schema) -> Schema:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in _PLAIN:
        return {"type": _PLAIN[hint]}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {"enum": [one.value for one in hint]}
    if is_dataclass(hint):
        return _reference(hint, defs)
    if origin in (Union, UnionType):
        return _any([_of(one, defs) for one in arguments])
    if origin is tuple and arguments[-1] is not Ellipsis:
        items = [_of(one, defs) for one in arguments]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    if origin is tuple:
        return {"type": "array", "items": _of(arguments[0], defs)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _of(arguments[1], defs)}
    assert hint is object, hint
    return {}


def _any(schemas: list[Schema]) -> Schema:
    if all(list(one) == ["type"] for one in schemas):
        return {"type": [one["type"] for one in schemas]}
    return {"anyOf": schemas}


def _reference(hint: Any, defs: Schema, skip: Collection[str] = ()) -> Schema:
    name = hint.__name__
    if name not in defs:
        defs[name] = {}
        hints = get_type_hints(hint)
        names = [field.name for field in fields(hint) if field.name not in skip]
        properties = {one.rstrip("_"): _of(hints[one], defs) for one in names}
        if hint is Action:
            properties |= {"lane": {"type": "string"}, "words": {"type": "string"}}
        doc = " ".join((hint.__doc__ or "").split())
        defs[name] = {"description": doc, **_object(properties)}
    return {"$ref": f"#/$defs/{name}"}


def written() -> str:
    """The text of the file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(written(), end="")
