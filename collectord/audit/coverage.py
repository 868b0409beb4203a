"""The grid swarm × candidates × minutes by risk and size: what is there, thin or out of reach. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import product
from typing import Any

from collectord.audit.facts import RISKS, SIZES, Action, AuditFacts, AuditRun, BacklogIssue
from collectord.audit.findings import LANES, SERIAL, SPECULATE, THIN_BELOW, WANTED_MINUTES, Finding, Kind
from collectord.audit.layout import count, listing
from collectord.kernel.planner_input import CANDIDATES_BINS, MINUTES_BINS
from collectord.kernel.policy import IssueFacts, Search, Surface, plan_action, search
from collectord.kernel.rows import nearest_bin

DEFAULT_RISK, DEFAULT_SIZE = "medium", "M"
# More kinds of issues than these add nothing: each rule asks for its own.
_MOST_KINDS = 24
_Kind = tuple[tuple[str, ...], str, str]


@dataclass(frozen=True, slots=True)
class Play:
    """What the policy does with one kind of issue: several actions where its toolchains' timeouts differ."""

    actions: tuple[Action, ...]
    rule: int | None
    why: str

    @property
    def words(self) -> str:
        """`rule 2: serial_handoff×1, 60 min`."""
        decided = f"rule {self.rule}" if self.rule is not None else self.why
        return f"{decided}: {' or '.join(action.words for action in self.actions) or 'nothing'}"


Player = Callable[[IssueFacts], Play]


def player_of(surface: Surface, search: Search = search) -> Player:
    """Plays issues by a surface, with `search` for the patterns of its rules."""

    def play(issue: IssueFacts) -> Play:
        planned = plan_action(surface, issue, search=search)
        width = nearest_bin(planned.candidates, CANDIDATES_BINS)
        minutes = dict.fromkeys(nearest_bin(seconds // 60, MINUTES_BINS) for seconds in planned.timeouts)
        actions = tuple(Action(planned.swarm_id, width, m) for m in minutes)
        return Play(actions if planned.candidates else (), planned.rule, planned.why)

    return play


def facts_of(issue: BacklogIssue) -> IssueFacts:
    """What routing sees of a backlog issue; missing fields have the kernel's defaults."""
    return IssueFacts(
        risk=issue.risk or DEFAULT_RISK,
        size=issue.size or DEFAULT_SIZE,
        tool_hint=issue.hint,
        tags=issue.tags,
        title=issue.title,
        description=issue.description,
        speculate=issue.speculate,
        on_critical_path=issue.on_critical_path,
    )


@dataclass(frozen=True)
class Reach:
    """Every action that some issue can get now: by (risk, size), with one play that gives it."""

    by_kind: Mapping[tuple[str, str], Mapping[Action, Play]]
    plain: Mapping[tuple[str, str], Play]
    speculation_off: bool

    @property
    def actions(self) -> dict[Action, Play]:
        """All actions, whatever the risk and size."""
        return {action: play for plays in self.by_kind.values() for action, play in plays.items()}

    def risks_of_lane(self, lane: str) -> tuple[str, ...]:
        """Risks of which some issue gets an action of that lane."""
        found = {risk for (risk, _), plays in self.by_kind.items() if any(a.lane == lane for a in plays)}
        return tuple(risk for risk in RISKS if risk in found)

    def plainly(self, risk: str, lane: str) -> bool:
        """Whether an issue of that risk, with nothing else to it, gets the lane in some size."""
        plays = (self.plain[risk, size] for size in SIZES)
        return any(action.lane == lane for play in plays for action in play.actions)

    def why_not(self, action: Action, risk: str | None = None, size: str | None = None) -> str:
        """Which rule or timeout stands between an issue and an action that it cannot get."""
        everything = self.actions
        swarm = [a for a in everything if a.swarm == action.swarm]
        if not swarm:
            return "speculation is off" if self.speculation_off else f"nothing leads to {action.swarm}"
        width = [a for a in swarm if a.candidates == action.candidates]
        if not width:
            return _no_width(action, {a: everything[a] for a in swarm})
        if action not in everything:
            offered = listing(sorted({f"{a.minutes} min" for a in width}))
            return f"no toolchain has such a time limit; there are {offered}"
        if risk is None or size is None:
            return ""
        return f"{risk}/{size} goes by {self.plain[risk, size].words}"


def _no_width(action: Action, offered: Mapping[Action, Play]) -> str:
    widest = max(offered, key=lambda a: a.candidates if isinstance(a.candidates, int) else 0)
    decided = offered[widest]
    by = f"rule {decided.rule}" if decided.rule is not None else decided.why
    return f"no rule gives parallelism {action.candidates}: the widest is {widest.candidates} ({by})"


def reach_of(surface: Surface, search: Search = search) -> Reach:
    """Play every risk × size × hint × kind of issue that rules ask for, on and off the critical path."""
    play = player_of(surface, _or_stands_for(search))
    hints = (None, *surface.components["toolchains"])
    choices = [
        {"tool_hint": hint, "speculate": asks, "on_critical_path": critical, **kind}
        for hint, kind, asks, critical in product(hints, _kinds(surface), (False, True), (False, True))
    ]
    by_kind: dict[tuple[str, str], dict[Action, Play]] = {}
    plain = {}
    for risk, size in product(RISKS, SIZES):
        plain[risk, size] = play(IssueFacts(risk, size))
        found = by_kind.setdefault((risk, size), {})
        for given in choices:
            played = play(IssueFacts(risk, size, **given))
            for action in played.actions:
                found.setdefault(action, played)
    return Reach(by_kind, plain, not surface.components["speculation"]["enabled"])


def _or_stands_for(search: Search) -> Search:
    """A text that is the pattern itself stands for what that matches: somebody can write such an issue."""

    @cache
    def found(pattern: str, text: str) -> bool:
        return pattern == text or search(pattern, text)

    return found


def _kinds(surface: Surface) -> list[dict[str, Any]]:
    """An issue without anything, and one or more for each rule: its tags, title and description."""
    matches = [rule["match"] for rule in surface.components["routing"]["rules"]]
    kinds = dict.fromkeys(kind for match in matches for kind in _kinds_of(match) if any(kind))
    found: list[_Kind] = [((), "", ""), *kinds]
    return [dict(zip(("tags", "title", "description"), kind, strict=True)) for kind in found[:_MOST_KINDS]]


def _kinds_of(match: Mapping[str, Any]) -> Iterator[_Kind]:
    texts = match.get("title_pattern", ""), match.get("description_pattern", "")
    wanted = tuple(match.get("tags_all", ()))
    for tag in match.get("tags_any", ()):
        yield ((tag, *wanted), *texts)
    if wanted or "tags_any" not in match:
        yield (wanted, *texts)


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
    risk, size = run.recorded.risk, run.recorded.size
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
    few = f"{len(thin)} thin (under {THIN_BELOW} labelled runs)"
    why = f"{count(len(empty), 'reachable cell')} empty, {few}: {shown}"
    yield Finding(Kind.NOTE, "coverage", "vary risk and size where cells are empty or thin", why)
