"""Lanes over the window: shares, verdicts by simultaneous intervals, and the trend. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from collectord.audit.facts import AuditFacts, AuditRun
from collectord.audit.findings import (
    CONFIDENCE,
    LANES,
    MOST_RUNS,
    OTHER_LANE,
    TREND_WEEKS,
    WANTED_MINUTES,
    WEEK_MS,
    Finding,
    Kind,
    Lane,
)
from collectord.audit.layout import Interval, count, goodman, interval_words, percent, span, week


class Verdict(StrEnum):
    """Where a share lies against its band."""

    IN = "in"
    OUT = "out"
    UNDETERMINED = "undetermined"


@dataclass(frozen=True, slots=True)
class LaneAnswer:
    """One lane; `runs_to_settle` is None where more runs of the same share would hardly settle it."""

    key: str
    name: str
    low: float
    high: float
    runs: int
    interval: Interval
    verdict: Verdict
    runs_to_settle: int | None
    words: str

    @property
    def short_by(self) -> tuple[float, float]:
        """Points that are missing to the band, at least and at most."""
        return max(0.0, self.low - self.interval.high), max(0.0, self.low - self.interval.low)

    @property
    def over_by(self) -> tuple[float, float]:
        """Points above the band, at least and at most."""
        return max(0.0, self.interval.low - self.high), max(0.0, self.interval.high - self.high)


@dataclass(frozen=True, slots=True)
class MinutesAnswer:
    """One of the wanted minute bins."""

    minutes: int
    runs: int
    interval: Interval


@dataclass(frozen=True, slots=True)
class Week:
    """Labelled runs of one ISO week by lane; `shares` are None where there are none."""

    week: str
    runs: int
    lanes: dict[str, int]
    shares: dict[str, float] | None


@dataclass(frozen=True, slots=True)
class Lanes:
    """The answer: `runs` are the labelled ones of the window, `unlabelled` have no executed plan."""

    window: str
    runs: int
    unlabelled: int
    other: int
    lanes: tuple[LaneAnswer, ...]
    minutes: tuple[MinutesAnswer, ...]
    trend: tuple[Week, ...]
    findings: tuple[Finding, ...]


def lanes(facts: AuditFacts) -> Lanes:
    """Shares of the window against their bands."""
    labelled = [run for run in facts.recent if run.label]
    counts = Counter(run.lane for run in labelled)
    keys = [lane.key for lane in LANES] + ([OTHER_LANE] if counts[OTHER_LANE] else [])
    numbers = [counts[key] for key in keys]
    found = goodman(numbers, CONFIDENCE)
    answers = tuple(
        _answer(lane, place, numbers, interval)
        for place, (lane, interval) in enumerate(zip(LANES, found, strict=False))
    )
    return Lanes(
        window=facts.window_words,
        runs=len(labelled),
        unlabelled=len(facts.recent) - len(labelled),
        other=counts[OTHER_LANE],
        lanes=answers,
        minutes=_minutes(labelled),
        trend=trend(facts),
        findings=tuple(_findings(answers, len(labelled), facts.window_words)),
    )


def _answer(lane: Lane, place: int, numbers: Sequence[int], interval: Interval) -> LaneAnswer:
    verdict = verdict_of(lane, interval)
    more = None if verdict is not Verdict.UNDETERMINED else runs_to_settle(lane, place, numbers)
    said = f"{interval_words(interval)} against {span(lane.low, lane.high)}: {_verdict_words(verdict, more)}"
    return LaneAnswer(lane.key, lane.name, lane.low, lane.high, numbers[place], interval, verdict, more, said)


def _verdict_words(verdict: Verdict, more: int | None) -> str:
    if verdict is not Verdict.UNDETERMINED:
        return verdict.value
    return f"undetermined, {_settling(more)}"


def _settling(more: int | None) -> str:
    if more is None:
        return "and more runs of this share would hardly settle it"
    return f"about {count(more, 'more run')} would settle it"


def verdict_of(lane: Lane, interval: Interval) -> Verdict:
    """In when the whole interval is in the band, out when none of it is."""
    if interval.low > lane.high or interval.high < lane.low:
        return Verdict.OUT
    inside = lane.low <= interval.low and interval.high <= lane.high
    return Verdict.IN if inside else Verdict.UNDETERMINED


def runs_to_settle(lane: Lane, place: int, numbers: Sequence[int]) -> int | None:
    """How many more runs, at the observed shares, would end in a verdict; None beyond a sane number."""
    total = sum(numbers)
    if total == 0:
        numbers, total = [1] * len(numbers), 0
    seen = sum(numbers)

    def settled(runs: int) -> bool:
        scaled = [round(n * runs / seen) for n in numbers]
        return verdict_of(lane, goodman(scaled, CONFIDENCE)[place]) is not Verdict.UNDETERMINED

    if not settled(MOST_RUNS):
        return None
    low, high = max(total, 1), MOST_RUNS
    while high - low > max(1, low // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if settled(middle) else (middle, high)
    return _rounded(high - total)


def _rounded(number: int) -> int:
    """Up to two digits that count: more would pretend to know the share better than it is known."""
    unit = int("1" + "0" * max(0, len(str(number)) - 2))
    return -(-number // unit) * unit


def _minutes(labelled: Sequence[AuditRun]) -> tuple[MinutesAnswer, ...]:
    counts = Counter(run.label.minutes for run in labelled if run.label)
    numbers = [counts[minutes] for minutes in WANTED_MINUTES]
    found = goodman([*numbers, len(labelled) - sum(numbers)], CONFIDENCE)
    return tuple(MinutesAnswer(m, n, i) for m, n, i in zip(WANTED_MINUTES, numbers, found, strict=False))


def trend(facts: AuditFacts) -> tuple[Week, ...]:
    """The labelled runs of the last eight ISO weeks, the present one included."""
    weeks = [week(facts.now_ms - back * WEEK_MS) for back in reversed(range(TREND_WEEKS))]
    counts: dict[str, Counter[str]] = {name: Counter() for name in weeks}
    for run in facts.runs:
        if run.lane and run.started_ms > facts.now_ms - (TREND_WEEKS + 1) * WEEK_MS:
            counts.get(week(run.started_ms), Counter())[run.lane] += 1
    keys = [lane.key for lane in LANES] + [OTHER_LANE]
    return tuple(_week(name, {key: found[key] for key in keys}) for name, found in counts.items())


def _week(name: str, found: dict[str, int]) -> Week:
    runs = sum(found.values())
    return Week(name, runs, found, {key: number / runs for key, number in found.items()} if runs else None)


def _findings(answers: Sequence[LaneAnswer], runs: int, window: str) -> list[Finding]:
    if runs == 0:
        do = "collect runs with an executed plan before asking about lanes"
        return [Finding(Kind.UNDETERMINED, "lanes", do, f"no labelled run in {window}")]
    found = []
    for lane in answers:
        if lane.verdict is Verdict.UNDETERMINED:
            do = f"wait before acting on lane {lane.key} ({lane.name})"
            found.append(Finding(Kind.UNDETERMINED, "lanes", do, f"{count(runs, 'run')}: {lane.words}"))
    return found


def lane_share_words(lane: LaneAnswer) -> str:
    """`lane C (speculate×3) is 2 % where 5–15 % is wanted`."""
    band = span(lane.low, lane.high)
    return f"lane {lane.key} ({lane.name}) is {percent(lane.interval.share)} where {band} is wanted"
