"""Figures: what was measured of one step at one size, beside its floor, and what was aimed for. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

PEAK_AIM_MIB = 300
PEAK_AIM_SIZE = 20_000
GROWTH_AIM = 1.10
GROWTH_SIZES = (5_000, 20_000)


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of a step in a process of its own; `imports` are the part of `seconds` that went to imports.

    `cpu` is the processor time of the same span, user and system, of the process and its children.
    """

    seconds: float
    peak_mib: float = 0.0
    imports: float = 0.0
    cpu: float = 0.0


@dataclass(frozen=True, slots=True)
class Figure:
    """All runs of one step at one size; it may take `aim` times its floor, or `limit` seconds."""

    size: int
    step: str
    ours: tuple[Sample, ...]
    floor: tuple[Sample, ...] = ()
    aim: float | None = None
    limit: float | None = None
    said: str = ""
    export: bool = False
    grows: bool = False

    @property
    def seconds(self) -> float:
        """The median."""
        return statistics.median(s.seconds for s in self.ours)

    @property
    def cpu(self) -> float:
        """The median of the processor time."""
        return statistics.median(s.cpu for s in self.ours)

    @property
    def floor_cpu(self) -> float:
        """The median of the floor's processor time; 0 without a floor."""
        return statistics.median(s.cpu for s in self.floor) if self.floor else 0.0

    @property
    def least(self) -> float:
        """The fastest run: what the machine's other work disturbed least."""
        return min(s.seconds for s in self.ours)

    @property
    def most(self) -> float:
        """The slowest run."""
        return max(s.seconds for s in self.ours)

    @property
    def floor_seconds(self) -> float | None:
        """The median of the floor."""
        return statistics.median(s.seconds for s in self.floor) if self.floor else None

    @property
    def ratio(self) -> float | None:
        """How many times its floor it takes."""
        return self.seconds / self.floor_seconds if self.floor_seconds else None

    @property
    def peak_mib(self) -> float:
        """The most memory that a run held."""
        return max(s.peak_mib for s in self.ours)

    @property
    def imports(self) -> float:
        """The median of what imports took."""
        return statistics.median(s.imports for s in self.ours)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One aim and what was found."""

    what: str
    found: float
    aim: float
    unit: str

    @property
    def text(self) -> str:
        """`met`, or by how much it was missed."""
        if self.found <= self.aim:
            return "met"
        return f"missed by {100 * (self.found / self.aim - 1):.0f} %"


def verdicts(figures: Sequence[Figure]) -> list[Verdict]:
    """Every aim that the figures can answer."""
    return [*_ratios(figures), *_limits(figures), *_peaks(figures), *_growths(figures)]


def _ratios(figures: Sequence[Figure]) -> list[Verdict]:
    return [
        Verdict(f"{f.size:,}: {f.step}", f.ratio, f.aim, "× its floor")
        for f in figures
        if f.aim is not None and f.ratio is not None
    ]


def _limits(figures: Sequence[Figure]) -> list[Verdict]:
    return [Verdict(f"{f.size:,}: {f.step}", f.seconds, f.limit, "s") for f in figures if f.limit is not None]


def _peaks(figures: Sequence[Figure]) -> list[Verdict]:
    exports = [f for f in figures if f.export and f.size >= PEAK_AIM_SIZE]
    return [Verdict(f"{f.size:,}: {f.step}, peak", f.peak_mib, PEAK_AIM_MIB, "MiB") for f in exports]


def _growths(figures: Sequence[Figure]) -> list[Verdict]:
    """Time per archive at the large size over that at the small one, of the fastest runs."""
    small, large = ({f.step: f for f in figures if f.size == size and f.grows} for size in GROWTH_SIZES)
    both = [step for step in large if step in small]
    more = GROWTH_SIZES[1] / GROWTH_SIZES[0]
    what = "growth {:,} to {:,}: {}"
    return [
        Verdict(
            what.format(*GROWTH_SIZES, step),
            large[step].least / small[step].least / more,
            GROWTH_AIM,
            "× linear",
        )
        for step in both
    ]
