"""Which archives are whole, and when to look at those that are not."""

from __future__ import annotations

from collectord.settle.pending import PendingSet
from collectord.settle.stillness import (
    Kind,
    Pending,
    SettleRules,
    Verdict,
    after_failure,
    after_read,
    is_stuck,
    look,
    next_look,
    settled_at,
    stalled_at,
)

__all__ = [
    "Kind",
    "Pending",
    "PendingSet",
    "SettleRules",
    "Verdict",
    "after_failure",
    "after_read",
    "is_stuck",
    "look",
    "next_look",
    "settled_at",
    "stalled_at",
]
