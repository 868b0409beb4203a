"""Kernel times: text to UTC epoch milliseconds and back (CONTRACT.md 6.1). Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime

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
