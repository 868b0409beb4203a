"""The backlog as it is: ready issues, the labels that the policy would give them, and the pressure. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from collectord.audit.coverage import DEFAULT_RISK, Player, facts_of
from collectord.audit.facts import RISKS, AuditFacts, BacklogIssue, is_ready
from collectord.audit.findings import CONCURRENT_RANGE, LANES, OTHER_LANE, READY_RANGE, Finding, Kind
from collectord.audit.layout import count, listing, percent, span
from collectord.kernel.values import capped


@dataclass(frozen=True, slots=True)
class Backlog:
    """The answer; `lanes` are shares of ready issues, None where no issue is ready or no policy can be read.

    `undispatchable` are ready issues that no enabled toolchain takes. `slow_patterns` of routing rules took
    too long and count as matching nothing.
    """

    issues: int
    ready: int
    ready_by_risk: dict[str, int]
    held_back: dict[str, int]
    lanes: dict[str, float] | None
    labels: dict[str, int]
    undispatchable: tuple[str, ...]
    concurrent: int | None
    pressure: str
    slow_patterns: tuple[str, ...]
    findings: tuple[Finding, ...]


def backlog(facts: AuditFacts, play: Player | None, given_up: Collection[str] = ()) -> Backlog:
    """What is ready now, and the labels that the policy would give it; `given_up` can grow meanwhile."""
    ready = [issue for issue in facts.backlog if is_ready(issue)]
    labels, undispatchable = _labels(ready, play) if play else (Counter(), ())
    shares = _shares(ready, play) if play and ready else None
    risks = Counter(issue.risk or DEFAULT_RISK for issue in ready)
    slow = tuple(capped(pattern, 80) for pattern in given_up)
    return Backlog(
        issues=len(facts.backlog),
        ready=len(ready),
        ready_by_risk={risk: risks[risk] for risk in RISKS},
        held_back=_held_back(facts.backlog),
        lanes=shares,
        labels=dict(labels.most_common()),
        undispatchable=undispatchable,
        concurrent=facts.concurrent,
        pressure=_pressure(len(ready), facts.concurrent),
        slow_patterns=slow,
        findings=(*map(_slow, slow), *_findings(facts, ready, shares, undispatchable)),
    )


def _slow(pattern: str) -> Finding:
    do = f"rewrite the pattern {pattern} of a routing rule: matching it takes too long"
    why = "it was given up and counted as matching nothing here; a kernel has no such limit and would hang"
    return Finding(Kind.BLOCKED, "backlog", do, why)


def _labels(ready: Sequence[BacklogIssue], play: Player) -> tuple[Counter[str], tuple[str, ...]]:
    labels: Counter[str] = Counter()
    undispatchable = []
    for issue in ready:
        played = play(facts_of(issue))
        if played.actions:
            labels[" or ".join(action.words for action in played.actions)] += 1
        else:
            undispatchable.append(issue.issue_id)
    return labels, tuple(undispatchable)


def _shares(ready: Sequence[BacklogIssue], play: Player) -> dict[str, float]:
    lanes: Counter[str] = Counter()
    for issue in ready:
        actions = play(facts_of(issue)).actions
        if actions:
            lanes[actions[0].lane] += 1
    total = sum(lanes.values()) or 1
    return {key: lanes[key] / total for key in (*(lane.key for lane in LANES), OTHER_LANE)}


def _held_back(issues: Sequence[BacklogIssue]) -> dict[str, int]:
    """Open or ready issues that are not ready after all, by the first reason."""
    reasons: Counter[str] = Counter()
    for issue in issues:
        if issue.status not in ("open", "ready") or is_ready(issue):
            continue
        if issue.blocked_by:
            reasons["blocked by an open issue"] += 1
        else:
            reasons["escalated" if issue.escalated else "no attempts left"] += 1
    return dict(sorted(reasons.items()))


def _pressure(ready: int, concurrent: int | None) -> str:
    low, high = READY_RANGE
    where = "as wanted" if low <= ready <= high else "too few" if ready < low else "too many"
    said = f"{count(ready, 'issue')} ready, {where} ({low}–{high})"
    if concurrent is None:
        return said
    least, most = CONCURRENT_RANGE
    fits = "as wanted" if least <= concurrent <= most else "too few" if concurrent < least else "too many"
    return f"{said}; the kernel runs {concurrent} at once, {fits} ({least}–{most})"


def _findings(
    facts: AuditFacts,
    ready: Sequence[BacklogIssue],
    shares: Mapping[str, float] | None,
    undispatchable: Sequence[str],
) -> Iterator[Finding]:
    low, high = READY_RANGE
    if facts.backlog and len(ready) < low:
        left = "few issues" if ready else "nothing"
        do = f"make {count(low - len(ready), 'more issue')} ready: the kernel has {left} to choose from"
        yield Finding(Kind.PRESSURE, "backlog", do, _pressure(len(ready), facts.concurrent))
    if len(ready) > high:
        do = f"hold {len(ready) - high} issues back: with this many the oldest are boosted and labels shift"
        yield Finding(Kind.PRESSURE, "backlog", do, _pressure(len(ready), facts.concurrent))
    least, most = CONCURRENT_RANGE
    if facts.concurrent is not None and not least <= facts.concurrent <= most:
        do = f"set scheduling.max_concurrent_workcells to {least}–{most}"
        yield Finding(Kind.PRESSURE, "backlog", do, _pressure(len(ready), facts.concurrent))
    if undispatchable:
        do = f"see to the toolchains of {listing(undispatchable)}: no toolchain that is on takes them"
        yield Finding(
            Kind.BLOCKED,
            "backlog",
            do,
            count(len(undispatchable), "ready issue") + " would not be dispatched",
        )
    yield from _mix(shares, len(ready))


def _mix(shares: Mapping[str, float] | None, ready: int) -> Iterator[Finding]:
    if not shares or ready < READY_RANGE[0]:
        return
    for lane in LANES:
        share = shares[lane.key]
        if not lane.low <= share <= lane.high:
            way = "add to" if share < lane.low else "thin out"
            do = f"{way} what leads to lane {lane.key} ({lane.name}) in the backlog"
            why = f"the ready issues would give it {percent(share)}, {span(lane.low, lane.high)} is wanted"
            yield Finding(Kind.NOTE, "backlog", do, why)
