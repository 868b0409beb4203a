"""Whether outcomes or labels of the window differ from the epoch so far. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from collectord.audit.facts import Action, AuditFacts, AuditRun
from collectord.audit.findings import Finding, Kind
from collectord.audit.formatting import percent
from collectord.audit.permutation_test import Row, Sides, holm, shifts, sides
from collectord.audit.thresholds import AUDITS_A_YEAR, DRIFT_P, DRIFT_SHIFT, EFFECTIVE_ROWS, LANES

STATISTICS = ("success", *(f"lane {lane.key}" for lane in LANES), "60 minutes")


@dataclass(frozen=True, slots=True)
class Tested:
    """One statistic: shares before and in the window, and the p-value adjusted over the family."""

    what: str
    before: float
    recent: float
    p: float
    drifted: bool


@dataclass(frozen=True, slots=True)
class Drift:
    """The answer; `verdict` is `drift`, `none` or `insufficient`."""

    verdict: str
    sides: Sides
    tested: tuple[Tested, ...]
    false_alarms_a_year: float
    words: str
    findings: tuple[Finding, ...]


def drift(facts: AuditFacts) -> Drift:
    """The window against what came before it in its epoch."""
    recent = [run for run in facts.recent if run.label]
    epoch = recent[-1].epoch if recent else 0
    start_ms = facts.window_start_ms
    rows = [_row(run, run.label, start_ms) for run in facts.runs if run.label and run.epoch == epoch]
    counted = sides(rows)
    promise = AUDITS_A_YEAR * DRIFT_P
    if min(counted.effective_before, counted.effective_recent) < EFFECTIVE_ROWS:
        return Drift("insufficient", counted, (), promise, _insufficient(counted), ())
    tested = tuple(_tested(rows))
    moved = [one for one in tested if one.drifted]
    words = "; ".join(_words(one) for one in moved) or "no shift of 10 points or more beyond chance"
    findings = tuple(_finding(one, promise) for one in moved)
    return Drift("drift" if moved else "none", counted, tested, promise, words, findings)


def _row(run: AuditRun, label: Action, start_ms: int) -> Row:
    return Row(run.block, run.started_ms >= start_ms, (run.status == "success", *_of_label(label)))


@lru_cache(maxsize=4096)
def _of_label(label: Action) -> tuple[bool, ...]:
    lane = label.lane
    return (*(lane == one.key for one in LANES), label.minutes == 60)


def _tested(rows: Sequence[Row]) -> Iterator[Tested]:
    found = shifts(rows)
    for what, shift, p in zip(STATISTICS, found, holm([s.p for s in found]), strict=True):
        large = abs(shift.recent - shift.before) >= DRIFT_SHIFT
        yield Tested(what, shift.before, shift.recent, p, large and p < DRIFT_P)


def _insufficient(counted: Sides) -> str:
    return (
        f"insufficient: {counted.effective_recent:.0f} effective rows in the window and "
        f"{counted.effective_before:.0f} before it in the epoch, {EFFECTIVE_ROWS} of each wanted"
    )


def _words(one: Tested) -> str:
    return f"{one.what} went from {percent(one.before)} to {percent(one.recent)} (p = {one.p:.4f})"


def _finding(one: Tested, promise: float) -> Finding:
    if one.what == "success":
        do = "find out what changed for the runs of this week before training on them"
    else:
        do = f"check whether the change of {one.what} was meant; if so, cut an epoch"
    why = f"{_words(one)}; {promise:.1f} false alarms a year are expected at most"
    return Finding(Kind.DRIFT, "drift", do, why)
