"""Reads the kinds of value a configuration holds: durations, sizes, counts, switches, names, paths.

Every reader takes what YAML, the environment or the command line gave, returns the plain value, and
raises ValueError whose text is the rest of a finding: what was given, and what to write instead.
"""

from __future__ import annotations

import math
import re
from datetime import date, datetime

_AMOUNT = re.compile(r"\s*(\d{1,18}(?:\.\d{1,9})?)\s*([A-Za-z]*)\s*", re.ASCII)
_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_SWITCH = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}
_RULE = re.compile(
    r"(universe|prompts|routing|speculation|control|toolchains|gates|planner|scheduling)\.[a-z_]+|unrecognised"
)
_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)
OFF = "off"
_SHOWN_CHARACTERS = 60
_LONGEST_SECONDS = 3650 * 86400.0


def shown(value: object) -> str:
    """The value as a finding quotes it: one line, cut where it is long."""
    if isinstance(value, dict):
        return "a mapping"
    try:
        text = repr(value)
    except ValueError:  # an integer of thousands of digits has no decimal form
        return "a huge number"
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"


def duration(value: object) -> float:
    """Seconds, from a number of seconds or text such as `500ms`, `30s`, `5m`, `2h`, `14d`."""
    amount = _amount(value, _SECONDS)
    if amount is None or amount < 0:
        raise ValueError(f"{shown(value)} is not a duration; write seconds or 30s, 5m, 14d")
    if amount > _LONGEST_SECONDS:
        raise ValueError(f"{shown(value)} is longer than ten years; write seconds or 30s, 5m, 14d")
    return amount


def age(value: object) -> float | str:
    """A duration of more than nothing, or `off`."""
    if is_off(value):
        return OFF
    seconds = duration(value)
    if seconds == 0:
        raise ValueError("0 would mean everything at once; write off, or an age such as 14d")
    return seconds


def time_of_day(value: object) -> str:
    """A time such as 03:00 (which YAML reads as minutes where it begins with another digit), or `off`."""
    if is_off(value):
        return OFF
    found = _TIME.fullmatch(value.strip()) if isinstance(value, str) else None
    if found:
        return f"{int(found[1]):02}:{found[2]}"
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 24 * 60:
        return f"{value // 60:02}:{value % 60:02}"
    raise ValueError(f"{shown(value)} is not a time of the day; write 03:00, or off")


def is_off(value: object) -> bool:
    """Whether something is switched off: YAML reads the bare word as false."""
    return value is False or (isinstance(value, str) and value.strip().lower() == OFF)


def word(value: object) -> object:
    """One of some words, of which YAML may have read `off` as false."""
    return OFF if is_off(value) else value


def size(value: object) -> int:
    """Bytes, from a number of bytes or text such as `64KiB`, `8MiB`, `1GB`."""
    amount = _amount(value, _BYTES)
    if amount is None or not 0 <= amount < 2**63 or amount != int(amount):
        raise ValueError(f"{shown(value)} is not a size; write bytes or 64KiB, 8MiB, 1GiB")
    return int(amount)


def count(value: object) -> int:
    """A whole number; a switch is not one, although Python counts it as 1."""
    amount = _amount(value, {"": 1})
    if amount is None or amount != int(amount):
        raise ValueError(f"{shown(value)} is not a whole number")
    return int(amount)


def percent(value: object) -> float:
    """A share of a hundred, from a number or text such as `1%`."""
    text = value.strip().removesuffix("%") if isinstance(value, str) else value
    amount = _amount(text, {"": 1.0})
    if amount is None or not 0 <= amount <= 100:
        raise ValueError(f"{shown(value)} is not a percentage; write a number from 0 to 100")
    return float(amount)


def switch(value: object) -> bool:
    """True or false, as YAML or as the words people write in an environment."""
    if isinstance(value, bool):
        return value
    answer = _SWITCH.get(value.strip().lower()) if isinstance(value, str) else None
    if answer is None:
        raise ValueError(f"{shown(value)} is not a switch; write true or false")
    return answer


def directory_names(value: object) -> tuple[str, ...]:
    """Names of directories without any path in them."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"{shown(value)} is not a list; write [name, other]")
    for name in value:
        if not isinstance(name, str) or not name or name in {".", ".."} or "/" in name or "\0" in name:
            raise ValueError(f"{shown(name)} is not the name of a directory; write a name without slashes")
    return tuple(value)


def text(value: object) -> str:
    """Some words."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{shown(value)} says nothing; write a few words")
    return value


def day(value: object) -> date:
    """A day such as 2026-12-31, as YAML reads it or as text."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError(f"{shown(value)} is not a day; write 2026-12-31") from None


def environment_path(value: object) -> str:
    """A JSON pointer into the environment; `*` in it stands for any one part."""
    if not isinstance(value, str) or not re.fullmatch(r"(/[^/]+)+", value):
        raise ValueError(f"{shown(value)} is not a path; write /gates/test_command or /toolchains/*/env")
    return value


def rule_or_path(value: object) -> str:
    """The id of a rule, as `drift` shows it, or a path."""
    if isinstance(value, str) and (value.startswith("/") or _RULE.fullmatch(value)):
        return environment_path(value) if value.startswith("/") else value
    raise ValueError(f"{shown(value)} is neither a rule such as gates.test_command nor a path")


def folder(value: object, home: str | None) -> str:
    """A path as text with a leading `~` replaced by `home`; not yet made absolute."""
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError(f"{shown(value)} is not a path")
    if not value.startswith("~"):
        return value
    if home and (value == "~" or value.startswith("~/")):
        return home + value[1:]
    raise ValueError(f"{shown(value)} names a home directory that is not known here; write the full path")


def _amount(value: object, factors: dict[str, float] | dict[str, int]) -> float | int | None:
    """The number times its unit, or None where it is neither a number nor text that reads as one."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    match = _AMOUNT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    number, unit = match.groups()
    factor = factors.get(unit.lower())
    if factor is None:
        return None
    return (float(number) if "." in number else int(number)) * factor
