"""Whether runs come steadily: active days, hero days and issues, gaps in the queue. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil

from collectord.audit.facts import AuditFacts, AuditRun
from collectord.audit.findings import BUSIEST_DAY, BUSIEST_ISSUE, DAY_MS, QUEUE_GAP_MS, Finding, Kind
from collectord.audit.layout import count, day, percent

_LEAST_RUNS = 10
_DAYS_FROM_HOURS = 72


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without a dispatch."""

    from_ms: int
    to_ms: int

    @property
    def hours(self) -> float:
        """Its length."""
        return (self.to_ms - self.from_ms) / 3_600_000


@dataclass(frozen=True, slots=True)
class Steadiness:
    """The answer over the window; days are UTC."""

    runs: int
    days: int
    active_days: int
    by_day: dict[str, int]
    busiest_day: str | None
    busiest_day_share: float
    busiest_issue: str | None
    busiest_issue_share: float
    gaps: tuple[Gap, ...]
    findings: tuple[Finding, ...]


def steadiness(facts: AuditFacts) -> Steadiness:
    """How the runs of the window lie in time and among issues."""
    recent = facts.recent
    first = facts.now_ms // DAY_MS - ceil(facts.window_ms / DAY_MS) + 1
    names = [day(number * DAY_MS) for number in range(first, facts.now_ms // DAY_MS + 1)]
    counts = Counter(day(run.started_ms) for run in recent)
    issues = Counter(run.issue_id for run in recent if run.issue_id)
    (top_day, day_runs), (top_issue, issue_runs) = _top(counts), _top(issues)
    total = len(recent) or 1
    # A window that begins within a day touches one more of them.
    by_day = {name: counts[name] for name in dict.fromkeys([*sorted(set(counts) - set(names)), *names])}
    answer = Steadiness(
        runs=len(recent),
        days=len(by_day),
        active_days=len(counts),
        by_day=by_day,
        busiest_day=top_day,
        busiest_day_share=day_runs / total,
        busiest_issue=top_issue,
        busiest_issue_share=issue_runs / total,
        gaps=tuple(_gaps(facts, recent)),
        findings=(),
    )
    return replace(answer, findings=tuple(_findings(answer)))


def _top(counts: Counter[str]) -> tuple[str | None, int]:
    if not counts:
        return None, 0
    name = max(counts, key=lambda key: (counts[key], key))
    return name, counts[name]


def _gaps(facts: AuditFacts, recent: Sequence[AuditRun]) -> Iterator[Gap]:
    """Longer ones than a day, inside the window; what came before the first run of all is none."""
    if not facts.runs:
        return
    start = max(facts.window_start_ms, facts.runs[0].started_ms)
    times = [start, *(run.started_ms for run in recent), facts.now_ms]
    for before, after in pairwise(times):
        if after - before > QUEUE_GAP_MS:
            yield Gap(before, after)


def _length(hours: float) -> str:
    return f"{hours:.0f} h" if hours < _DAYS_FROM_HOURS else f"{hours / 24:.0f} days"


def _findings(found: Steadiness) -> Iterator[Finding]:
    if found.runs >= _LEAST_RUNS and found.busiest_day_share > BUSIEST_DAY and found.days > 1:
        do = "spread the runs over the week: a hero day makes a poor sample"
        why = f"{percent(found.busiest_day_share)} of {count(found.runs, 'run')} on {found.busiest_day}, "
        why += f"{found.active_days} of {found.days} days active"
        yield Finding(Kind.UNSTEADY, "steadiness", do, why)
    if found.runs >= _LEAST_RUNS and found.busiest_issue_share > BUSIEST_ISSUE:
        do = f"stop running issue {found.busiest_issue} again and again: its rows say one thing many times"
        why = f"{percent(found.busiest_issue_share)} of {count(found.runs, 'run')} are of this one issue"
        yield Finding(Kind.UNSTEADY, "steadiness", do, why)
    if found.gaps:
        longest = max(found.gaps, key=lambda gap: gap.hours)
        do = "keep the queue filled"
        why = f"{count(len(found.gaps), 'gap')} of more than a day without a dispatch, "
        why += f"the longest {_length(longest.hours)} from {day(longest.from_ms)}"
        yield Finding(Kind.UNSTEADY, "steadiness", do, why)
