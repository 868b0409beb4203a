"""Numbers, intervals and texts put into words, and the shapes that views lay out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from math import sqrt
from statistics import NormalDist

from collectord.audit.findings import DAY_MS


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


def percent(share: float) -> str:
    """`63 %`; one digit more where rounding would say 0 or 100 of what is neither: `<0.1 %` at the least."""
    text = f"{100 * share:.0f}"
    if (text == "0" and share > 0) or (text == "100" and share < 1):
        text = f"{100 * share:.1f}"
    return f"{_NEARLY.get(text, text)} %"


_NEARLY = {"0.0": "<0.1", "100.0": ">99.9"}


def span(low: float, high: float) -> str:
    """`3–6 %`."""
    return f"{100 * low:.0f}–{100 * high:.0f} %"


def interval_words(interval: Interval) -> str:
    """`63 % (52–73 %)`."""
    return f"{percent(interval.share)} ({span(interval.low, interval.high)})"


def count(number: int, what: str) -> str:
    """`1 run`, `2,000 runs`, `3 successes`."""
    plural = "es" if what.endswith("s") else "s"
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}{plural}"


def listing(items: Iterable[object], most: int = 5) -> str:
    """The first few, and how many more."""
    found = [str(item) for item in items]
    more = f" and {len(found) - most:,} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more


def capitalised(text: str) -> str:
    """As a sentence begins: with a capital, where it begins with a letter."""
    return text[:1].upper() + text[1:]


def day(ms: int) -> str:
    """`2026-11-23`, in UTC."""
    return _date(ms // DAY_MS)[0]


def week(ms: int) -> str:
    """The ISO week, `2026-W48`, in UTC."""
    return _date(ms // DAY_MS)[1]


@lru_cache(maxsize=4096)
def _date(number: int) -> tuple[str, str]:
    """(day, ISO week) of a day, counted from 1970; runs are many on few days."""
    date = datetime.fromtimestamp(number * DAY_MS / 1000, UTC)
    year, of_year, _ = date.isocalendar()
    return date.strftime("%Y-%m-%d"), f"{year}-W{of_year:02}"


NOTHING = "–"


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a caption."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def is_number(self, place: int) -> bool:
        """Whether a column holds numbers alone; the first one names the rows."""
        return place > 0 and all(_is_number(row[place]) for row in self.rows)


# A dash for nothing, and what a cell of the grid has where no number can be.
_NO_NUMBERS = ("", "–", "×", "?")


def _is_number(cell: str) -> bool:
    digits = cell.replace(",", "").replace(".", "").replace(" %", "").strip("–-<>")
    return digits.isdigit() or cell in _NO_NUMBERS
