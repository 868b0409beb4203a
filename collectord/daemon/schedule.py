"""Work that comes due by itself, beside the archives."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

from collectord.errors import IndexBusy, IndexDamaged, IndexFull, IndexUnusable

FIRST_WAIT_S, LONGEST_WAIT_S = 60.0, 3600.0
# What the loop itself must know of: it pauses, or ends.
_NOT_THE_CHORE = (IndexBusy, IndexDamaged, IndexFull, IndexUnusable)


class ScheduledTask(Protocol):
    """Work that comes due by itself; runs on the loop's thread and is brief."""

    name: str

    def due_at(self) -> float:
        """Monotonic seconds; inf where nothing is planned."""

    def run(self, mono: float) -> None:
        """Do what is due. What it raises is told, and it is tried again with backoff."""


Failed = Callable[[str, Exception, float], None]


class Schedule:
    """Runs chores when they are due. One that fails waits, longer each time, and holds up no other."""

    def __init__(self, chores: Sequence[ScheduledTask], failed: Failed) -> None:
        self._chores = list(chores)
        self._failed = failed
        self._wait: dict[str, float] = {}
        self._not_before: dict[str, float] = {}

    @property
    def failing(self) -> tuple[str, ...]:
        """A sentence for each chore that failed when it was run last."""
        return tuple(
            f"the chore {name} failed and is tried again: the log says why" for name in self._not_before
        )

    def next_due(self) -> float:
        """Monotonic seconds of the next chore; inf without one."""
        return min((self._due_at(chore) for chore in self._chores), default=math.inf)

    def run_due(self, mono: float) -> None:
        """Runs each chore that is due, once."""
        for chore in self._chores:
            if self._due_at(chore) <= mono:
                self._run(chore, mono)

    def _due_at(self, chore: ScheduledTask) -> float:
        return max(chore.due_at(), self._not_before.get(chore.name, -math.inf))

    def _run(self, chore: ScheduledTask, mono: float) -> None:
        try:
            chore.run(mono)
        except _NOT_THE_CHORE:
            raise
        except Exception as error:
            wait = min(2 * self._wait.get(chore.name, FIRST_WAIT_S / 2), LONGEST_WAIT_S)
            self._wait[chore.name] = wait
            self._not_before[chore.name] = mono + wait
            self._failed(chore.name, error, wait)
        else:
            self._wait.pop(chore.name, None)
            self._not_before.pop(chore.name, None)
