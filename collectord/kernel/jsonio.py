"""JSON as the kernel reads and writes it: lenient in, exact bytes out.

Only Python's own json module gives the bytes that datasets are hashed over (CONTRACT.md 6.7), so
everything that is hashed or exported is encoded here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from itertools import groupby
from typing import Any, NamedTuple, NewType

JsonObject = dict[str, Any]
# JSON text with ITEM between items and KEY after keys: see `marked`.
Marked = NewType("Marked", str)
ITEM, KEY = "\x01", "\x02"

# How deep Python itself goes depends on its version and on how deep the caller's stack is already: what
# one process could read, another could not write. This is well below, and the same for all of them.
MAX_DEPTH = 800

_COMPACT = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))
_MARKED = json.JSONEncoder(
    # What is encoded here was parsed from JSON or built from such parts: there are no circles in it.
    ensure_ascii=False,
    sort_keys=True,
    separators=(ITEM, KEY),
    check_circular=False,
)
_MARKED_FINITE = json.JSONEncoder(
    ensure_ascii=False,
    sort_keys=True,
    separators=(ITEM, KEY),
    check_circular=False,
    allow_nan=False,
)
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


def parse_alike(first: bytes, second: bytes, mark: bytes) -> tuple[JsonObject, JsonObject] | None:
    """Two objects whose texts are the same from `mark` on: what is behind it is parsed once for both.

    `mark` is a comma and how the next member begins. None where the texts are not like that, or do not parse
    so: `parse_object` then says what each of them is.
    """
    start = first.find(mark)
    end = first[start:]
    if start < 0 or not second.endswith(end):
        return None
    # A text is an object if what stands before a comma is one when it is closed, and not an empty one, and
    # what stands behind the comma is one when it is opened.
    try:
        shared = parse_object(b"{" + end[1:])
        one, other = (parse_object(text[: len(text) - len(end)] + b"}") for text in (first, second))
    except Unparsable:
        return None
    return ({**one, **shared}, {**other, **shared}) if one and other else None


# A third of the time of `in`, which is slow with two bytes.
_ESCAPE = re.compile(rb"\\u")


def has_escapes(data: bytes) -> bool:
    """Whether a JSON text has a character that is written as `\\u`."""
    return _ESCAPE.search(data) is not None


def canonical(value: object) -> str:
    """Canonical JSON (CONTRACT.md 6.6): sorted keys, no white space, characters unescaped."""
    return _COMPACT.encode(value)


def ascii_json(value: object) -> str:
    """Canonical JSON with every non-ASCII character escaped: what any database can hold and give back."""
    return _ASCII.encode(value)


def marked(value: object) -> Marked:
    """Encode a value once for both written forms, `compact` (hashed) and `spaced` (in dataset.jsonl).

    They differ in what stands between items and after keys. JSON escapes every control character inside
    strings, so ITEM and KEY can stand there instead and be told from all else.
    """
    return Marked(_MARKED.encode(value))


def marked_members(value: JsonObject) -> Marked:
    """The members of an object without its braces, empty for an empty one: a piece of a larger object."""
    return Marked(_MARKED.encode(value)[1:-1])


def finite_members(value: JsonObject) -> Marked:
    """Like `marked_members`; raises ValueError where a number is NaN or infinite."""
    return Marked(_MARKED_FINITE.encode(value)[1:-1])


def joined(*members: str) -> Marked:
    """Pieces of an object or array one after the other; empty ones are left out."""
    return Marked(ITEM.join([piece for piece in members if piece]))


def compact(text: Marked) -> str:
    """The canonical form (CONTRACT.md 6.6)."""
    return text.replace(ITEM, ",").replace(KEY, ":")


def spaced(text: Marked) -> str:
    """The form that stands in dataset.jsonl."""
    return text.replace(ITEM, ", ").replace(KEY, ": ")


_TO_COMPACT = bytes.maketrans((ITEM + KEY).encode(), b",:")


def compact_bytes(data: bytes) -> bytes:
    """`compact` of text in UTF-8."""
    return data.translate(_TO_COMPACT)


def spaced_bytes(data: bytes) -> bytes:
    """`spaced` of text in UTF-8."""
    return data.replace(ITEM.encode(), b", ").replace(KEY.encode(), b": ")


def is_finite(value: object) -> bool:
    """Whether no number in the value is NaN or infinite."""
    try:
        _FINITE.encode(value)
    except ValueError:
        return False
    return True


def drop_non_finite(value: Any) -> Any:
    """The value with every non-finite number taken out: a member is dropped, a list item is null.

    A value without any is given back as it is.
    """
    # The encoder, which is written in C, finds out in a fraction of the time that copying takes.
    if is_finite(value):
        return value
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


_NONE: Mapping[str, str] = {}


class EncodedInput(NamedTuple):
    """A planner input as it stands in a row, and its hash, which leaves out its creation time."""

    whole: Marked
    input_hash: str


def encode_input(
    parts: JsonObject,
    encoded: Mapping[str, str] = _NONE,
    members_of: Callable[[JsonObject], Marked] = marked_members,
) -> EncodedInput:
    """Encode a planner input of parts and of members that are encoded already.

    Raises UnicodeEncodeError where the hash cannot be taken because of a lone surrogate.
    """
    apart = dict(encoded)
    if "created_at" in parts:
        apart["created_at"] = members_of({"created_at": parts["created_at"]})
    members: list[tuple[str, str]] = []
    for is_apart, keys in groupby(sorted({*parts, *apart}), apart.__contains__):
        if is_apart:
            members += [(key, apart[key]) for key in keys]
        else:
            members.append(("", members_of({key: parts[key] for key in keys})))
    hashed = joined(*[text for key, text in members if key != "created_at"])
    whole = joined(*[text for _, text in members])
    digest = sha256(compact_bytes(f"{{{hashed}}}".encode()))
    return EncodedInput(Marked(f"{{{whole}}}"), digest.hexdigest())
