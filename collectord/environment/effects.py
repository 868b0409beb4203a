"""What a change does to the actions of a policy, told compactly: `critical issues: speculate_vote×3 → ×2`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from collectord.cyntra.policy import Action, Surface
from collectord.environment.grid import RISKS, SIZES, Circumstance, Grid

SWARM, CANDIDATES, MINUTES, OUTCOME = "swarm", "candidates", "minutes", "outcome"
PARTS = (SWARM, CANDIDATES, MINUTES, OUTCOME)
# Only these decide actions.
PLAYED = ("routing", "speculation", "control", "toolchains")
_MAX_GROUPS = 8


@dataclass(frozen=True)
class Effects:
    """Which parts of a label move for some issue, in the order of PARTS, and for which issues how."""

    moves: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


def effects(grid: Grid, before: Surface, after: Surface) -> Effects:
    """Both environments played over the grid and compared."""
    if all(before.components[name] == after.components[name] for name in PLAYED):
        return Effects()
    old, new = grid.play(before), grid.play(after)
    told = {cell: words for cell, action in old.items() if (words := _difference(action, new[cell]))}
    moved = {part for cell in told for part in _moves(old[cell], new[cell])}
    groups: dict[tuple[Circumstance, str], set[tuple[str, str]]] = {}
    for (circumstance, risk, size), words in told.items():
        if all(told.get((simpler, risk, size)) != words for simpler in circumstance.simpler()):
            groups.setdefault((circumstance, words), set()).update(
                product(grid.risks[risk], grid.sizes[size])
            )
    return Effects(tuple(part for part in PARTS if part in moved), _lines(groups))


def _moves(before: Action, after: Action) -> Iterable[str]:
    if before.swarm_id != after.swarm_id:
        yield SWARM
    if before.candidates != after.candidates:
        yield CANDIDATES
    if set(before.timeouts) != set(after.timeouts):
        yield MINUTES
    if (before.toolchains, before.timeouts) != (after.toolchains, after.timeouts):
        yield OUTCOME


def _difference(before: Action, after: Action) -> str:
    """The most telling difference of two actions; empty where there is none."""
    if before.swarm_id != after.swarm_id:
        return f"{_width(before)} → {_width(after)}"
    if before.candidates != after.candidates:
        return f"{_width(before)} → ×{after.candidates}"
    toolchains = [] if before.toolchains == after.toolchains else [f"{_names(before)} → {_names(after)}"]
    minutes = [] if set(before.timeouts) == set(after.timeouts) else [f"{_span(before)} → {_span(after)} min"]
    return ", ".join([*toolchains, *minutes])


def _width(action: Action) -> str:
    return (
        action.swarm_id if action.swarm_id == "serial_handoff" else f"{action.swarm_id}×{action.candidates}"
    )


def _names(action: Action) -> str:
    return "+".join(action.toolchains) or "nothing"


def _span(action: Action) -> str:
    minutes = sorted({timeout / 60 for timeout in action.timeouts})
    return "–".join(f"{value:g}" for value in (minutes[:1] + minutes[-1:] if len(minutes) > 1 else minutes))


def _lines(groups: dict[tuple[Circumstance, str], set[tuple[str, str]]]) -> tuple[str, ...]:
    """One line for each circumstance and effect, hints with the same line together."""
    hints: dict[tuple[str, str, str], list[str]] = {}
    for (circumstance, words), cells in groups.items():
        key = _cells(cells), _rest(circumstance), words
        hints.setdefault(key, []).extend([circumstance.hint] if circumstance.hint else [])
    lines = [
        " ".join(filter(None, [cells, f"hinted {'/'.join(named)}" if named else "", rest])) + f": {words}"
        for (cells, rest, words), named in hints.items()
    ]
    more = len(lines) - _MAX_GROUPS
    return (*lines[:_MAX_GROUPS], *([f"and {more} more"] if more > 0 else []))


def _rest(circumstance: Circumstance) -> str:
    path = "on the critical path" if circumstance.critical_path else ""
    return " ".join(
        filter(None, [circumstance.kind.words, path, "with dk_speculate" if circumstance.asks else ""])
    )


def _cells(cells: set[tuple[str, str]]) -> str:
    """A set of (risk, size) in words: `all issues`, `critical issues`, `low XS–S`."""
    by_sizes: dict[tuple[str, ...], list[str]] = {}
    for risk in RISKS:
        sizes = tuple(size for size in SIZES if (risk, size) in cells)
        if sizes:
            by_sizes.setdefault(sizes, []).append(risk)
    return ", ".join(_box(risks, sizes) for sizes, risks in by_sizes.items())


def _box(risks: Sequence[str], sizes: Sequence[str]) -> str:
    some_risks = "" if len(risks) == len(RISKS) else _ranges(risks, RISKS)
    some_sizes = "" if len(sizes) == len(SIZES) else _ranges(sizes, SIZES)
    if some_risks and some_sizes:
        return f"{some_risks} {some_sizes}"
    return f"{some_risks or some_sizes or 'all'} issues"


def _ranges(chosen: Sequence[str], scale: Sequence[str]) -> str:
    """Neighbours on a scale as a range: `XS–M`, `low/high`."""
    runs: list[list[str]] = []
    for value in scale:
        if value not in chosen:
            continue
        if runs and scale.index(runs[-1][-1]) + 1 == scale.index(value):
            runs[-1].append(value)
        else:
            runs.append([value])
    return "/".join(run[0] if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)
