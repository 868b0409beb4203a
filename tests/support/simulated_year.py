"""A year of weekly audits in which the operator does what each of them advises.

`python -m tests.support.simulated_year` prints the figures of docs/design.md.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from statistics import mean, median

from collectord.audit.backlog import backlog
from collectord.audit.coverage import Coverage
from collectord.audit.facts import AuditFacts, AuditRun
from collectord.audit.fill import Fill, fill
from collectord.audit.findings import LANES, WEEK_MS
from collectord.audit.lanes import lanes
from tests.support.planted import DOUBLE, NOW_MS, SERIAL, TRIPLE, facts, run

WEEKS, KEPT_WEEKS, JUDGED_WEEKS = 52, 9, 4
LABELS = {"low": SERIAL, "high": DOUBLE, "critical": TRIPLE}
# What people file of their own accord, and how often a run of a risk ends as its rule says.
NATURAL = {"low": 0.80, "high": 0.18, "critical": 0.02}
AS_ROUTED = 0.95
READY = 50
SEEDS = 6
BANDS = {lane.key: (lane.low, lane.high) for lane in LANES}


@dataclass(frozen=True)
class Year:
    """`in_band_after` is the first week after which the runs of four weeks are in all bands, None for never.

    From then on: `kept` is the share of weeks in which they are, `under` and `over` by how much they were out
    at worst. `needless` counts advice about a lane that would have been in its band without it.
    """

    in_band_after: int | None
    kept: float
    under: float
    over: float
    needless: int


def simulate(runs_a_week: int, seed: int) -> Year:
    """One year; the seed decides what is filed and how it ends."""
    dice = random.Random(seed)
    weeks: deque[list[AuditRun]] = deque(maxlen=KEPT_WEEKS)
    executed: deque[Counter[str]] = deque(maxlen=JUDGED_WEEKS)
    shares, needless = [], 0
    filed, advice = _filed(runs_a_week, dice), Fill((), (), ())
    for _ in range(WEEKS):
        executed.append(_followed(filed, advice))
        weeks.append([_executed(risk, dice) for risk in executed[-1].elements()])
        shares.append(_shares(one.lane or "" for week in list(weeks)[-JUDGED_WEEKS:] for one in week))
        filed = _filed(runs_a_week, dice)
        advice = _advice(facts(_dated(list(weeks))), filed)
        intended = sum([*list(executed)[-JUDGED_WEEKS + 1 :], filed], Counter[str]())
        needless += _needless(advice, _mix(intended), _mix(filed))
    return _year(shares, needless)


def _filed(runs_a_week: int, dice: random.Random) -> Counter[str]:
    """Issues by risk that people file of their own accord in a week."""
    number = max(1, round(dice.gauss(runs_a_week, runs_a_week**0.5)))
    return Counter(dice.choices(list(NATURAL), list(NATURAL.values()), k=number))


def _followed(filed: Counter[str], advice: Fill) -> Counter[str]:
    """What is executed: what was filed, with what was advised added and held back."""
    intake = Counter(filed)
    for wanted in advice.add:
        if wanted.issues is not None and wanted.risk is not None:
            intake[wanted.risk] += wanted.issues[0]
    for stop in advice.stop:
        words = stop.split()
        risk = words[words.index("dk_risk") + 1]
        intake[risk] = max(0, intake[risk] - int(words[2].replace(",", "")))
    return intake


def _executed(risk: str, dice: random.Random) -> AuditRun:
    routed = dice.random() < AS_ROUTED
    return _run(risk, risk if routed else dice.choice(list(LABELS)))


@cache
def _run(risk: str, label: str) -> AuditRun:
    return run(1, LABELS[label], risk=risk)


def _dated(weeks: Sequence[list[AuditRun]]) -> list[AuditRun]:
    """The runs of each week spread over it, the last one ending now."""
    found = []
    for place, week in enumerate(weeks):
        begin, step = NOW_MS - (len(weeks) - place) * WEEK_MS, WEEK_MS // (len(week) + 1)
        found += [replace(one, started_ms=begin + (k + 1) * step) for k, one in enumerate(week)]
    return found


def _advice(found: AuditFacts, filed: Counter[str]) -> Fill:
    """What an audit says beside a backlog with some of the issues that were filed for the coming week."""
    some = Counter(list(filed.elements())[:: max(1, filed.total() // READY)])
    labels = {LABELS[risk].words: number for risk, number in some.items()}
    ready = replace(backlog(found, None), labels=labels, lanes=_mix(some))
    return fill(found, lanes(found), Coverage(0, (), (), {}, 0, ()), None, ready)


def _mix(intake: Counter[str]) -> dict[str, float]:
    return _shares(LABELS[risk].lane for risk in intake.elements())


def _shares(labels: Iterable[str]) -> dict[str, float]:
    counts = Counter(labels)
    return {lane.key: counts[lane.key] / (counts.total() or 1) for lane in LANES}


def _needless(advice: Fill, *mixes: dict[str, float]) -> int:
    """Lanes that advice is given for although each of these mixes has them in their bands."""
    named = [wanted.lane for wanted in advice.add] + [_lane_of(stop) for stop in advice.stop]
    return sum(all(BANDS[key][0] <= mix[key] <= BANDS[key][1] for mix in mixes) for key in named)


def _lane_of(stop: str) -> str:
    return stop.partition("as lane ")[2][0]


def _year(shares: list[dict[str, float]], needless: int) -> Year:
    inside = [all(low <= week[key] <= high for key, (low, high) in BANDS.items()) for week in shares]
    if True not in inside:
        return Year(None, 0.0, 0.0, 0.0, needless)
    first = inside.index(True)
    out = [(BANDS[key][0] - week[key], week[key] - BANDS[key][1]) for week in shares[first:] for key in BANDS]
    under, over = (max(0.0, *(each[side] for each in out)) for side in (0, 1))
    return Year(first + 1, mean(inside[first:]), under, over, needless)


def main() -> None:
    """A line for each size of collection, over some years."""
    print("runs a week | weeks until in band | in band then | worst under, over (points) | needless advice")
    for size in (60, 150, 400):
        years = [simulate(size, seed) for seed in range(SEEDS)]
        weeks = [year.in_band_after or WEEKS for year in years]
        kept, under, over = (
            100 * mean(getattr(y, name) for y in years) for name in ("kept", "under", "over")
        )
        needless = mean(year.needless for year in years)
        said = f"{size} | {median(weeks):.0f}, most {max(weeks)} | {kept:.0f} % | {under:.1f}, {over:.1f}"
        print(f"{said} | {needless:.1f} of {WEEKS * len(LANES)}")


if __name__ == "__main__":
    main()
