"""The routing component, and what it does with an issue, as a pure function (CONTRACT.md section 5)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from collectord.kernel.command_line import CONFIG_PATH
from collectord.kernel.jsonio import JsonObject, canonical
from collectord.kernel.policy.components import enabled, names, pointer, section, timeout_of, unknown, whole
from collectord.kernel.policy.surface import PolicyUnreadable, Surface, domain_of
from collectord.kernel.values import unique

DEFAULT_PRIORITY = ["codex", "claude", "crush"]

VALUE_KEYS = ("dk_tool_hint", "dk_risk", "dk_size")
TAG_KEYS = ("tags_any", "tags_all")
PATTERN_KEYS = ("title_pattern", "description_pattern")
_MATCH_KEYS = (*VALUE_KEYS, *TAG_KEYS, *PATTERN_KEYS)
RULE_KEYS = ("match", "use", "speculate", "parallelism")


def normalise_routing(config: JsonObject, overrides: list[Any]) -> tuple[JsonObject, list[str]]:
    """(routing, unrecognised pointers); `overrides` are the universe's rules, which stand in front."""
    routing = section(config, "routing")
    unrecognised = unknown(config.get("routing"), ("rules", "fallbacks"), "routing")
    front, _ = _rules(overrides, "universe", "routing_overrides")
    rules, odd = _rules(routing.get("rules"), "routing", "rules")
    fallbacks, odd_fallbacks = _fallbacks(routing.get("fallbacks"))
    result = {"rules": [*front, *rules], "fallbacks": fallbacks, "toolchain_priority": _priority(config)}
    return result, [*unrecognised, *odd, *odd_fallbacks]


def _priority(config: JsonObject) -> list[str]:
    value = config.get("toolchain_priority", DEFAULT_PRIORITY)
    if not isinstance(value, list):
        raise PolicyUnreadable(CONFIG_PATH, "/toolchain_priority is not a list; a kernel fails on it")
    return names(value)


def _fallbacks(value: Any) -> tuple[JsonObject, list[str]]:
    """Lists by toolchain; the kernel passes over anything else, and an empty list is none."""
    if not isinstance(value, dict):
        return {}, unknown(value, (), "routing", "fallbacks")
    lists = {name: names(listed) for name, listed in value.items() if isinstance(listed, list)}
    odd = [pointer("routing", "fallbacks", name) for name in value if name not in lists]
    return {name: listed for name, listed in lists.items() if listed}, odd


def _rules(value: Any, *where: object) -> tuple[list[JsonObject], list[str]]:
    """Rules in order; what is not a mapping is passed over, as by the kernel."""
    if not isinstance(value, list):
        return [], unknown(value, (), *where)
    rules, unrecognised = [], []
    for position, rule in enumerate(value):
        unrecognised += unknown(rule, RULE_KEYS, *where, position)
        if isinstance(rule, dict):
            unrecognised += unknown(rule.get("match"), _MATCH_KEYS, *where, position, "match")
            rules.append(_rule(rule, *where, position))
    return rules, unrecognised


def _rule(rule: JsonObject, *where: object) -> JsonObject:
    speculate = bool(rule.get("speculate"))
    return {
        "match": _match(section(rule, "match"), *where),
        "use": names(rule.get("use")),
        "speculate": speculate,
        "parallelism": _parallelism(rule.get("parallelism"), *where) if speculate else None,
    }


def _parallelism(value: Any, *where: object) -> int | None:
    """A width of at least one; None where the default width counts."""
    try:
        width = whole(value, *where, "parallelism") if value is not None else 0
    except PolicyUnreadable:
        if isinstance(value, float):  # an infinite one; the kernel does not catch that
            raise
        width = 0
    return width if width > 0 else None


def _match(match: JsonObject, *where: object) -> JsonObject:
    """Only conditions that can fail, each in one form: sorted lists of values, texts of patterns."""
    result: JsonObject = {}
    for key in VALUE_KEYS:
        if match.get(key) is not None:
            result[key] = _values(match[key])
    for key in TAG_KEYS:
        tags = match.get(key) or []
        if key in match and isinstance(tags, list) and (tags or key == "tags_any"):
            # What is no text can never be a tag; under tags_all it still forbids every issue.
            result[key] = sorted({tag if isinstance(tag, str) else canonical(tag) for tag in tags})
    for key in PATTERN_KEYS:
        if key in match and str(match[key]):
            result[key] = _pattern(str(match[key]), *where, "match", key)
    return result


def _values(value: Any) -> list[str | None]:
    """What an issue's text may be; null in a list stands for an issue without one."""
    listed = value if isinstance(value, list) else [value]
    texts = {item for item in listed if item is None or isinstance(item, str)}
    return sorted(texts, key=lambda item: (item is not None, item or ""))


def _pattern(pattern: str, *where: object) -> str:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        reason = f"{pointer(*where)} is not a regular expression ({error}); a kernel fails on it"
        raise PolicyUnreadable(CONFIG_PATH, reason) from None
    return pattern


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
    for listed, decided, why in (
        (use, rule, f"rule {rule}"),
        (fallbacks, rule, f"fallback of rule {rule}"),
        (routing["toolchain_priority"], None, "toolchain_priority"),
    ):
        chosen = next((name for name in listed if name in usable), None)
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
