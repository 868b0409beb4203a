"""Lanes over the window: shares, verdicts by simultaneous intervals, and the trend. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from collectord.audit.facts import AuditFacts, AuditRun
from collectord.audit.findings import (
    AIM,
    CONFIDENCE,
    LANES,
    LEAST_RUNS,
    MOST_RUNS,
    OTHER_LANE,
    THIN_WEEKS,
    THIN_WINDOW,
    TREND_WEEKS,
    WANTED_MINUTES,
    WEEK_MS,
    Finding,
    Kind,
    Lane,
)
from collectord.audit.layout import Interval, count, goodman, interval_words, percent, span, week


class Verdict(StrEnum):
    """Where a share lies against its band: IN, LOW, HIGH for certain; the others by the estimate alone."""

    IN = "in"
    LOW = "low"
    HIGH = "high"
    ABOUT_RIGHT = "about right"
    LEANING_LOW = "leaning low"
    LEANING_HIGH = "leaning high"
    TOO_FEW = "too few runs"


CERTAIN = frozenset({Verdict.IN, Verdict.LOW, Verdict.HIGH})


@dataclass(frozen=True, slots=True)
class LaneAnswer:
    """One lane; `runs_to_settle` is None for what is certain, and where more runs would hardly settle it."""

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
    def aim_low(self) -> float:
        """Where a short lane is brought to."""
        return self.low + AIM * (self.high - self.low)

    @property
    def aim_high(self) -> float:
        """Where an overfull lane is brought to."""
        return self.high - AIM * (self.high - self.low)

    @property
    def is_low(self) -> bool:
        """Whether it is below its band, for certain or by the estimate."""
        return self.verdict in (Verdict.LOW, Verdict.LEANING_LOW)

    @property
    def is_high(self) -> bool:
        """Whether it is above its band, for certain or by the estimate."""
        return self.verdict in (Verdict.HIGH, Verdict.LEANING_HIGH)

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
    """The answer: `runs` are the labelled ones that it is about, `unlabelled` of them have no executed plan.

    `weeks` is how many weeks they are from: those of the window, or more where that alone is thin.
    """

    window: str
    weeks: float
    runs: int
    unlabelled: int
    other: int
    lanes: tuple[LaneAnswer, ...]
    minutes: tuple[MinutesAnswer, ...]
    trend: tuple[Week, ...]
    findings: tuple[Finding, ...]

    @property
    def staying(self) -> float:
        """How many of the runs are still judged in a week."""
        return self.runs * (1 - 1 / max(1.0, self.weeks))


def lanes(facts: AuditFacts) -> Lanes:
    """Shares against their bands, of the window or of the last four weeks."""
    chosen, window, weeks = _basis(facts)
    labelled = [run for run in chosen if run.label]
    counts = Counter(run.lane for run in labelled)
    keys = [lane.key for lane in LANES] + ([OTHER_LANE] if counts[OTHER_LANE] else [])
    numbers = [counts[key] for key in keys]
    found = goodman(numbers, CONFIDENCE)
    answers = tuple(
        _answer(lane, place, numbers, interval)
        for place, (lane, interval) in enumerate(zip(LANES, found, strict=False))
    )
    return Lanes(
        window=window,
        weeks=weeks,
        runs=len(labelled),
        unlabelled=len(chosen) - len(labelled),
        other=counts[OTHER_LANE],
        lanes=answers,
        minutes=_minutes(labelled),
        trend=trend(facts),
        findings=tuple(_findings(len(labelled), window)),
    )


def _basis(facts: AuditFacts) -> tuple[Sequence[AuditRun], str, float]:
    """The runs that lanes are judged by, in words, and the weeks that they are from.

    A window of few runs is joined by those of four weeks, of the same epoch: under another policy the same
    issues had other labels.
    """
    recent = facts.recent
    is_thin = sum(run.label is not None for run in recent) < THIN_WINDOW
    if recent and is_thin and facts.window_ms < THIN_WEEKS * WEEK_MS:
        since_ms, epoch = facts.now_ms - THIN_WEEKS * WEEK_MS, recent[-1].epoch
        joined = [run for run in facts.runs if run.started_ms >= since_ms and run.epoch == epoch]
        if len(joined) > len(recent):
            few = count(len(recent), "run")
            window = f"the last {THIN_WEEKS} weeks under epoch {epoch}, as the window alone has {few}"
            return joined, window, _weeks_of(joined, facts.now_ms)
    # A window can be longer than the collection is old.
    weeks = min(facts.window_ms / WEEK_MS, _weeks_of(recent, facts.now_ms))
    return recent, facts.window_words, weeks


def _weeks_of(runs: Sequence[AuditRun], now_ms: int) -> float:
    """From the first of them until now, and a week at least."""
    return max(1.0, (now_ms - runs[0].started_ms) / WEEK_MS) if runs else 1.0


def _answer(lane: Lane, place: int, numbers: Sequence[int], interval: Interval) -> LaneAnswer:
    verdict = verdict_of(lane, interval, sum(numbers))
    more = None if verdict in CERTAIN else runs_to_settle(lane, place, numbers)
    said = f"{interval_words(interval)} against {span(lane.low, lane.high)}: {verdict}"
    return LaneAnswer(lane.key, lane.name, lane.low, lane.high, numbers[place], interval, verdict, more, said)


def verdict_of(lane: Lane, interval: Interval, runs: int) -> Verdict:
    """By the interval where all or nothing of it is in the band, else by the share, and below 20 runs not."""
    if runs < LEAST_RUNS:
        return Verdict.TOO_FEW
    if interval.low > lane.high or interval.high < lane.low:
        return Verdict.HIGH if interval.low > lane.high else Verdict.LOW
    if lane.low <= interval.low and interval.high <= lane.high:
        return Verdict.IN
    if lane.low <= interval.share <= lane.high:
        return Verdict.ABOUT_RIGHT
    return Verdict.LEANING_LOW if interval.share < lane.low else Verdict.LEANING_HIGH


def runs_to_settle(lane: Lane, place: int, numbers: Sequence[int]) -> int | None:
    """How many more runs, at the observed shares, would end in a verdict; None beyond a sane number."""
    total = sum(numbers)
    if total == 0:
        numbers, total = [1] * len(numbers), 0
    seen = sum(numbers)

    def settled(runs: int) -> bool:
        scaled = [round(n * runs / seen) for n in numbers]
        return verdict_of(lane, goodman(scaled, CONFIDENCE)[place], runs) in CERTAIN

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


def _findings(runs: int, window: str) -> Iterator[Finding]:
    if runs < LEAST_RUNS:
        do = f"collect {LEAST_RUNS - runs} more runs with an executed plan before asking about lanes"
        yield Finding(Kind.UNDETERMINED, "lanes", do, f"{count(runs, 'labelled run')} in {window}")


def lane_share_words(lane: LaneAnswer) -> str:
    """`lane C (speculate_vote×3) is 2 % where 5–15 % is wanted`."""
    band = span(lane.low, lane.high)
    return f"lane {lane.key} ({lane.name}) is {percent(lane.interval.share)} where {band} is wanted"
