"""How runs end, and which failures are the environment's and not the task's. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from collectord.audit.facts import AuditFacts, AuditRun
from collectord.audit.findings import DAY_MS, TREND_WEEKS, WEEK_MS, Finding, Kind
from collectord.audit.layout import Interval, count, day, listing, percent, week, wilson

_MOST_GROUPS = 12
_SHOWN = 10
# A wave: more than chance failures of one cause, together, and a real part of what failed.
_WAVE_RUNS = 3
_WAVE_SHARE = 0.2
# Successes with an empty diff: from this share on a success says nothing.
MOSTLY_EMPTY = 0.5


@dataclass(frozen=True, slots=True)
class Group:
    """Runs that have something in common; `success_share` with its interval."""

    name: str
    runs: int
    success: int
    failed: int
    timeout: int
    environment: int
    success_share: Interval


@dataclass(frozen=True, slots=True)
class CauseAnswer:
    """Failures of one environment reason in the window; `evidence` is one capped line of untrusted text."""

    cause: str
    runs: int
    first_ms: int
    last_ms: int
    evidence: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """The answer: groups over all runs, causes and empty successes over the window."""

    overall: Group
    window: Group
    by: dict[str, tuple[Group, ...]]
    lanes_by_week: tuple[dict[str, object], ...]
    causes: tuple[CauseAnswer, ...]
    empty_successes: int
    empty_success_names: tuple[str, ...]
    gates: dict[str, int]
    findings: tuple[Finding, ...]


_BY: tuple[tuple[str, Callable[[AuditRun], str]], ...] = (
    ("lane", lambda run: run.lane or "no plan"),
    ("toolchain", lambda run: run.toolchain or "unknown"),
    ("model", lambda run: run.model or "unknown"),
    ("genome", lambda run: run.genome or "none"),
)


def outcomes(facts: AuditFacts) -> Outcomes:
    """Counts, shares and what stands out."""
    recent = facts.recent
    causes = tuple(_causes(recent))
    empty = [run.name for run in recent if run.status == "success" and run.recorded.diff_lines == 0]
    gates = Counter(gate for run in recent for gate in run.recorded.failed_gates)
    by = {name: _groups(facts.runs, key) for name, key in _BY}
    return Outcomes(
        overall=_group("all", facts.runs),
        window=_group(facts.window_words, recent),
        by={**by, "week": _weeks(facts)},
        lanes_by_week=tuple(_lanes_by_week(facts)),
        causes=causes,
        empty_successes=len(empty),
        empty_success_names=tuple(empty[:_SHOWN]),
        gates=dict(gates.most_common(_MOST_GROUPS)),
        findings=tuple(_findings(facts, causes, empty)),
    )


def _groups(runs: Iterable[AuditRun], key: Callable[[AuditRun], str]) -> tuple[Group, ...]:
    """The largest groups, the rest as one."""
    found: dict[str, list[AuditRun]] = {}
    for run in runs:
        found.setdefault(key(run), []).append(run)
    order = sorted(found, key=lambda name: (-len(found[name]), name))
    groups = [_group(name, found[name]) for name in order[:_MOST_GROUPS]]
    rest = [run for name in order[_MOST_GROUPS:] for run in found[name]]
    return (*groups, _group(f"{len(order) - _MOST_GROUPS} others", rest)) if rest else tuple(groups)


def _group(name: str, runs: Sequence[AuditRun]) -> Group:
    ends = Counter(run.status for run in runs)
    outside = sum(is_environment(run) for run in runs)
    share = wilson(ends["success"], len(runs))
    return Group(name, len(runs), ends["success"], ends["failed"], ends["timeout"], outside, share)


def is_environment(run: AuditRun) -> bool:
    """Whether a run failed for a reason outside of its task."""
    return run.status != "success" and run.recorded.cause is not None


def _of_weeks(facts: AuditFacts) -> list[AuditRun]:
    return [run for run in facts.runs if run.started_ms >= facts.now_ms - TREND_WEEKS * WEEK_MS]


def _weeks(facts: AuditFacts) -> tuple[Group, ...]:
    found: dict[str, list[AuditRun]] = {}
    for run in _of_weeks(facts):
        found.setdefault(week(run.started_ms), []).append(run)
    return tuple(_group(name, runs) for name, runs in sorted(found.items()))


def _lanes_by_week(facts: AuditFacts) -> Iterator[dict[str, object]]:
    found: dict[tuple[str, str], list[AuditRun]] = {}
    for run in _of_weeks(facts):
        if run.lane:
            found.setdefault((week(run.started_ms), run.lane), []).append(run)
    for (name, lane), runs in sorted(found.items()):
        passed = sum(run.status == "success" for run in runs)
        yield {"week": name, "lane": lane, "runs": len(runs), "success_share": passed / len(runs)}


def _causes(recent: Sequence[AuditRun]) -> Iterator[CauseAnswer]:
    found: dict[str, list[AuditRun]] = {}
    for run in recent:
        if is_environment(run):
            found.setdefault(run.recorded.cause or "", []).append(run)
    for cause in sorted(found, key=lambda name: (-len(found[name]), name)):
        runs = found[cause]
        evidence, _ = Counter(run.recorded.evidence or "" for run in runs).most_common(1)[0]
        names = tuple(run.name for run in runs[:_SHOWN])
        yield CauseAnswer(cause, len(runs), runs[0].started_ms, runs[-1].started_ms, evidence, names)


def _findings(facts: AuditFacts, causes: Sequence[CauseAnswer], empty: Sequence[str]) -> Iterator[Finding]:
    failed = sum(run.status != "success" for run in facts.recent)
    for cause in causes:
        wave = cause.runs >= _WAVE_RUNS and cause.runs >= _WAVE_SHARE * failed
        yield _cause_finding(cause, failed, facts.window_words, wave=wave)
    if empty:
        successes = sum(run.status == "success" for run in facts.recent)
        do = "look at successes that changed nothing: they teach that doing nothing passes"
        why = f"{len(empty):,} of {count(successes, 'success')} ({percent(len(empty) / successes)}) have an "
        yield Finding(
            _empty_kind(len(empty) / successes),
            "outcomes",
            do,
            f"{why}empty diff, such as {listing(empty, 1)}",
        )


def _empty_kind(share: float) -> Kind:
    """Where most successes changed nothing the outcome itself is false."""
    if share >= MOSTLY_EMPTY:
        return Kind.COLLECTION
    return Kind.QUALITY if share >= _WAVE_SHARE else Kind.NOTE


def _cause_finding(cause: CauseAnswer, failed: int, window: str, *, wave: bool) -> Finding:
    when = day(cause.first_ms)
    if cause.last_ms - cause.first_ms >= DAY_MS:
        when = f"{when} to {day(cause.last_ms)}"
    why = f"{cause.runs} of {count(failed, 'failure')} of {window}, {when}: {cause.evidence}"
    if wave:
        do = f"mend the machine ({cause.cause}), then leave these runs out of training"
        return Finding(Kind.ENVIRONMENT, "outcomes", do, why)
    return Finding(Kind.NOTE, "outcomes", f"keep an eye on {cause.cause}", why)
