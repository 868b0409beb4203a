"""Figures: what a person waits for, measured of two trees and of peers in turns. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """One whole process and its children: processor seconds (user and system), seconds, most memory."""

    cpu_s: float
    wall_s: float
    peak_mib: float


@dataclass(frozen=True, slots=True)
class Aim:
    """At most so many processor seconds, or that share of what the tree before needs."""

    seconds: float | None = None
    of_before: float | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """One wait: samples of this tree and of the one before, pair by pair, and of peers by name."""

    what: str
    aim: Aim
    now: tuple[Sample, ...]
    before: tuple[Sample, ...] = ()
    peers: tuple[tuple[str, tuple[Sample, ...]], ...] = ()

    @property
    def ratios(self) -> tuple[float, ...]:
        """This tree over the one before, of each pair."""
        return tuple(a.cpu_s / b.cpu_s for a, b in zip(self.now, self.before, strict=False) if b.cpu_s)

    @property
    def verdict(self) -> str:
        """`met`, by how much it was missed, or nothing where nothing was aimed for."""
        found, aim = median_cpu_s(self.now), self.aim.seconds
        if self.aim.of_before is not None:
            if not self.ratios:
                return "not compared"
            found, aim = statistics.median(self.ratios), self.aim.of_before
        if aim is None:
            return ""
        return "met" if found <= aim else f"missed by {100 * (found / aim - 1):.0f} %"


def median_cpu_s(samples: Iterable[Sample]) -> float:
    """Processor seconds."""
    return statistics.median(sample.cpu_s for sample in samples)


def peak_mib(samples: Iterable[Sample]) -> float:
    """The most memory of any of them."""
    return max(sample.peak_mib for sample in samples)


def row(figure: Figure) -> tuple[str, ...]:
    """What, before, now, ratio with its spread, aim, verdict, memory, peers."""
    before = f"{median_cpu_s(figure.before):.2f}" if figure.before else ""
    spread = ""
    if figure.ratios:
        low, middle, high = min(figure.ratios), statistics.median(figure.ratios), max(figure.ratios)
        spread = f"{middle:.2f} ({low:.2f}–{high:.2f})"
    beside = "; ".join(f"{name} {median_cpu_s(samples):.2f}" for name, samples in figure.peers)
    now, peak = f"{median_cpu_s(figure.now):.2f}", f"{peak_mib(figure.now):.0f}"
    return figure.what, before, now, spread, _aim_text(figure.aim), figure.verdict, peak, beside


def _aim_text(aim: Aim) -> str:
    if aim.of_before is not None:
        return f"{aim.of_before:g} ×"
    return "" if aim.seconds is None else f"{aim.seconds:g}"


def growth_table(sizes: tuple[int, int], small: Sequence[Figure], large: Sequence[Figure]) -> str:
    """What the same steps cost at two sizes, and how that grew beside how the sizes did."""
    headers = ["what a person does", *(f"at {size:,}" for size in sizes), "growth an archive"]
    headers += [f"MiB at {size:,}" for size in sizes]
    lines = [headers, ["---", *["---:"] * (len(headers) - 1)]]
    before = {figure.what: figure for figure in small}
    for figure in large:
        pair = [before[figure.what].now, figure.now]
        seconds = [median_cpu_s(samples) for samples in pair]
        growth = seconds[1] / seconds[0] / (sizes[1] / sizes[0]) if seconds[0] else 0.0
        texts = [f"{value:.2f}" for value in seconds] + [f"{growth:.2f}"]
        lines.append([figure.what, *texts, *(f"{peak_mib(samples):.0f}" for samples in pair)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


HEADERS = ("what a person does", "before", "now", "ratio", "aim", "", "MiB", "beside (the same measure)")


def table(figures: Sequence[Figure]) -> str:
    """The figures as a table of Markdown."""
    rules = ("---", "---:", "---:", "---:", "---:", "---", "---:", "---")
    lines = [HEADERS, rules, *map(row, figures)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
