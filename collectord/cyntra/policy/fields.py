"""Reading one mapping of the configuration member by member, as the kernel converts it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from collectord.cyntra.jsonio import JsonObject
from collectord.cyntra.policy.surface import CONFIG_PATH, PolicyUnreadable


def section(config: JsonObject, name: str) -> JsonObject:
    """A section, empty where it is missing, null or not a mapping: the kernel then has its defaults."""
    value = config.get(name)
    return value if isinstance(value, dict) else {}


def pointer(*parts: object) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def unknown(value: object, known: Iterable[str], *where: object) -> list[str]:
    """Pointers of the members that the kernel does not read; of the value where it is no mapping at all."""
    if not isinstance(value, dict):
        return [] if value is None else [pointer(*where)]
    return [pointer(*where, key) for key in sorted(set(value) - set(known))]


def whole(value: Any, *where: object) -> int:
    """The kernel's `int(value)`: texts of digits, floats and switches too. Raises PolicyUnreadable."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise _refused(value, "a whole number", *where) from None


def number(value: Any, *where: object) -> int | float:
    """A number that the kernel computes with as it stands. Raises PolicyUnreadable."""
    if not isinstance(value, int | float):
        raise _refused(value, "a number", *where)
    return value


def with_defaults(value: Mapping[str, Any], defaults: Mapping[str, Any]) -> JsonObject:
    """The members that have defaults, in their order; a member that is null stays null, as in the kernel."""
    return {key: value.get(key, default) for key, default in defaults.items()}


def names(value: Any) -> list[str]:
    """A text or a list of names, in order, each once, without empty ones; anything else names nothing."""
    listed = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return list(dict.fromkeys(text for item in listed if (text := str(item))))


def _refused(value: Any, wanted: str, *where: object) -> PolicyUnreadable:
    kind = "null" if value is None else f"a {type(value).__name__}"
    return PolicyUnreadable(CONFIG_PATH, f"{pointer(*where)} is {kind}, not {wanted}; a kernel fails on it")
