"""JSON as the kernel reads and writes it: lenient in, exact bytes out.

Only Python's own json module gives the bytes that datasets are hashed over (CONTRACT.md 6.7), so
everything that is hashed or exported is encoded here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

JsonObject = dict[str, Any]

# How deep Python itself goes depends on its version and on how deep the caller's stack is already: what
# one process could read, another could not write. This is well below, and the same for all of them.
MAX_DEPTH = 800

_COMPACT = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))
_SPACED = json.JSONEncoder(ensure_ascii=False, sort_keys=True)
_ASCII = json.JSONEncoder(ensure_ascii=True, sort_keys=True, separators=(",", ":"))
_FINITE = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


class Unparsable(ValueError):
    """The bytes are not one JSON object; `args[0]` is a constant reason."""


def loads(text: str) -> Any:
    """Any JSON value; raises ValueError, and RecursionError for one nested deeper than MAX_DEPTH."""
    value = json.loads(text)
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_too_deep(value):
        raise RecursionError(f"nested deeper than {MAX_DEPTH}")
    return value


def _is_too_deep(value: object) -> bool:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _items(outer) if isinstance(inner, dict | list)]
    return bool(level)


def _items(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def parse_object(data: bytes) -> JsonObject:
    """One JSON object from the bytes of a file, read as the kernel reads it.

    The kernel decodes UTF-8 strictly and keeps a byte order mark, which its parser then refuses; the
    last of duplicate keys wins; NaN and infinities are accepted. Raises Unparsable with one of
    `not_utf8`, `not_json`, `too_deep`, `not_an_object`.
    """
    try:
        value = loads(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise Unparsable("not_utf8") from None
    except RecursionError:
        raise Unparsable("too_deep") from None
    except ValueError:
        raise Unparsable("not_json") from None
    if not isinstance(value, dict):
        raise Unparsable("not_an_object")
    return value


def canonical(value: object) -> str:
    """Canonical JSON (CONTRACT.md 6.6): sorted keys, no white space, characters unescaped."""
    return _COMPACT.encode(value)


def canonical_finite(value: object) -> str:
    """Canonical JSON; raises ValueError where a number is NaN or infinite."""
    return _FINITE.encode(value)


def ascii_json(value: object) -> str:
    """Canonical JSON with every non-ASCII character escaped: what any database can hold and give back."""
    return _ASCII.encode(value)


class Rendered(NamedTuple):
    """One value in both written forms: `compact` is hashed, `spaced` stands in dataset.jsonl."""

    compact: str
    spaced: str


def render(value: object) -> Rendered:
    """Encode a value once in both forms."""
    return Rendered(_COMPACT.encode(value), _SPACED.encode(value))


def render_object(members: Mapping[str, Rendered]) -> Rendered:
    """An object from members that are already encoded; the keys are sorted and encoded here."""
    listed = [(_encoded_key(key), members[key]) for key in sorted(members)]
    return Rendered(
        "{" + ",".join([f"{key}:{value.compact}" for key, value in listed]) + "}",
        "{" + ", ".join([f"{key}: {value.spaced}" for key, value in listed]) + "}",
    )


@lru_cache(maxsize=1024)
def _encoded_key(key: str) -> str:
    return _COMPACT.encode(key)


def render_array(items: Iterable[Rendered]) -> Rendered:
    """An array from items that are already encoded."""
    listed = list(items)
    return Rendered(
        "[" + ",".join([i.compact for i in listed]) + "]",
        "[" + ", ".join([i.spaced for i in listed]) + "]",
    )


def is_finite(value: object) -> bool:
    """Whether no number in the value is NaN or infinite."""
    try:
        _FINITE.encode(value)
    except ValueError:
        return False
    return True


def drop_non_finite(value: Any) -> Any:
    """The value with every non-finite number taken out: a member is dropped, a list item is null."""
    top = [value]
    # No recursion: two Python frames a level would end it at half of what can be parsed.
    todo: list[Any] = [top]
    while todo:
        outer = todo.pop()
        for key, inner in list(outer.items() if isinstance(outer, dict) else enumerate(outer)):
            if isinstance(inner, dict | list):
                outer[key] = _copy_without_bad(inner)
                todo.append(outer[key])
    return top[0]


def _copy_without_bad(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: v for k, v in value.items() if not _bad_number(v)}
    return [None if _bad_number(v) else v for v in value]


def _bad_number(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def is_encodable(value: object) -> bool:
    """Whether the value can be written as UTF-8, that is, holds no lone surrogate."""
    try:
        _COMPACT.encode(value).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
