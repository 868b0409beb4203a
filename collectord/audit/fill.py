"""Targeted fill: which issues to add for short lanes, what blocks it, what to stop adding. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from collectord.audit.coverage import DEFAULT_RISK, Coverage, Reach, kind_of
from collectord.audit.facts import RISKS, SIZES, AuditFacts, AuditRun, is_ready
from collectord.audit.findings import MOST_RUNS, TREND_WEEKS, WEEK_MS, Finding, Kind
from collectord.audit.lanes import LaneAnswer, Lanes, Verdict, lane_share_words
from collectord.audit.layout import Interval, count, interval_words, listing, percent, wilson


@dataclass(frozen=True, slots=True)
class Wanted:
    """Issues to add for one lane; `issues` is (about, at least, at most), None where no number is known."""

    lane: str
    risk: str | None
    sizes: tuple[str, ...]
    issues: tuple[int, int, int] | None
    yield_: Interval | None
    short_by: tuple[float, float]
    ready: int
    blocked: tuple[str, ...]
    words: str


@dataclass(frozen=True, slots=True)
class Fill:
    """The answer: what to add, what to stop adding."""

    add: tuple[Wanted, ...]
    stop: tuple[str, ...]
    findings: tuple[Finding, ...]


def fill(facts: AuditFacts, found: Lanes, cover: Coverage, reach: Reach | None) -> Fill:
    """From lanes whose verdict is out; an undetermined one asks for nothing yet."""
    since_ms = facts.now_ms - max(TREND_WEEKS * WEEK_MS, facts.window_ms)
    seen = [run for run in facts.runs if run.label and run.started_ms >= since_ms]
    short = [lane for lane in found.lanes if lane.verdict is Verdict.OUT and lane.interval.share < lane.low]
    over = [lane for lane in found.lanes if lane.verdict is Verdict.OUT and lane.interval.share > lane.high]
    add = tuple(_wanted(lane, found, seen, facts, cover, reach) for lane in short)
    stop = tuple(_stop(lane, seen) for lane in over)
    findings = [_finding(wanted) for wanted in add]
    findings += [
        Finding(Kind.OUT, "fill", do, f"{lane_share_words(lane)}, of {count(found.runs, 'run')}")
        for do, lane in zip(stop, over, strict=True)
    ]
    return Fill(add, stop, tuple(findings))


def _wanted(
    lane: LaneAnswer,
    found: Lanes,
    seen: Sequence[AuditRun],
    facts: AuditFacts,
    cover: Coverage,
    reach: Reach | None,
) -> Wanted:
    risk, share = _best_risk(lane, seen, reach)
    sizes = _best_sizes(lane.key, risk, seen)
    ready = sum(is_ready(issue) and (issue.risk or DEFAULT_RISK) == risk for issue in facts.backlog)
    blocked = tuple(_blocks(lane, cover, reach))
    needed = issues_needed(lane, found.runs, share) if share else None
    words = _add_words(lane, risk, sizes, needed)
    return Wanted(lane.key, risk, sizes, needed, share, lane.short_by, ready, blocked, words)


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


def issues_needed(lane: LaneAnswer, runs: int, share: Interval) -> tuple[int, int, int] | None:
    """How many issues lift the lane to its band: each adds `share` of a run to it and one to the total."""

    def needed(hits: float) -> int:
        missing = lane.low * runs - lane.runs
        return min(MOST_RUNS, ceil(missing / (hits - lane.low))) if hits > lane.low else MOST_RUNS

    if needed(share.share) >= MOST_RUNS:
        return None
    return needed(share.share), needed(share.high), needed(share.low)


def _blocks(lane: LaneAnswer, cover: Coverage, reach: Reach | None) -> Iterator[str]:
    if reach is None:
        yield "the policy cannot be read, so nobody can tell whether issues would get there"
    elif not reach.risks_of_lane(lane.key):
        rows = [row for row in cover.grid if row.action.lane == lane.key]
        yield next((row.why for row in rows if row.why), "no rule leads there")


def _add_words(
    lane: LaneAnswer, risk: str | None, sizes: Sequence[str], needed: tuple[int, int, int] | None
) -> str:
    size = f", size {_range(sizes)}" if sizes else ", any size"
    low, high = (100 * points for points in lane.short_by)
    short = f"lane {lane.key} ({lane.name}) short by {low:.0f}–{high:.0f} %"
    if risk is None:
        return f"add issues that lead to lane {lane.key} ({lane.name}); none has yet ({short})"
    if needed is None:
        return f"add issues with dk_risk {risk}{size} ({short})"
    return f"add about {count(needed[0], 'issue')} with dk_risk {risk}{size} ({short})"


def _range(sizes: Sequence[str]) -> str:
    places = [SIZES.index(size) for size in sizes]
    together = places == list(range(places[0], places[0] + len(places)))
    return f"{sizes[0]}–{sizes[-1]}" if together and len(sizes) > 1 else ", ".join(sizes)


def _finding(wanted: Wanted) -> Finding:
    reasons = []
    if wanted.yield_ is not None and wanted.risk is not None:
        reasons.append(f"{interval_words(wanted.yield_)} of {wanted.risk} runs of 8 weeks ended there")
    if wanted.issues is not None and wanted.issues[1] != wanted.issues[2]:
        most = f"{wanted.issues[2]:,}" if wanted.issues[2] < MOST_RUNS else "many more"
        reasons.append(f"{wanted.issues[1]:,} to {most} by that interval")
    if wanted.blocked:
        reasons.insert(0, f"blocked: {'; '.join(wanted.blocked)}")
        return Finding(
            Kind.BLOCKED, "fill", f"change the policy first, then {wanted.words}", "; ".join(reasons)
        )
    if wanted.risk is not None:
        reasons.append(
            f"{count(wanted.ready, 'ready issue')} of that risk now; nothing stands in the way"
            if wanted.ready
            else "nothing of that risk is ready"
        )
    return Finding(Kind.OUT, "fill", wanted.words, "; ".join(reasons) or "no run of 8 weeks ended there")


def _stop(lane: LaneAnswer, seen: Sequence[AuditRun]) -> str:
    """What most of the runs of an overfull lane were."""
    risks = Counter(kind_of(run)[0] for run in seen if run.lane == lane.key)
    total = sum(risks.values()) or 1
    chosen = [risk for risk in RISKS if risks[risk] / total >= 0.25]
    low, high = (100 * points for points in lane.over_by)
    shares = listing(f"{risk} {percent(risks[risk] / total)}" for risk in chosen)
    named = " and ".join(chosen) or "any"
    return (
        f"stop adding issues with dk_risk {named} for now "
        f"(lane {lane.key} ({lane.name}) over by {low:.0f}–{high:.0f} %; {shares} of it)"
    )
