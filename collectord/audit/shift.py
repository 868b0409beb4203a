"""Whether the last weeks are of another kind than those before: a two-sample test by permutation of whole
issues. Pure: its random numbers are seeded by the data.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

from collectord.audit.facts import Action, AuditFacts, AuditRun
from collectord.audit.findings import (
    AUDITS_A_YEAR,
    DRIFT_P,
    DRIFT_SHIFT,
    EFFECTIVE_ROWS,
    LANES,
    Finding,
    Kind,
)
from collectord.audit.layout import percent

MOST_PERMUTATIONS = 4999
# A p-value that is far from small is known well enough after so many (Besag and Clifford 1991).
ENOUGH_EXCEEDANCES = 40
_BITS = 24


@dataclass(frozen=True, slots=True)
class Row:
    """One run in a test: the block it belongs to, its side, and one truth value a statistic."""

    block: Hashable
    recent: bool
    values: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Sides:
    """Rows and effective rows (after Kish, a block's rows counting as one) before and recently."""

    before: int
    recent: int
    effective_before: float
    effective_recent: float


@dataclass(frozen=True, slots=True)
class Shift:
    """One statistic: its share on both sides and the two-sided p-value of the difference."""

    before: float
    recent: float
    p: float


@dataclass(frozen=True, slots=True)
class _Block:
    size: int
    recent: bool
    sums: tuple[int, ...]


def _blocks(rows: Iterable[Row]) -> list[_Block]:
    found: dict[tuple[Hashable, bool], list[tuple[bool, ...]]] = {}
    for row in rows:
        found.setdefault((row.block, row.recent), []).append(row.values)
    return [
        _Block(len(values), recent, tuple(sum(column) for column in zip(*values, strict=True)))
        for (_, recent), values in found.items()
    ]


def sides(rows: Sequence[Row]) -> Sides:
    """How much there is to compare."""
    blocks = _blocks(rows)
    sizes = {side: [block.size for block in blocks if block.recent is side] for side in (False, True)}
    effective = {side: sum(n) ** 2 / (sum(s * s for s in n) or 1) for side, n in sizes.items()}
    return Sides(sum(sizes[False]), sum(sizes[True]), effective[False], effective[True])


def shifts(rows: Sequence[Row]) -> tuple[Shift, ...]:
    """Every statistic's shift between the sides; both must have rows."""
    blocks = _blocks(rows)
    recent, before = ([b for b in blocks if b.recent is side] for side in (True, False))
    n_recent, n_before = (sum(b.size for b in some) for some in (recent, before))
    columns = len(rows[0].values)
    totals = [sum(b.sums[k] for b in blocks) for k in range(columns)]
    seen = [sum(b.sums[k] for b in recent) for k in range(columns)]
    p = _p_values(blocks, seen, totals, n_recent / (n_recent + n_before))
    return tuple(Shift((totals[k] - seen[k]) / n_before, seen[k] / n_recent, p[k]) for k in range(columns))


def _p_values(
    blocks: Sequence[_Block], seen: Sequence[int], totals: Sequence[int], part: float
) -> list[float]:
    """With the rows on each side fixed, the difference of shares goes with the recent sum alone."""
    strata = _strata(blocks)
    dice = random.Random(_seed(blocks))
    far = [abs(s - t * part) - 1e-9 for s, t in zip(seen, totals, strict=True)]
    exceeded, done = [0] * len(seen), 0
    while done < MOST_PERMUTATIONS and min(exceeded) < ENOUGH_EXCEEDANCES:
        done += 1
        drawn = sum(fixed + sum(dice.sample(packed, number)) for packed, number, fixed in strata)
        for k, (total, distance) in enumerate(zip(totals, far, strict=True)):
            value = (drawn >> (k * _BITS)) & ((1 << _BITS) - 1)
            exceeded[k] += abs(value - total * part) >= distance
    return [(found + 1) / (done + 1) for found in exceeded]


def _strata(blocks: Sequence[_Block]) -> list[tuple[list[int], int, int]]:
    """(packed sums of the blocks of one size, how many of them are recent, what is fixed besides).

    The sums of a block are packed into one integer, so that one addition adds them all. Drawing the
    smaller side and taking the rest from the total costs less where the recent side is the larger.
    """
    by_size: dict[int, list[_Block]] = {}
    for block in blocks:
        by_size.setdefault(block.size, []).append(block)
    strata = []
    for _, some in sorted(by_size.items()):
        packed = [_packed(block) for block in some]
        number = sum(block.recent for block in some)
        if 2 * number <= len(packed):
            strata.append((packed, number, 0))
        else:
            strata.append(([-value for value in packed], len(packed) - number, sum(packed)))
    return strata


def _packed(block: _Block) -> int:
    return sum(value << (k * _BITS) for k, value in enumerate(block.sums))


def _seed(blocks: Sequence[_Block]) -> int:
    text = repr([(b.size, b.recent, b.sums) for b in blocks])
    return int.from_bytes(sha256(text.encode("ascii")).digest()[:8], "big")


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Holm's adjusted p-values (Holm 1979): the chance of any false alarm in the family is at most each."""
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return tuple(adjusted)


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
    if not counted.before:
        return "nothing to compare with: every run of this epoch is of the window"
    return (
        f"too few runs to compare: {counted.effective_recent:.0f} of the window tell something of their own, "
        f"and {counted.effective_before:.0f} of the epoch before it; {EFFECTIVE_ROWS} of each are wanted"
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
