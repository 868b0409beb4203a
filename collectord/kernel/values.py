"""The kernel's type checks and times: what counts as an integer, a number, a text, a time. Pure."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
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


# Years 1 to 9999: a time beyond them can be read from its text and never written again.
_FIRST_MS, _LAST_MS = -62_135_596_800_000, 253_402_300_799_999
_STAMP = re.compile(r"(\d{8}T\d{6})Z")


def parse_ms(text: object) -> int | None:
    """Milliseconds of an ISO 8601 text; no zone means UTC; None if it does not parse or cannot be written."""
    if not isinstance(text, str):
        return None
    stripped = text.strip()
    if stripped.endswith("Z"):
        stripped = stripped[:-1] + "+00:00"
    try:
        moment = datetime.fromisoformat(stripped)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        ms = int(moment.timestamp() * 1000)
        return ms if _FIRST_MS <= ms <= _LAST_MS else None
    except (ValueError, OverflowError):
        return None


def format_ms(ms: int) -> str:
    """ISO text with `Z`; raises ValueError or OverflowError outside the years 1 to 9999."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat().replace("+00:00", "Z")


def is_writable_ms(ms: int) -> bool:
    """Whether a time can be written as a date at all."""
    return _FIRST_MS <= ms <= _LAST_MS


def mtime_ms(mtime_ns: int) -> int:
    """Whole milliseconds of a file time, through the float that the kernel computes with."""
    seconds, nanoseconds = divmod(mtime_ns, 1_000_000_000)
    return int((seconds + 1e-9 * nanoseconds) * 1000)


def stamp_ms(text: object) -> int | None:
    """Milliseconds of the `YYYYMMDDTHHMMSSZ` stamp in a workcell id or `.workcell` file."""
    found = _STAMP.search(text) if isinstance(text, str) else None
    if found is None:
        return None
    try:
        return int(datetime.strptime(found[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC).timestamp()) * 1000
    except ValueError:
        return None


MAX_LINE = 160


def capped(text: str, most: int = MAX_LINE) -> str:
    """One line of at most so many characters, from a text that is not ours."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"
