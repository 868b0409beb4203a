"""JSON and times as the kernel writes them."""

from __future__ import annotations

import json
from datetime import UTC, datetime


def iso(ms: int, micros: int = 0) -> str:
    """A time as the kernel writes it, to the microsecond."""
    seconds, rest = divmod(ms, 1000)
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{rest * 1000 + micros:06d}Z"


def dump(document: object) -> str:
    """A document as it stands in an archive."""
    return json.dumps(document, indent=2)


def put_in(text: str, part: str, depth: int) -> str:
    """The text with `part` in the place that holds `@`, indented as deep as that place."""
    return text.replace('"@"', part.replace("\n", "\n" + "  " * depth))
