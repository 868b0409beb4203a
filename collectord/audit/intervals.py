"""Confidence intervals of shares. Pure, and of the standard library: every install tells the same numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist


@dataclass(frozen=True, slots=True)
class Interval:
    """A share and the interval around it, all between 0 and 1."""

    share: float
    low: float
    high: float


def goodman(counts: Sequence[int], confidence: float) -> tuple[Interval, ...]:
    """Simultaneous intervals of multinomial shares (Goodman 1965, Technometrics 7(2), 247–254).

    With k categories each uses the chi-square quantile of one degree of freedom at 1 − (1 − confidence)/k,
    which is the square of a normal quantile. No rows give the whole range.
    """
    total = sum(counts)
    if total == 0:
        return tuple(Interval(0.0, 0.0, 1.0) for _ in counts)
    a = NormalDist().inv_cdf(1 - (1 - confidence) / (2 * len(counts))) ** 2
    return tuple(_score(count, total, a) for count in counts)


def wilson(count: int, total: int, confidence: float = 0.95) -> Interval:
    """The score interval of one share (Wilson 1927); no rows give the whole range."""
    if total == 0:
        return Interval(0.0, 0.0, 1.0)
    return _score(count, total, NormalDist().inv_cdf((1 + confidence) / 2) ** 2)


def _score(count: int, total: int, a: float) -> Interval:
    centre = a + 2 * count
    half = sqrt(a * (a + 4 * count * (total - count) / total))
    low, high = (centre - half) / (2 * (total + a)), (centre + half) / (2 * (total + a))
    return Interval(count / total, max(0.0, low), min(1.0, high))
