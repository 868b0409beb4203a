"""Times as tests write them."""

from __future__ import annotations

from datetime import UTC, datetime


def at(text: str) -> int:
    """The UTC epoch milliseconds of `2026-11-24 03:00`."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)
