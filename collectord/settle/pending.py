"""The archives that are not accepted yet, each once, in the order in which a look at them is due."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

from collectord.settle.stillness import Pending, SettleRules

_SLACK = 64


@dataclass(slots=True)
class _Slot:
    pending: Pending | None = None
    due: float | None = None


class PendingSet:
    """One slot a name whatever arrives; owned by one thread. Times are monotonic seconds.

    A name that `due` gave out has no next look until `put`, `touch` or `drop` says what becomes of it.
    """

    def __init__(self, rules: SettleRules) -> None:
        self._rules = rules
        self._slots: dict[str, _Slot] = {}
        # Items whose time is no longer their slot's are stale; _plan bounds how many there can be.
        self._heap: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, name: object) -> bool:
        return name in self._slots

    def __iter__(self) -> Iterator[str]:
        return iter(self._slots)

    def get(self, name: str) -> Pending | None:
        """What the last look left behind; None before the first one."""
        slot = self._slots.get(name)
        return slot.pending if slot else None

    def looked_at(self) -> Iterator[Pending]:
        """What every archive's last look left behind, for counting."""
        return (slot.pending for slot in self._slots.values() if slot.pending is not None)

    def touch(self, name: str, mono: float) -> None:
        """Something stirred there: look soon, yet not sooner than `touch_gap_s` after the last look.

        Never puts a look off, so a storm of events can neither starve an archive nor cost a look each.
        """
        slot = self._slots.setdefault(name, _Slot())
        soon = mono
        if slot.pending is not None:
            soon = max(mono, slot.pending.looked_at + self._rules.touch_gap_s)
        if slot.due is None or soon < slot.due:
            self._plan(name, slot, soon)

    def put(self, pending: Pending, due: float) -> None:
        """Keeps what a look left behind and plans the next one for `due`."""
        slot = self._slots.setdefault(pending.name, _Slot())
        slot.pending = pending
        self._plan(pending.name, slot, due)

    def drop(self, name: str) -> None:
        """Forgets the name: accepted, vanished or no archive at all."""
        self._slots.pop(name, None)

    def due(self, mono: float, limit: int) -> list[str]:
        """At most `limit` names whose look is due, longest due first."""
        names: list[str] = []
        while len(names) < limit and (first := self.next_due()) is not None and first <= mono:
            name = heapq.heappop(self._heap)[1]
            self._slots[name].due = None
            names.append(name)
        return names

    def next_due(self) -> float | None:
        """When the next look is due, or None if none is planned."""
        while self._heap and self._is_stale(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def _is_stale(self, item: tuple[float, str]) -> bool:
        slot = self._slots.get(item[1])
        return slot is None or slot.due != item[0]

    def _plan(self, name: str, slot: _Slot, due: float) -> None:
        slot.due = due
        if len(self._heap) > 2 * len(self._slots) + _SLACK:
            self._heap = [(s.due, n) for n, s in self._slots.items() if s.due is not None]
            heapq.heapify(self._heap)
        else:
            heapq.heappush(self._heap, (due, name))
