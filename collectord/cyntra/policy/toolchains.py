"""The toolchains component: what each agent is started with, and for how long (CONTRACT.md section 5)."""

from __future__ import annotations

import shlex
from typing import Any

from collectord.cyntra.jsonio import JsonObject
from collectord.cyntra.policy.fields import pointer, section, unknown, whole
from collectord.cyntra.policy.surface import CONFIG_PATH, PolicyUnreadable

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
