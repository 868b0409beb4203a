"""The grid swarm × candidates × minutes by risk and size: what is there, thin or impossible. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product

from collectord.audit.backlog_records import RISKS, SIZES
from collectord.audit.facts import Action, AuditFacts, AuditRun
from collectord.audit.findings import LANES, SERIAL, SPECULATE, THIN_BELOW, WANTED_MINUTES, Finding, Kind
from collectord.audit.layout import count, listing
from collectord.audit.reachability import DEFAULT_RISK, DEFAULT_SIZE, Reach
from collectord.cyntra.planner_input import MINUTES_BINS


class State(StrEnum):
    """How well a cell is filled; `unknown` is an empty one where the policy cannot be read."""

    UNREACHABLE = "unreachable"
    EMPTY = "empty"
    THIN = "thin"
    ENOUGH = "enough"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Cell:
    """One action for one risk and size; `why` says what stands in the way of an unreachable one."""

    action: Action
    risk: str
    size: str
    rows: int
    state: State
    why: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One action over all risks and sizes."""

    action: Action
    rows: int
    state: State
    why: str
    by_risk: dict[str, int]
    by_size: dict[str, int]


@dataclass(frozen=True, slots=True)
class Coverage:
    """The answer; `outside` are labelled runs whose action is none of the grid's."""

    thin_below: int
    grid: tuple[Row, ...]
    cells: tuple[Cell, ...]
    states: dict[str, int]
    outside: int
    findings: tuple[Finding, ...]


def actions_of_grid() -> tuple[Action, ...]:
    """The three lanes with each minute bin."""
    widths = ((SERIAL, 1), (SPECULATE, 2), (SPECULATE, 3))
    return tuple(Action(*width, minutes) for width in widths for minutes in MINUTES_BINS)


def coverage(facts: AuditFacts, reach: Reach | None) -> Coverage:
    """Every cell with its rows and state; without a readable policy nothing is called unreachable."""
    labelled = [run for run in facts.runs if run.label]
    grid = actions_of_grid()
    counts = Counter((run.label, *kind_of(run)) for run in labelled)
    cells = tuple(_cells(grid, counts, reach))
    rows = tuple(_row(action, [c for c in cells if c.action == action], reach) for action in grid)
    states = Counter(cell.state.value for cell in cells)
    return Coverage(
        thin_below=THIN_BELOW,
        grid=rows,
        cells=cells,
        states={state.value: states[state.value] for state in State},
        outside=sum(run.label not in grid for run in labelled),
        findings=tuple(_findings(rows, cells, reach, facts.policy_unknown)),
    )


def kind_of(run: AuditRun) -> tuple[str, str]:
    """Risk and size of a run as the kernel routes it: unknown values count as its defaults."""
    risk, size = run.told.risk, run.told.size
    return risk if risk in RISKS else DEFAULT_RISK, size if size in SIZES else DEFAULT_SIZE


def _cells(
    grid: Sequence[Action], counts: Counter[tuple[Action | None, str, str]], reach: Reach | None
) -> Iterator[Cell]:
    for action, risk, size in product(grid, RISKS, SIZES):
        rows = counts[action, risk, size]
        can = None if reach is None else action in reach.by_kind[risk, size]
        state = _state(rows, can, THIN_BELOW)
        why = reach.why_not(action, risk, size) if reach and state is State.UNREACHABLE else ""
        yield Cell(action, risk, size, rows, state, why)


def _state(rows: int, can: bool | None, thin_below: int) -> State:
    """What is there counts as it is, also where the policy of today no longer leads to it."""
    if rows:
        return State.ENOUGH if rows >= thin_below else State.THIN
    if can is None:
        return State.UNKNOWN
    return State.EMPTY if can else State.UNREACHABLE


def _row(action: Action, cells: Sequence[Cell], reach: Reach | None) -> Row:
    by_risk = {risk: sum(c.rows for c in cells if c.risk == risk) for risk in RISKS}
    by_size = {size: sum(c.rows for c in cells if c.size == size) for size in SIZES}
    rows = sum(by_risk.values())
    can = None if reach is None else action in reach.actions
    state = _state(rows, can, THIN_BELOW)
    why = reach.why_not(action) if reach and can is False else ""
    return Row(action, rows, state, why, by_risk, by_size)


def _findings(
    rows: Sequence[Row], cells: Sequence[Cell], reach: Reach | None, unknown: str | None
) -> Iterator[Finding]:
    if reach is None:
        why = unknown or "the policy was not read"
        do = "make the policy readable: without it nobody can tell what the backlog can still fill"
        yield Finding(Kind.COLLECTION, "coverage", do, why)
        return
    for lane in LANES:
        of_lane = [row for row in rows if row.action.lane == lane.key]
        if not any(row.action in reach.actions for row in of_lane):
            do = f"change the policy before adding issues for lane {lane.key} ({lane.name})"
            yield Finding(Kind.BLOCKED, "coverage", do, f"no issue can get it: {_why_lane(of_lane)}")
    for minutes in WANTED_MINUTES:
        if not any(action.minutes == minutes for action in reach.actions):
            offered = listing(sorted({f"{a.minutes} min" for a in reach.actions}))
            do = f"give some toolchain a timeout of about {minutes} minutes"
            why = f"no toolchain with {minutes} minutes is in use: there is {offered}"
            yield Finding(Kind.BLOCKED, "coverage", do, why)
    yield from _thin(cells)


def _why_lane(rows: Sequence[Row]) -> str:
    return next((row.why for row in rows if row.why), "no rule leads there")


def _thin(cells: Sequence[Cell]) -> Iterator[Finding]:
    empty = [cell for cell in cells if cell.state is State.EMPTY]
    thin = [cell for cell in cells if cell.state is State.THIN]
    if not empty and not thin:
        return
    shown = listing((f"{c.action.words} for {c.risk}/{c.size}" for c in empty or thin), 2)
    why = f"{count(len(empty), 'reachable cell')} empty, {len(thin)} thin (under {THIN_BELOW} rows): {shown}"
    yield Finding(Kind.NOTE, "coverage", "vary risk and size where cells are empty or thin", why)
