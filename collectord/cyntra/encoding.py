"""Planner inputs encoded once, for the row and for the hash (CONTRACT.md 6.6). Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from itertools import groupby
from typing import NamedTuple

from collectord.cyntra.jsonio import JsonObject, Marked, compact_bytes, joined, marked_members

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
