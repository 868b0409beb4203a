"""The components but routing, each read as the kernel converts it (CONTRACT.md section 5). Pure."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from collectord.kernel.command_line import CONFIG_PATH
from collectord.kernel.jsonio import JsonObject
from collectord.kernel.policy.surface import DOMAINS, REPORT_PATH, PolicyUnreadable
from collectord.kernel.values import as_object, member


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


_CONTROL = {
    "enabled": True,
    "action_low": 0.1,
    "action_high": 0.5,
    "temperature_base": 0.2,
    "temperature_min": 0.1,
    "temperature_max": 0.6,
    "temperature_step": 0.1,
    "parallelism_step": 1,
}


def normalise_control(config: JsonObject, report: Any) -> tuple[JsonObject, list[str]]:
    """(control with `modes` by domain, unrecognised pointers); `report` is None where there is none."""
    value = with_defaults(section(config, "control"), _CONTROL)
    value["enabled"] = bool(value["enabled"])
    value["modes"] = {domain: _control_mode(value, _rate(report, domain)) for domain in DOMAINS}
    return value, unknown(config.get("control"), _CONTROL, "control")


def _control_mode(control: JsonObject, rate: float | None) -> str:
    if not control["enabled"] or rate is None:
        return "disabled"
    for key in ("parallelism_step", "temperature_base", "temperature_step"):
        number(control[key], "control", key)
    if rate < number(control["action_low"], "control", "action_low"):
        return "trap"
    return "chaos" if rate > number(control["action_high"], "control", "action_high") else "balanced"


def _rate(report: Any, domain: str) -> float | None:
    """The action rate of a domain, else the global one, None where the report has neither."""
    summary = _mapping(_mapping(report).get("action_summary"))
    by_domain = _mapping(summary.get("by_domain"))
    value: Any = by_domain[domain] if domain in by_domain else summary.get("global_action_rate")
    if value is None and domain not in by_domain:
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise PolicyUnreadable(REPORT_PATH, f"the action rate of {domain} is not a number") from None


def _mapping(value: Any) -> JsonObject:
    if not value:
        return {}
    if not isinstance(value, dict):
        raise PolicyUnreadable(REPORT_PATH, "not in the form of a dynamics report")
    return value


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


def select_genome(frontier: Any, existing: Collection[str]) -> str | None:
    """The id of the best genome of a parsed `frontier.json` among those whose file exists; None: none.

    With objectives (`max` or `min` by metric) it is the item with the highest average of min–max
    normalised metrics, a missing metric counting as the worst, ties to the greater id; without any, or
    where no item with metrics has a file, the first item that has one.
    """
    objectives = _objectives(frontier)
    items = member(frontier, "items")
    candidates = [
        (genome_id, item)
        for item in (items if objectives and isinstance(items, list) else [])
        if (genome_id := _id(item)) in existing
    ]
    if not candidates:
        return next((listed for listed in _listed(frontier) if listed in existing), None)
    try:
        scores = _scores([item for _, item in candidates], objectives)
    except OverflowError:  # an integer that no float can hold: the kernel gives up and uses no genome
        return None
    scored = zip(scores, (genome_id for genome_id, _ in candidates), strict=True)
    return max(scored)[1]


def _id(item: Any) -> str:
    genome_id = member(item, "genome_id")
    return genome_id.strip() if isinstance(genome_id, str) else ""


def _objectives(frontier: Any) -> dict[str, bool]:
    """Whether more is better, by metric."""
    directions = {
        key: str(direction).strip().lower()
        for key, direction in as_object(member(frontier, "objectives")).items()
    }
    return {key: direction == "max" for key, direction in directions.items() if direction in ("max", "min")}


def _scores(items: list[JsonObject], objectives: Mapping[str, bool]) -> list[float]:
    """The average of the normalised metrics of each item."""
    columns = [_normalised([_metric(item.get(key)) for item in items], objectives[key]) for key in objectives]
    used = [column for column in columns if column is not None]
    return [sum(row) / len(row) for row in zip(*used, strict=True)] if used else [0.0] * len(items)


def _normalised(values: list[float | None], more_is_better: bool) -> list[float] | None:
    """One metric of every item brought to 0–1, 1 the best; None where no item has it."""
    present = [value for value in values if value is not None]
    if not present:
        return None
    low, high = min(present), max(present)
    shares = [
        None if value is None else 0.0 if high == low else (value - low) / (high - low) for value in values
    ]
    return [0.0 if share is None else share if more_is_better else 1.0 - share for share in shares]


def _metric(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None


def _listed(frontier: Any) -> list[str]:
    """The ids of a frontier in order, whether its items are objects or ids."""
    if isinstance(frontier, list):
        return [str(item).strip() for item in frontier if isinstance(item, str | int)]
    items = member(frontier, "items")
    listed = items if isinstance(items, list) else []
    return [item.strip() if isinstance(item, str) else _id(item) for item in listed]


DEFAULT_TIMEOUT_SECONDS = 1800

# Members of a toolchain that the kernel takes for members of its `config`.
_PROMOTED = ("approval_mode", "skip_permissions", "provider", "auto_approve", "agent")
_SWITCHES = {"--dangerously-skip-permissions": "skip_permissions", "-y": "auto_approve"}
_OPTIONS = {"--model": "model", "--approval-mode": "approval_mode"}
_KNOWN = (
    "enabled",
    "path",
    "command",
    "model",
    "default_model",
    "timeout_seconds",
    "timeout_minutes",
    "env",
    "config",
    *_PROMOTED,
)


def normalise_toolchains(
    config: JsonObject, priority: list[str], cap_seconds: int | None
) -> tuple[JsonObject, list[str]]:
    """(toolchain by name, unrecognised pointers).

    A toolchain of the priority list that is not configured has the defaults; of one that is switched off
    nothing else counts. `cap_seconds` is the universe's limit on every configured timeout.
    """
    listed = config.get("toolchains") or {}
    if not isinstance(listed, dict):
        raise PolicyUnreadable(CONFIG_PATH, "/toolchains is not a mapping; a kernel fails on it")
    result: JsonObject = {name: _toolchain({}, name, None) for name in priority}
    unrecognised: list[str] = []
    for name, value in listed.items():
        unrecognised += unknown(value, _KNOWN, "toolchains", name)
        if isinstance(value, dict):
            result[name] = _toolchain(value, name, cap_seconds)
    return result, unrecognised


def _toolchain(value: JsonObject, name: str, cap_seconds: int | None) -> JsonObject:
    timeout = _timeout(value, name)
    if not value.get("enabled", True):
        return {"enabled": False}
    arguments = _arguments(value)
    config = _adapter_config(value, arguments)
    model = value.get("model") or config.get("model") or value.get("default_model") or None
    if config.get("model") == model:
        config.pop("model", None)
    return {
        "enabled": True,
        "path": str(value.get("path") or (arguments[0] if arguments else "")),
        "model": model,
        "timeout_seconds": timeout if cap_seconds is None else min(timeout, cap_seconds),
        "env": _env(value, name),
        "config": config,
    }


def _timeout(value: JsonObject, name: str) -> int:
    """`timeout_seconds`, else `timeout_minutes`, each only where it is not zero; else the default."""
    seconds = whole(value.get("timeout_seconds") or 0, "toolchains", name, "timeout_seconds")
    minutes = whole(value.get("timeout_minutes") or 0, "toolchains", name, "timeout_minutes")
    return seconds or minutes * 60 or DEFAULT_TIMEOUT_SECONDS


def _env(value: JsonObject, name: str) -> JsonObject:
    env = value.get("env") or {}
    if not isinstance(env, dict):
        where = pointer("toolchains", name, "env")
        raise PolicyUnreadable(CONFIG_PATH, f"{where} is not a mapping; a kernel fails on it")
    return env


def _arguments(value: JsonObject) -> list[str]:
    """The words of `command`, which counts only where there is no `path`."""
    command = value.get("command")
    if value.get("path") or not isinstance(command, str):
        return []
    try:
        return shlex.split(command)
    except ValueError:  # a quote that is never closed; the kernel splits at white space then
        return command.split()


def _adapter_config(value: JsonObject, arguments: list[str]) -> JsonObject:
    """`config`, then members promoted into it, then what the flags of `command` say; the first one counts."""
    config = dict(section(value, "config"))
    for key in _PROMOTED:
        if key in value:
            config.setdefault(key, value[key])
    for flag, following in zip(arguments, [*arguments[1:], None], strict=False):
        if flag in _OPTIONS and following is not None:
            config.setdefault(_OPTIONS[flag], following)
        if flag in _SWITCHES:
            config.setdefault(_SWITCHES[flag], True)
    return config


def enabled(toolchains: JsonObject) -> list[str]:
    """The names that can run, in the order of the component."""
    return [name for name, value in toolchains.items() if value["enabled"]]


def timeout_of(toolchains: JsonObject, name: str) -> int:
    """The timeout in seconds of a toolchain, also of one that is not configured."""
    value: Any = toolchains.get(name, {}).get("timeout_seconds", DEFAULT_TIMEOUT_SECONDS)
    return int(value)
