"""What was read lately, up to a weight: the longest ago goes first."""

from __future__ import annotations

from typing import Generic, TypeVar

V = TypeVar("V")


class Lately(Generic[V]):
    """Values by key whose weights sum up to at most `limit`; one that is heavier is not kept."""

    def __init__(self, limit: int) -> None:
        self._limit, self._weight = limit, 0
        self._kept: dict[str, tuple[V, int]] = {}

    def get(self, key: str) -> V | None:
        """The value, which is now the latest; None where it is not kept."""
        found = self._kept.pop(key, None)
        if found is None:
            return None
        self._kept[key] = found
        return found[0]

    def keep(self, key: str, value: V, weight: int) -> None:
        """Keep a value that is not there, and let others go for it."""
        if weight > self._limit:
            return
        while self._weight + weight > self._limit:
            self._weight -= self._kept.pop(next(iter(self._kept)))[1]
        self._kept[key] = (value, weight)
        self._weight += weight
