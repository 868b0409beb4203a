"""The routing component: rules in order, fallbacks, priorities (CONTRACT.md section 5)."""

from __future__ import annotations

import re
from typing import Any

from collectord.cyntra.jsonio import JsonObject, canonical
from collectord.cyntra.policy.fields import names, pointer, section, unknown, whole
from collectord.cyntra.policy.surface import CONFIG_PATH, PolicyUnreadable

DEFAULT_PRIORITY = ["codex", "claude", "crush"]

VALUE_KEYS = ("dk_tool_hint", "dk_risk", "dk_size")
TAG_KEYS = ("tags_any", "tags_all")
PATTERN_KEYS = ("title_pattern", "description_pattern")
_MATCH_KEYS = (*VALUE_KEYS, *TAG_KEYS, *PATTERN_KEYS)
_RULE_KEYS = ("match", "use", "speculate", "parallelism")


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
        unrecognised += unknown(rule, _RULE_KEYS, *where, position)
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
    kept = {item for item in listed if item is None or isinstance(item, str)}
    return sorted(kept, key=lambda item: (item is not None, item or ""))


def _pattern(pattern: str, *where: object) -> str:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        reason = f"{pointer(*where)} is not a regular expression ({error}); a kernel fails on it"
        raise PolicyUnreadable(CONFIG_PATH, reason) from None
    return pattern
