"""Which phase the collection is in, when the next one begins, and what a model must beat. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import log2

from collectord.audit.facts import AuditFacts, AuditRun, is_ready
from collectord.audit.findings import DAY_MS, LAST_PHASE, PHASES, WEEK_MS, Finding, Kind
from collectord.audit.layout import count, day, listing, percent

_RATE_WEEKS = 4
_LEAST_DAYS = 3
_MOST_ISSUES = 50
_CONSISTENT = 0.9


@dataclass(frozen=True, slots=True)
class BestOf:
    """An issue with several runs and at least one pass: material for best-of-K."""

    issue_id: str
    candidates: int
    passed: int


@dataclass(frozen=True, slots=True)
class Phase:
    """The answer; `next_ms` is None where there is no next phase, or for the reason in `undated`."""

    phase: int
    name: str
    archives: int
    labelled: int
    consistent_share: float
    meaningful_gates: bool
    rate_a_week: float
    next_phase: int | None
    next_at: int | None
    next_ms: int | None
    undated: str | None
    best_of: tuple[BestOf, ...]
    best_of_total: int
    label_entropy_bits: float
    majority_label: str | None
    majority_share: float
    words: str
    findings: tuple[Finding, ...]


def phase(facts: AuditFacts) -> Phase:
    """Where the collection stands."""
    labelled = [run for run in facts.runs if run.label]
    whole = sum(run.has_proof and run.recorded.has_manifest for run in facts.runs)
    consistent = whole / (len(facts.runs) or 1)
    meaningful = any(_has_real_gate(run) for run in facts.runs[-100:])
    number, name, next_phase, next_at = _place(len(labelled))
    rate = _rate(labelled, facts.now_ms)
    undated = _undated(facts, labelled, rate) if next_at is not None else None
    next_ms = None if undated else _when(facts.now_ms, next_at, len(labelled), rate)
    best = sorted(_best_of(facts.runs), key=lambda one: (-one.candidates, one.issue_id))
    labels = Counter(run.label.words for run in labelled if run.label)
    majority, top = labels.most_common(1)[0] if labels else (None, 0)
    return Phase(
        phase=number,
        name=name,
        archives=len(facts.runs),
        labelled=len(labelled),
        consistent_share=consistent,
        meaningful_gates=meaningful,
        rate_a_week=rate,
        next_phase=next_phase,
        next_at=next_at,
        next_ms=next_ms,
        undated=undated,
        best_of=tuple(best[:_MOST_ISSUES]),
        best_of_total=len(best),
        label_entropy_bits=entropy(labels.values()),
        majority_label=majority,
        majority_share=top / (len(labelled) or 1),
        words=_words(number, name, len(labelled), next_phase, next_at, next_ms or undated, rate),
        findings=tuple(_findings(facts.runs, consistent, meaningful)),
    )


def _place(rows: int) -> tuple[int, str, int | None, int | None]:
    """(phase, what it is for, the next one, the rows it begins at)."""
    reached = [entry for entry in PHASES if rows >= entry[2]]
    if not reached:
        return 0, PHASES[0][1], 0, PHASES[0][2]
    number, name, _, _ = reached[-1]
    later = [entry for entry in PHASES if entry[0] > number]
    return (number, name, later[0][0], later[0][2]) if later else (number, name, None, None)


def _rate(labelled: Sequence[AuditRun], now_ms: int) -> float:
    """Labelled runs a week over the last four, or over all of a younger collection."""
    if not labelled:
        return 0.0
    weeks = min(_RATE_WEEKS, max(1.0, (now_ms - labelled[0].started_ms) / WEEK_MS))
    return sum(run.started_ms >= now_ms - weeks * WEEK_MS for run in labelled) / weeks


def _undated(facts: AuditFacts, labelled: Sequence[AuditRun], rate: float) -> str | None:
    """Why nobody can say when the next phase begins; None where the pace of the last weeks says it."""
    if rate <= 0:
        return "no run came in the last four weeks"
    if facts.backlog and not any(map(is_ready, facts.backlog)):
        return "nothing is ready to run"
    days = {
        run.started_ms // DAY_MS for run in labelled if run.started_ms >= facts.now_ms - _RATE_WEEKS * WEEK_MS
    }
    return f"all runs of four weeks are of {count(len(days), 'day')}" if len(days) < _LEAST_DAYS else None


def _when(now_ms: int, next_at: int | None, rows: int, rate: float) -> int | None:
    if next_at is None or rate <= 0:
        return None
    return now_ms + round((next_at - rows) / rate * WEEK_MS)


def entropy(counts: Iterable[int]) -> float:
    """Bits of a distribution; 0 where there is one label or none."""
    numbers = [n for n in counts if n]
    total = sum(numbers)
    return -sum(n / total * log2(n / total) for n in numbers) + 0.0 if total else 0.0


def _has_real_gate(run: AuditRun) -> bool:
    return run.recorded.gates > len(run.recorded.empty_gates)


def _best_of(runs: Sequence[AuditRun]) -> Iterator[BestOf]:
    found: dict[str, list[AuditRun]] = {}
    for run in runs:
        if run.issue_id:
            found.setdefault(run.issue_id, []).append(run)
    for issue, some in found.items():
        passed = sum(run.status == "success" for run in some)
        if len(some) > 1 and passed:
            yield BestOf(issue, len(some), passed)


def _words(
    number: int, name: str, rows: int, later: int | None, at: int | None, when: int | str | None, rate: float
) -> str:
    said = f"phase {number} of {LAST_PHASE} ({name}): {count(rows, 'labelled run')}"
    if later is None or at is None:
        return f"{said}; phase 3 is about issues with several candidates and a pass"
    if isinstance(when, int):
        return f"{said}; phase {later} begins at {at:,}: about {day(when)} at {rate:,.0f} a week"
    return f"{said}; phase {later} begins at {at:,}; no date, as {when}"


def _findings(runs: Sequence[AuditRun], consistent: float, meaningful: bool) -> Iterator[Finding]:
    if not runs:
        return
    if consistent < _CONSISTENT:
        without = [run.name for run in runs if not (run.has_proof and run.recorded.has_manifest)]
        do = "find out why archives come without a proof or a manifest"
        why = f"{percent(consistent)} have both; without: {listing(without[-3:], 3)}"
        yield Finding(Kind.COLLECTION, "phase", do, why)
    if not meaningful:
        gates = sorted({gate for run in runs[-100:] for gate in run.recorded.empty_gates})
        do = "give the gates real commands (`gates` in .cyntra/config.yaml): "
        do += "one that always passes teaches nothing"
        why = f"no gate of the last {count(min(100, len(runs)), 'run')} tests anything"
        why = f"{why}: {listing(gates)}" if gates else why
        yield Finding(Kind.COLLECTION, "phase", do, why + _other_failures(runs[-100:]))


def _other_failures(runs: Sequence[AuditRun]) -> str:
    """How runs failed where no gate tests anything."""
    failed = [run for run in runs if run.status != "success"]
    by_gate = sum(bool(run.recorded.failed_gates) for run in failed)
    return f"; {by_gate or 'none'} of {count(len(failed), 'failure')} was by a gate" if failed else ""
