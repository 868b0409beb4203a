"""What a policy does with an issue: the kernel's routing as a pure function (CONTRACT.md section 5)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from collectord.cyntra.jsonio import JsonObject
from collectord.cyntra.policy.surface import Surface, domain_of
from collectord.cyntra.policy.toolchains import enabled, timeout_of
from collectord.cyntra.values import unique

SERIAL = "serial_handoff"
SPECULATE = "speculate_vote"


@dataclass(frozen=True, slots=True)
class IssueFacts:
    """What routing looks at in an issue; `speculate` is its `dk_speculate`."""

    risk: str
    size: str
    tool_hint: str | None = None
    tags: tuple[str, ...] = ()
    title: str = ""
    description: str = ""
    speculate: bool = False
    on_critical_path: bool = False


@dataclass(frozen=True, slots=True)
class Action:
    """What the kernel does. `toolchains` run at once, `timeouts` are theirs in seconds, in the same order.

    `timeout_seconds` is the one that all of them have, None where they differ: the archived winner's
    counts then. `candidates` is 0 where a speculation finds no toolchain and nothing is dispatched.
    `rule` is the index of the rule that decided, None where no rule did; `why` says it in a few words.
    """

    swarm_id: str
    candidates: int
    timeout_seconds: int | None
    toolchains: tuple[str, ...]
    rule: int | None
    why: str
    timeouts: tuple[int, ...] = ()


# (pattern, text) → whether it is found; a pattern comes out of the repo and may never end.
Search = Callable[[str, str], bool]


def search(pattern: str, text: str) -> bool:
    """The kernel's own `re.search`, without a limit."""
    return re.search(pattern, text) is not None


def plan_action(
    surface: Surface, issue: IssueFacts, available: frozenset[str] | None = None, search: Search = search
) -> Action:
    """The kernel's own choice for an issue, before a planner in mode `enforce` may narrow it.

    `available` are the toolchains that could run at dispatch (`system_state.available_toolchains` of a
    recorded input); None stands for all that the kernel starts.
    """
    usable = frozenset(started(surface)) if available is None else available
    rule, reason = _speculates(surface, issue, search)
    if reason is not None:
        return _speculate(surface, issue, usable, rule, reason)
    return _serial(surface, issue, usable, search)


def started(surface: Surface) -> list[str]:
    """The toolchains that a kernel starts: of its priority list, those that are not switched off."""
    runnable = enabled(surface.components["toolchains"])
    return [name for name in surface.components["routing"]["toolchain_priority"] if name in runnable]


def _speculates(surface: Surface, issue: IssueFacts, search: Search) -> tuple[int | None, str | None]:
    """(the first matching rule that speculates, why the issue does; None: it does not)."""
    speculation = surface.components["speculation"]
    if not speculation["enabled"]:
        return None, None
    rule = _first(surface, issue, search, speculate=True)
    if issue.speculate:
        return rule, "the issue asks for it"
    if speculation.get("forced"):
        return rule, "the kernel speculates on every issue"
    if rule is not None:
        return rule, f"rule {rule} speculates"
    automatic = speculation["auto_trigger_on_critical_path"] and issue.on_critical_path
    if automatic and issue.risk in speculation["auto_trigger_risk_levels"]:
        return None, f"{issue.risk} risk on the critical path"
    return None, None


def _speculate(
    surface: Surface, issue: IssueFacts, usable: frozenset[str], rule: int | None, reason: str
) -> Action:
    routing = surface.components["routing"]
    wanted = [issue.tool_hint] if issue.tool_hint else []
    wanted += routing["rules"][rule]["use"] if rule is not None else []
    candidates = [name for name in unique(wanted or routing["toolchain_priority"]) if name in usable]
    chosen = candidates[: _width(surface, issue, rule)]
    why = reason if chosen else f"{reason}, but no toolchain is available"
    return _action(surface, SPECULATE, chosen, rule, why)


def _width(surface: Surface, issue: IssueFacts, rule: int | None) -> int:
    """How many candidates are wanted: a control mode says it before a rule, a rule before the default.

    In a mode other than `disabled` the kernel takes the width from its controller, which starts from the
    default width and knows no rules.
    """
    speculation, control = surface.components["speculation"], surface.components["control"]
    default, step = speculation["default_parallelism"], control["parallelism_step"]
    match control["modes"][domain_of(issue.tags)]:
        case "trap":
            width = min(speculation["max_parallelism"], default + step)
        case "chaos":
            width = max(1, default - step)
        case "balanced":
            width = default
        case _:
            width = _rule_width(surface, rule) or default
    return max(int(width), 1)


def _rule_width(surface: Surface, rule: int | None) -> int | None:
    width: int | None = None if rule is None else surface.components["routing"]["rules"][rule]["parallelism"]
    return width


def _serial(surface: Surface, issue: IssueFacts, usable: frozenset[str], search: Search) -> Action:
    routing = surface.components["routing"]
    if issue.tool_hint and issue.tool_hint in {*usable, *started(surface)}:
        return _action(surface, SERIAL, [issue.tool_hint], None, "the issue's tool hint")
    rule = _first(surface, issue, search)
    use = routing["rules"][rule]["use"] if rule is not None else []
    fallbacks = [name for used in use for name in routing["fallbacks"].get(used, [])]
    for names, decided, why in (
        (use, rule, f"rule {rule}"),
        (fallbacks, rule, f"fallback of rule {rule}"),
        (routing["toolchain_priority"], None, "toolchain_priority"),
    ):
        chosen = next((name for name in names if name in usable), None)
        if chosen is not None:
            return _action(surface, SERIAL, [chosen], decided, why)
    first = (routing["toolchain_priority"] or ["codex"])[0]
    return _action(surface, SERIAL, [first], None, "no toolchain is available")


def _action(surface: Surface, swarm_id: str, chosen: list[str], rule: int | None, why: str) -> Action:
    timeouts = tuple(timeout_of(surface.components["toolchains"], name) for name in chosen)
    common = timeouts[0] if len(set(timeouts)) == 1 else None
    return Action(swarm_id, len(chosen), common, tuple(chosen), rule, why, timeouts)


def _first(surface: Surface, issue: IssueFacts, search: Search, *, speculate: bool = False) -> int | None:
    """The index of the first rule that matches, with `speculate` of those that speculate."""
    rules = surface.components["routing"]["rules"]
    matching = (
        index
        for index, rule in enumerate(rules)
        if (rule["speculate"] or not speculate) and _matches(rule["match"], issue, search)
    )
    return next(matching, None)


def _matches(match: JsonObject, issue: IssueFacts, search: Search) -> bool:
    plain = (_CONDITIONS[key](wanted, issue) for key, wanted in match.items() if key in _CONDITIONS)
    # Patterns come last, as they cost the most; all conditions must hold, so their order decides nothing.
    return all(plain) and all(
        search(match[key], text(issue)) for key, text in _SEARCHED.items() if key in match
    )


_CONDITIONS: dict[str, Callable[[Any, IssueFacts], bool]] = {
    "dk_tool_hint": lambda wanted, issue: issue.tool_hint in wanted,
    "dk_risk": lambda wanted, issue: issue.risk in wanted,
    "dk_size": lambda wanted, issue: issue.size in wanted,
    "tags_any": lambda wanted, issue: any(tag in issue.tags for tag in wanted),
    "tags_all": lambda wanted, issue: all(tag in issue.tags for tag in wanted),
}
_SEARCHED: dict[str, Callable[[IssueFacts], str]] = {
    "title_pattern": lambda issue: issue.title,
    "description_pattern": lambda issue: issue.description,
}
