"""The kernel's type checks: what counts as an integer, a number, a text. Pure."""

from __future__ import annotations

import math
from typing import Any, TypeGuard


def is_int(value: object) -> TypeGuard[int]:
    """Python's own isinstance check, so true counts as 1 (CONTRACT.md 6.1)."""
    return isinstance(value, int)


def is_number(value: object) -> TypeGuard[int | float]:
    """An integer (true included) or a float, finite or not."""
    return isinstance(value, int | float)


def as_object(value: object) -> dict[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def member(value: object, *path: str) -> Any:
    """Follow member names through objects; None as soon as something is not an object."""
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def text_or_none(value: object) -> str | None:
    """The value if it is a string that is not empty."""
    return value if isinstance(value, str) and value else None


def texts(value: object) -> list[str]:
    """The strings that are not empty, in order, of a list; anything else gives none."""
    if not isinstance(value, list):
        return []
    return [item for item in value if isinstance(item, str) and item]


def to_float(value: object) -> float | None:
    """A float, or None for what is not a number or does not fit into one."""
    if not is_number(value):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def to_int(value: object) -> int:
    """int() of a number; 0 for anything else, NaN and infinities included."""
    if not is_number(value) or (isinstance(value, float) and not math.isfinite(value)):
        return 0
    return int(value)


def finite(value: float | None) -> float | None:
    """None instead of NaN or an infinity (CONTRACT.md section 7)."""
    return value if value is not None and math.isfinite(value) else None


def unique(items: list[str]) -> list[str]:
    """First occurrences only, in order."""
    return list(dict.fromkeys(items))
