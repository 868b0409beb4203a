"""Targeted fill: which issues to add for short lanes, what blocks it, what to stop adding. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from collectord.audit.backlog import Backlog
from collectord.audit.coverage import DEFAULT_RISK, Coverage, Reach, kind_of
from collectord.audit.facts import RISKS, SIZES, AuditFacts, AuditRun, is_ready
from collectord.audit.findings import DAY_MS, MOST_RUNS, READY_RANGE, TREND_WEEKS, WEEK_MS, Finding, Kind
from collectord.audit.lanes import LaneAnswer, Lanes, Verdict, lane_share_words
from collectord.audit.layout import Interval, count, listing, percent, span, wilson

Amount = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Issues to add this week for one lane: `issues` is (about, at least, at most).

    `yield_` is the share of runs of that risk that end in the lane, None where none has yet; `is_tentative`
    where only the estimate says that the lane is short, or the ready issues would make it so.
    """

    lane: str
    risk: str | None
    sizes: tuple[str, ...]
    issues: Amount | None
    yield_: Interval | None
    short_by: tuple[float, float]
    ready: int
    blocked: tuple[str, ...]
    words: str
    is_tentative: bool = False


@dataclass(frozen=True, slots=True)
class Fill:
    """The answer: what to add, what to stop adding."""

    add: tuple[Wanted, ...]
    stop: tuple[str, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Coming:
    """What an audit expects of the next week: `rate` runs, with these shares of lanes.

    The shares are those of the ready issues under the policy of now; where few are ready, those of the runs.
    """

    rate: float
    shares: Mapping[str, float]

    def leaves_short(self, lane: LaneAnswer, found: Lanes) -> bool:
        """Whether a lane is short, will be, or is brought there week by week."""
        after, comes = self._share_after(lane, found), self.shares[lane.key]
        return min(lane.interval.share, after) < lane.low or (comes < lane.low and after < lane.aim_low)

    def leaves_over(self, lane: LaneAnswer, found: Lanes) -> bool:
        """Whether a lane is over, will be, or is brought there week by week."""
        after, comes = self._share_after(lane, found), self.shares[lane.key]
        return max(lane.interval.share, after) > lane.high or (comes > lane.high and after > lane.aim_high)

    def _share_after(self, lane: LaneAnswer, found: Lanes) -> float:
        """In a week: the oldest of the weeks that the lane is judged by has made room for the coming one."""
        total = found.staying + self.rate
        lane_runs = lane.interval.share * found.staying + self.shares[lane.key] * self.rate
        return lane_runs / total if total else 0.0


def coming_week(found: Lanes, backlog: Backlog) -> Coming:
    """From the runs that lanes are judged by, and from the backlog."""
    rate = found.runs / max(1.0, found.weeks)
    ready = sum(backlog.labels.values())
    if backlog.lanes is not None and ready >= READY_RANGE[0]:
        return Coming(rate, backlog.lanes)
    return Coming(rate, {lane.key: lane.interval.share for lane in found.lanes})


def fill(facts: AuditFacts, found: Lanes, cover: Coverage, reach: Reach | None, backlog: Backlog) -> Fill:
    """From lanes that are out of their band or lean out of it, or that the ready issues would bring there."""
    since_ms = facts.now_ms - max(TREND_WEEKS * WEEK_MS, facts.window_ms)
    seen = [run for run in facts.runs if run.label and run.started_ms >= since_ms]
    coming = coming_week(found, backlog)
    judged = [lane for lane in found.lanes if lane.verdict is not Verdict.TOO_FEW]
    short = [one for one in judged if coming.leaves_short(one, found)]
    # Where nothing is ready there is nothing to hold back.
    can_hold = backlog.ready or not facts.backlog
    over = [one for one in judged if can_hold and coming.leaves_over(one, found)]
    add = tuple(_wanted(lane, found, coming, seen, facts, cover, reach) for lane in short)
    added = sum(wanted.issues[0] for wanted in add if wanted.issues and wanted.issues[0] < MOST_RUNS)
    stops = [(lane, held_back(lane, found, coming, added)) for lane in over]
    stop = tuple(_stop(lane, amount, seen) for lane, amount in stops if amount[0])
    to_make_ready = max(0, READY_RANGE[0] - backlog.ready) if facts.backlog else 0
    findings = [_finding(wanted, seen, to_make_ready) for wanted in add]
    findings += [
        Finding(_kind(lane), "fill", do, f"{lane_share_words(lane)}, of {count(found.runs, 'run')}")
        for do, (lane, _) in zip(stop, [one for one in stops if one[1][0]], strict=True)
    ]
    return Fill(add, stop, tuple(findings))


def _kind(lane: LaneAnswer) -> Kind:
    return Kind.OUT if lane.verdict in (Verdict.LOW, Verdict.HIGH) else Kind.LEANING


def _wanted(
    lane: LaneAnswer,
    found: Lanes,
    coming: Coming,
    seen: Sequence[AuditRun],
    facts: AuditFacts,
    cover: Coverage,
    reach: Reach | None,
) -> Wanted:
    risk, share = _best_risk(lane, seen, reach)
    sizes = _best_sizes(lane.key, risk, seen)
    ready = sum(is_ready(issue) and (issue.risk or DEFAULT_RISK) == risk for issue in facts.backlog)
    blocked = tuple(_blocks(lane, cover, reach))
    # Where none has ended there yet the policy alone says that all of that risk would.
    needed = issues_needed(lane, found, coming, share or _UNSEEN) if risk else None
    is_tentative = lane.verdict is not Verdict.LOW
    words = _add_words(lane, risk, sizes, needed, is_tentative)
    short_by = lane.short_by
    return Wanted(lane.key, risk, sizes, needed, share, short_by, ready, blocked, words, is_tentative)


_UNSEEN = Interval(1.0, 0.5, 1.0)


def _best_risk(
    lane: LaneAnswer, seen: Sequence[AuditRun], reach: Reach | None
) -> tuple[str | None, Interval | None]:
    """The risk whose runs most surely end in the lane, among those that still can."""
    possible = RISKS if reach is None else reach.risks_of_lane(lane.key) or RISKS
    plain = [risk for risk in possible if reach is None or reach.plainly(risk, lane.key)] or list(possible)
    counts = Counter(kind_of(run)[0] for run in seen)
    hits = Counter(kind_of(run)[0] for run in seen if run.lane == lane.key)
    yields = {risk: wilson(hits[risk], counts[risk]) for risk in plain if hits[risk]}
    if yields:
        best = max(yields, key=lambda risk: (yields[risk].low, RISKS.index(risk)))
        return best, yields[best]
    return (plain[-1] if reach is not None and plain else None), None


def _best_sizes(lane: str, risk: str | None, seen: Sequence[AuditRun]) -> tuple[str, ...]:
    """Sizes of that risk that lead to the lane at least as often as the risk as a whole; () for any size."""
    kinds = [(kind_of(run)[1], run.lane == lane) for run in seen if kind_of(run)[0] == risk]
    if not kinds:
        return ()
    overall = sum(hit for _, hit in kinds) / len(kinds)
    chosen = []
    for size in SIZES:
        of_size = [hit for kind, hit in kinds if kind == size]
        if of_size and sum(of_size) / len(of_size) >= overall - 0.05:
            chosen.append(size)
    present = {kind for kind, _ in kinds}
    return () if len(chosen) == len(present) else tuple(chosen)


def issues_needed(lane: LaneAnswer, found: Lanes, coming: Coming, share: Interval) -> Amount:
    """How many issues to add this week: those that the coming week lacks, and a part of what is missing.

    Each issue adds `share` of a run to the lane and one to the total. At least and at most are those of both
    intervals together: of the share that the lane has, and of the share of such issues that end in it.
    """
    aim = lane.aim_low
    coming_lacks = (aim - coming.shares[lane.key]) * coming.rate

    def needed(has: float, hits: float) -> int:
        missing = coming_lacks + (aim - has) * found.staying / max(1.0, found.weeks)
        return min(MOST_RUNS, max(0, ceil(missing / (hits - aim)))) if hits > aim else MOST_RUNS

    about = max(1, needed(lane.interval.share, share.share))
    return (
        about,
        min(about, needed(lane.interval.high, share.high)),
        max(about, needed(lane.interval.low, share.low)),
    )


def _blocks(lane: LaneAnswer, cover: Coverage, reach: Reach | None) -> Iterator[str]:
    if reach is None:
        yield "the policy cannot be read, so nobody can tell whether issues would get there"
    elif not reach.risks_of_lane(lane.key):
        rows = [row for row in cover.grid if row.action.lane == lane.key]
        yield next((row.why for row in rows if row.why), "no rule leads there")


def _add_words(
    lane: LaneAnswer, risk: str | None, sizes: Sequence[str], needed: Amount | None, is_tentative: bool
) -> str:
    name = f"lane {lane.key} ({lane.name})"
    if risk is None or needed is None:
        return f"add issues that lead to {name}; none has yet"
    size = f", size {_range(sizes)}" if sizes else ""
    about, least, most = needed
    amount = f"about {count(about, 'issue')}" if about < MOST_RUNS else "issues"
    why = f"as {name} {short_words(lane)}" + ("; tentative" if is_tentative else "")
    return f"add {amount} with dk_risk {risk}{size} this week{_between(least, most)}, {why}"


def short_words(lane: LaneAnswer) -> str:
    """How sure it is that a lane is short, in the same words everywhere."""
    if lane.verdict is Verdict.LOW:
        return "is short"
    return "looks short" if lane.is_low else "would be short by the ready issues"


def _over_words(lane: LaneAnswer) -> str:
    if lane.verdict is Verdict.HIGH:
        return "is over"
    return "looks over" if lane.is_high else "would be over by the ready issues"


def _between(least: int, most: int) -> str:
    if least == most:
        return ""
    return f" ({least:,} to {most:,})" if most < MOST_RUNS else f" ({least:,} or many more)"


def _range(sizes: Sequence[str]) -> str:
    places = [SIZES.index(size) for size in sizes]
    together = places == list(range(places[0], places[0] + len(places)))
    return f"{sizes[0]}–{sizes[-1]}" if together and len(sizes) > 1 else ", ".join(sizes)


def _finding(wanted: Wanted, seen: Sequence[AuditRun], to_make_ready: int) -> Finding:
    reasons = []
    if wanted.yield_ is not None and wanted.risk is not None:
        reasons.append(_yield_words(wanted.lane, wanted.risk, wanted.yield_, seen))
    elif wanted.risk is not None:
        reasons.append(f"no run of 8 weeks ended in lane {wanted.lane}; by the policy all of these would")
    if wanted.blocked:
        reasons.insert(0, f"blocked: {'; '.join(wanted.blocked)}")
        return Finding(
            Kind.BLOCKED, "fill", f"change the policy first, then {wanted.words}", "; ".join(reasons)
        )
    if wanted.risk is not None:
        ready = f"{count(wanted.ready, 'ready issue')} of that risk now"
        reasons.append(ready if wanted.ready else "no issue of that risk is ready")
    if wanted.risk is not None and to_make_ready:
        reasons.append(f"these are among the {to_make_ready} to make ready")
    kind = Kind.LEANING if wanted.is_tentative else Kind.OUT
    return Finding(kind, "fill", wanted.words, "; ".join(reasons) or "no run of 8 weeks ended there")


def _yield_words(lane: str, risk: str, share: Interval, seen: Sequence[AuditRun]) -> str:
    """`12 of 12 high-risk runs of 8 weeks ended in lane B (76–100 %), all of one day`."""
    of_risk = [run for run in seen if kind_of(run)[0] == risk]
    ended = sum(run.lane == lane for run in of_risk)
    days = {run.started_ms // DAY_MS for run in of_risk}
    said = f"{ended:,} of {len(of_risk):,} {risk}-risk runs of {TREND_WEEKS} weeks ended in lane {lane} "
    return f"{said}({span(share.low, share.high)}){', all of one day' if len(days) == 1 else ''}"


def _stop(lane: LaneAnswer, amount: Amount, seen: Sequence[AuditRun]) -> str:
    """What most of the runs of an overfull lane were, and how many of them to hold back."""
    risks = Counter(kind_of(run)[0] for run in seen if run.lane == lane.key)
    total = sum(risks.values()) or 1
    chosen = [risk for risk in RISKS if risks[risk] / total >= 0.25]
    about, least, most = amount
    shares = listing(f"{risk} {percent(risks[risk] / total)}" for risk in chosen)
    named = " and ".join(chosen) or "any"
    tentative = "" if lane.verdict is Verdict.HIGH else "; tentative"
    return (
        f"hold about {count(about, 'issue')} with dk_risk {named} back this week{_between(least, most)}, as "
        f"lane {lane.key} ({lane.name}) {_over_words(lane)} (of its runs {shares}){tentative}"
    )


def held_back(lane: LaneAnswer, found: Lanes, coming: Coming, added: int) -> Amount:
    """How many issues of an overfull lane to hold back this week beside what is `added` to others."""
    aim = lane.aim_high
    coming_over = coming.shares[lane.key] * coming.rate - aim * (coming.rate + added)

    def needed(has: float) -> int:
        too_many = coming_over + (has - aim) * found.staying / max(1.0, found.weeks)
        return max(0, ceil(too_many / (1 - aim)))

    return needed(lane.interval.share), needed(lane.interval.low), needed(lane.interval.high)
