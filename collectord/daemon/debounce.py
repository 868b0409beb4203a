"""Has something stopped changing? Pure: the time is given."""

from __future__ import annotations


class Settling:
    """Says that a value is settled once it was the same for so long, in seconds."""

    def __init__(self, quiet_s: float) -> None:
        self._quiet_s = quiet_s
        self._value: object = None
        self._since: float | None = None

    def is_settled(self, value: object, mono: float) -> bool:
        """One look at the value."""
        if self._since is None or value != self._value:
            self._value, self._since = value, mono
        return mono - self._since >= self._quiet_s

    def clear(self) -> None:
        """Forget what was seen."""
        self._since = None
