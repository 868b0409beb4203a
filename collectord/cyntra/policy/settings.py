"""The components that are settings with defaults: speculation, gates, planner, scheduling."""

from __future__ import annotations

import posixpath
from typing import Any

from collectord.cyntra.jsonio import JsonObject
from collectord.cyntra.policy.fields import pointer, section, unknown, whole, with_defaults
from collectord.cyntra.policy.surface import CONFIG_PATH, PolicyUnreadable

RISKS = ("low", "medium", "high", "critical")

_SPECULATION = {
    "enabled": True,
    "default_parallelism": 2,
    "max_parallelism": 3,
    "vote_threshold": 0.7,
    "auto_trigger_on_critical_path": True,
    "auto_trigger_risk_levels": ["high", "critical"],
}
_AUTO_TRIGGER = {
    "on_critical_path": "auto_trigger_on_critical_path",
    "risk_levels": "auto_trigger_risk_levels",
}
_GATES = {
    "test_command": "pytest",
    "typecheck_command": "mypy .",
    "lint_command": "ruff check .",
    "build_command": None,
    "timeout_seconds": 300,
    "retry_flaky": 2,
}
_PLANNER = {"mode": "off", "bundle_dir": None, "confidence_threshold": 0.2}
_PLANNER_MODES = ("off", "log", "enforce")
SCHEDULING_DEFAULTS = {
    "max_concurrent_workcells": 3,
    "max_concurrent_tokens": 200_000,
    "starvation_threshold_hours": 4,
}


def normalise_speculation(config: JsonObject) -> tuple[JsonObject, list[str]]:
    """(speculation, unrecognised pointers); a flat `auto_trigger_*` counts before the nested one."""
    given = section(config, "speculation")
    unrecognised = unknown(config.get("speculation"), (*_SPECULATION, "auto_trigger"), "speculation")
    unrecognised += unknown(given.get("auto_trigger"), _AUTO_TRIGGER, "speculation", "auto_trigger")
    nested = section(given, "auto_trigger")
    aliases = {flat: nested[key] for key, flat in _AUTO_TRIGGER.items() if key in nested}
    value = with_defaults({**aliases, **given}, _SPECULATION)
    for key in ("enabled", "auto_trigger_on_critical_path"):
        value[key] = bool(value[key])
    for key in ("default_parallelism", "max_parallelism"):
        value[key] = _width(value[key], "speculation", key)
    value["auto_trigger_risk_levels"] = _risks(value["auto_trigger_risk_levels"])
    return value, unrecognised


def _width(value: Any, *where: object) -> int:
    if not isinstance(value, int):
        raise PolicyUnreadable(CONFIG_PATH, f"{pointer(*where)} is not a whole number; a kernel fails on it")
    return max(int(value), 1)


def _risks(value: Any) -> list[str]:
    """The risks that the kernel's `in` finds: in a list, or as a part of a text. The order says nothing."""
    if isinstance(value, str):
        return [risk for risk in RISKS if risk in value]
    if not isinstance(value, list):
        where = pointer("speculation", "auto_trigger_risk_levels")
        raise PolicyUnreadable(CONFIG_PATH, f"{where} is not a list; a kernel fails on it")
    return sorted({risk for risk in value if isinstance(risk, str)})


def normalise_gates(config: JsonObject) -> tuple[JsonObject, list[str]]:
    """(gates, unrecognised pointers); values as written, for the kernel does not convert them."""
    given = section(config, "gates")
    return with_defaults(given, _GATES), unknown(config.get("gates"), _GATES, "gates")


def normalise_planner(config: JsonObject) -> tuple[JsonObject, list[str]]:
    """(planner, unrecognised pointers); `enabled` says what `mode` says, where there is no `mode`."""
    given = section(config, "planner")
    value = with_defaults(given, _PLANNER)
    if "enabled" in given and "mode" not in given:
        value["mode"] = "enforce" if given["enabled"] else "off"
    value["mode"] = _mode(value["mode"])
    if value["bundle_dir"] is not None:
        value["bundle_dir"] = posixpath.normpath(str(value["bundle_dir"]))
    return value, unknown(config.get("planner"), (*_PLANNER, "enabled"), "planner")


def _mode(value: Any) -> str:
    """A mode by its name; YAML 1.1 reads `mode: off` as false."""
    mode = str(value).strip().lower() if value else "off"
    if mode not in _PLANNER_MODES:
        raise PolicyUnreadable(CONFIG_PATH, f"/planner/mode is none of {', '.join(_PLANNER_MODES)}")
    return mode


def normalise_scheduling(config: JsonObject) -> tuple[JsonObject, list[str]]:
    """(scheduling, unrecognised pointers); a key in the section counts before one at top level."""
    given = config.get("scheduling") or {}
    if not isinstance(given, dict):
        raise PolicyUnreadable(CONFIG_PATH, "/scheduling is not a mapping; a kernel fails on it")
    value = with_defaults({**config, **given}, SCHEDULING_DEFAULTS)
    for key in ("max_concurrent_workcells", "max_concurrent_tokens"):
        value[key] = whole(value[key], "scheduling", key)
    value["starvation_threshold_hours"] = _hours(value["starvation_threshold_hours"])
    return value, unknown(given, SCHEDULING_DEFAULTS, "scheduling")


def _hours(value: Any) -> int | float:
    try:
        hours = float(value)
    except (TypeError, ValueError, OverflowError):
        where = pointer("scheduling", "starvation_threshold_hours")
        raise PolicyUnreadable(CONFIG_PATH, f"{where} is not a number; a kernel fails on it") from None
    return int(hours) if hours.is_integer() else hours
