"""Which archives are whole, and when to look at those that are not."""

from __future__ import annotations

from collectord.settle.pending import PendingSet
from collectord.settle.stillness import (
    Pending,
    SettleRules,
    Verdict,
    VerdictKind,
    after_failure,
    after_read,
    is_stuck,
    look,
    next_look,
    settled_at,
    stalled_at,
)

__all__ = [
    "Pending",
    "PendingSet",
    "SettleRules",
    "Verdict",
    "VerdictKind",
    "after_failure",
    "after_read",
    "is_stuck",
    "look",
    "next_look",
    "settled_at",
    "stalled_at",
]
