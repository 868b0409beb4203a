"""Faults that come again and again are told once, then counted. Pure: the time is given."""

from __future__ import annotations

from dataclasses import dataclass

MAX_KEYS = 1000


@dataclass(slots=True)
class _Seen:
    told_at: float
    held_back: int = 0


class Repeats:
    """Says of each fault whether to tell it now; one in `every_s` seconds, with how many were held back."""

    def __init__(self, every_s: float = 300.0) -> None:
        self._every_s = every_s
        self._seen: dict[str, _Seen] = {}

    def tell(self, key: str, mono: float) -> int | None:
        """How many equal faults were held back since the last one told, or None to hold this one back."""
        seen = self._seen.get(key)
        if seen is not None and mono - seen.told_at < self._every_s:
            seen.held_back += 1
            return None
        if len(self._seen) >= MAX_KEYS:
            self._seen.pop(next(iter(self._seen)))
        self._seen[key] = _Seen(mono)
        return seen.held_back if seen else 0

    def over(self, key: str) -> bool:
        """The fault is over; whether it was there at all."""
        return self._seen.pop(key, None) is not None
