"""A two-sample test by permutation of whole blocks. Pure: its dice are thrown from the data themselves.

The rows of an issue hang together: they share its risk and size, and so mostly its label and its outcome.
Counted one by one they would look like more evidence than they are. So the rows of an issue on one side
are one block, and blocks change sides only with blocks of their own size: the numbers of rows on both
sides stay what they were, and under no drift every such exchange is as likely as what was seen.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

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
