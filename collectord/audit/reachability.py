"""The policy played over everything an issue can be: actions it can give, and why not others. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

from collectord.audit.backlog_records import RISKS, SIZES
from collectord.audit.facts import Action, BacklogIssue
from collectord.audit.layout import listing
from collectord.cyntra.label import nearest_bin
from collectord.cyntra.planner_input import CANDIDATES_BINS, MINUTES_BINS
from collectord.cyntra.policy import IssueFacts, Search, Surface, plan_action, search

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
            return f"no toolchain in it has about these minutes, there is {offered}"
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
