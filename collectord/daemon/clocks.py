"""The two clocks of the loop: one for waiting, one for labels."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Clocks:
    """`mono` in seconds decides; `wall_ms`, UTC epoch milliseconds, only names a time for people."""

    mono: Callable[[], float] = time.monotonic
    wall_ms: Callable[[], int] = _wall_ms
