"""How the collection itself is: what arrived, what did not, how late, how steadily. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil
from statistics import median, quantiles

from collectord.audit.facts import AuditFacts, AuditRun, Epoch, OpenAlert, SnapshotFact
from collectord.audit.findings import (
    BUSIEST_DAY,
    BUSIEST_ISSUE,
    DAY_MS,
    QUEUE_GAP_MS,
    TREND_WEEKS,
    WEEK_MS,
    Finding,
    Kind,
)
from collectord.audit.layout import count, day, listing, percent, week

_SHOWN = 20
_SLOW_S = 3600.0


@dataclass(frozen=True, slots=True)
class Lag:
    """Seconds from the end of a run to its archive being complete here, in the window."""

    runs: int
    median_s: float | None
    p95_s: float | None


@dataclass(frozen=True, slots=True)
class HealthAnswer:
    """The answer; `attention` are archives that are partial or in quarantine.

    `seen` archives were ever there, each under one state. `unseen` are
    workcells that failed in the event log and whose archive never was. `copies` are archives that copy
    another one, with its name.
    """

    seen: int
    archives: dict[str, int]
    attention: tuple[dict[str, str], ...]
    unseen: int
    unseen_names: tuple[str, ...]
    lag: Lag
    by_week: dict[str, int]
    last_ingest_ms: int | None
    epochs: tuple[Epoch, ...]
    alerts: tuple[OpenAlert, ...]
    snapshot: SnapshotFact | None
    time_conflicts: dict[str, int]
    copies: dict[str, str]
    findings: tuple[Finding, ...]


def health(facts: AuditFacts) -> HealthAnswer:
    """What the index knows of its own collection."""
    found = facts.health
    weeks = [week(facts.now_ms - back * WEEK_MS) for back in reversed(range(TREND_WEEKS))]
    counts = dict.fromkeys(weeks, 0)
    for run in facts.runs:
        if (name := week(run.started_ms)) in counts:
            counts[name] += 1
    lag = _lag(facts.recent)
    return HealthAnswer(
        seen=sum(found.archives.values()),
        archives=dict(found.archives),
        attention=tuple({"name": n, "state": s, "reason": r} for n, s, r in found.reasons[:_SHOWN]),
        unseen=len(found.unseen),
        unseen_names=found.unseen[-_SHOWN:],
        lag=lag,
        by_week=counts,
        last_ingest_ms=found.last_ingest_ms,
        epochs=facts.epochs,
        alerts=found.alerts,
        snapshot=found.snapshot,
        time_conflicts=dict(found.time_conflicts),
        copies=dict(found.copies),
        findings=tuple(_arrival_findings(facts, lag)),
    )


def _lag(recent: Sequence[AuditRun]) -> Lag:
    late = [max(0, r.seen_ms - r.finished_ms) / 1000 for r in recent if r.finished_ms is not None]
    if not late:
        return Lag(0, None, None)
    return Lag(len(late), median(late), quantiles(late, n=20)[-1] if len(late) > 1 else late[0])


def _arrival_findings(facts: AuditFacts, lag: Lag) -> Iterator[Finding]:
    found = facts.health
    for state in ("quarantined", "partial"):
        names = [name for name, of, _ in found.reasons if of == state]
        if names:
            reason = next(r for _, of, r in found.reasons if of == state)
            do = f"see to what is {state}: `collectord explain {names[0]}`"
            why = f"{count(len(names), 'archive')}: {listing(names, 3)} ({reason})"
            yield Finding(Kind.COLLECTION if state == "quarantined" else Kind.NOTE, "health", do, why)
    for file, lines in found.lines_dropped.items():
        if lines:
            do = f"mend {file}: what stands there is no issue or edge that a kernel reads"
            why = f"{count(len(lines), 'line')}: {listing(lines)}"
            yield Finding(Kind.COLLECTION, "health", do, why)
    if found.copies:
        do = "leave the copies or remove them: each run counts once"
        named = listing((f"{name} is {original}" for name, original in found.copies.items()), 3)
        copies = f"{len(found.copies):,} copies" if len(found.copies) > 1 else "1 copy"
        yield Finding(Kind.NOTE, "health", do, f"{copies} left out: {named}")
    if found.unseen:
        do = "keep the daemon running: archives went away before they were read"
        why = f"{count(len(found.unseen), 'workcell')} failed by the event log and left no archive here: "
        why += f"{listing(found.unseen[-3:], 3)}; losers of speculation are among them"
        yield Finding(Kind.NOTE, "health", do, why)
    if lag.median_s is not None and lag.median_s > _SLOW_S:
        do = "run `collectord ingest` more often, or the daemon: what is pruned before it is read is lost"
        why = f"half of the archives of {facts.window_words} came more than {lag.median_s / 3600:.1f} h late"
        yield Finding(Kind.COLLECTION, "health", do, why)
    if found.time_conflicts:
        do = "see to the clock of the kernel's machine, or to times without a zone"
        why = listing(f"{how}: {count(number, 'run')}" for how, number in found.time_conflicts.items())
        yield Finding(Kind.NOTE, "health", do, f"{why}; rebuilt histories may miss these runs")
    yield from _alerts(found.alerts)
    yield from _snapshot(found.snapshot)


def _alerts(alerts: Sequence[OpenAlert]) -> Iterator[Finding]:
    """One finding an event, however many alerts it has."""
    for event in dict.fromkeys(alert.event for alert in alerts):
        of_it = [alert for alert in alerts if alert.event == event]
        kind = Kind.CONFLICT if event.startswith("labels.") else Kind.COLLECTION
        do = f"see to {count(len(of_it), 'open alert')} {event}: `collectord drift list`"
        more = f" and {len(of_it) - 1:,} more" if len(of_it) > 1 else ""
        since = min(alert.opened_ms for alert in of_it)
        yield Finding(kind, "health", do, f"since {day(since)}: {of_it[0].words}{more}")


def _snapshot(snapshot: SnapshotFact | None) -> Iterator[Finding]:
    if snapshot is None:
        do = "publish a dataset: `collectord export`"
        yield Finding(Kind.NOTE, "health", do, "there is none yet")
    elif snapshot.rebuilt is False:
        do = f"find out why {snapshot.path} cannot be made again before training on it"
        why = listing(snapshot.findings, 3) or "its rows come out otherwise"
        yield Finding(Kind.COLLECTION, "health", do, why)
    elif not snapshot.exists:
        do = "publish the dataset again: `collectord export`"
        yield Finding(Kind.COLLECTION, "health", do, f"{snapshot.path} is no longer there")


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
    return replace(answer, findings=tuple(_steadiness_findings(answer)))


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


def _steadiness_findings(found: Steadiness) -> Iterator[Finding]:
    crowded = found.runs >= _LEAST_RUNS and found.busiest_day_share > BUSIEST_DAY and found.days > 1
    if crowded or found.gaps:
        yield _unsteady(found, crowded=crowded)
    if found.runs >= _LEAST_RUNS and found.busiest_issue_share > BUSIEST_ISSUE:
        do = f"stop running issue {found.busiest_issue} again and again: its runs say one thing many times"
        why = f"{percent(found.busiest_issue_share)} of {count(found.runs, 'run')} are of this one issue"
        yield Finding(Kind.UNSTEADY, "steadiness", do, why)


def _unsteady(found: Steadiness, *, crowded: bool) -> Finding:
    """One finding, as runs on one day and days without any are two sides of one thing."""
    jobs = (["spread the runs over the week"] if crowded else []) + (
        ["keep the queue filled"] if found.gaps else []
    )
    said = []
    if crowded:
        whole = found.busiest_day_share == 1
        share = (
            f"all {found.runs:,} runs"
            if whole
            else f"{percent(found.busiest_day_share)} of {found.runs:,} runs"
        )
        said.append(f"{share} are of {found.busiest_day}, {found.active_days} of {found.days} days had any")
    if found.gaps:
        longest = max(found.gaps, key=lambda gap: gap.hours)
        gaps = f"{count(len(found.gaps), 'gap')} of more than a day without a dispatch"
        said.append(f"{gaps}, the longest {_length(longest.hours)} from {day(longest.from_ms)}")
    return Finding(Kind.UNSTEADY, "steadiness", " and ".join(jobs), "; ".join(said))
