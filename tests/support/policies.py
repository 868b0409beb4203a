"""Configurations of any content, and ways of writing one of them down."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import yaml
from hypothesis import strategies as st

TOOLCHAINS = ("codex", "claude", "opencode")
TAGS = ("security", "legal", "asset:car")
_WORDS = st.sampled_from(["pytest -q", "true", "ruff check .", "näme: x", "#no comment", "yes", "3"])

Config = dict[str, Any]


def _some(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[Config]:
    return st.fixed_dictionaries({}, optional=members)


def _subset(values: tuple[str, ...], least: int = 0) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=least, unique=True)


def toolchain() -> st.SearchStrategy[Config]:
    """One toolchain in the plainest form."""
    return _some(
        enabled=st.booleans(),
        path=st.sampled_from(["/usr/bin/agent", "agent"]),
        model=st.sampled_from(["gpt-5.2", "opus"]),
        timeout_seconds=st.integers(1, 7200),
        env=st.dictionaries(
            st.sampled_from(["A", "B"]), st.sampled_from(["", "1", "ä: b", "\U0001f600", "'"])
        ),
    )


def rule() -> st.SearchStrategy[Config]:
    """One routing rule."""
    match = _some(
        dk_risk=_subset(("low", "medium", "high", "critical"), 1),
        dk_size=_subset(("XS", "S", "M", "L", "XL"), 1),
        dk_tool_hint=_subset(TOOLCHAINS, 1),
        tags_any=_subset(TAGS),
        tags_all=_subset(TAGS),
        title_pattern=st.sampled_from(["^fix", "a|b"]),
    )
    use = _subset(TOOLCHAINS, 1)
    return _some(match=match, use=use, speculate=st.booleans(), parallelism=st.integers(-1, 4))


def configurations() -> st.SearchStrategy[Config]:
    """A configuration that a kernel starts with, every alias in its plain form."""
    return _some(
        toolchain_priority=_subset(TOOLCHAINS),
        toolchains=st.dictionaries(st.sampled_from(TOOLCHAINS), toolchain()),
        routing=_some(
            rules=st.lists(rule(), max_size=4),
            fallbacks=st.dictionaries(st.sampled_from(TOOLCHAINS), _subset(TOOLCHAINS)),
        ),
        speculation=_some(
            enabled=st.booleans(),
            default_parallelism=st.integers(0, 4),
            max_parallelism=st.integers(1, 4),
            auto_trigger_on_critical_path=st.booleans(),
            auto_trigger_risk_levels=_subset(("low", "high", "critical")),
        ),
        control=_some(
            enabled=st.booleans(),
            action_low=st.sampled_from([0, 0.05, 0.25, 1.0]),
            parallelism_step=st.integers(0, 2),
        ),
        gates=_some(test_command=_WORDS, lint_command=_WORDS, timeout_seconds=st.integers(1, 600)),
        planner=_some(
            mode=st.sampled_from(["off", "log", "enforce"]), confidence_threshold=st.sampled_from([0.2, 0.5])
        ),
        scheduling=_some(max_concurrent_workcells=st.integers(1, 9)),
    )


def shuffled(draw: Callable[..., Any], value: Any) -> Any:
    """The same value with the members of every mapping in another order."""
    if isinstance(value, dict):
        keys = draw(st.permutations(list(value)))
        return {key: shuffled(draw, value[key]) for key in keys}
    return [shuffled(draw, item) for item in value] if isinstance(value, list) else value


def written(draw: Callable[..., Any], value: Config) -> str:
    """The value as YAML or JSON text: any flow, indentation and order, comments and blank lines between."""
    value = shuffled(draw, value)
    if draw(st.booleans()):
        # Escaped surrogate pairs are JSON and no YAML.
        return json.dumps(value, indent=draw(st.sampled_from([None, 2])), ensure_ascii=False)
    style = draw(st.sampled_from([False, True, None]))
    text = yaml.safe_dump(
        value,
        default_flow_style=style,
        indent=draw(st.sampled_from([2, 4])),
        width=10_000,
        sort_keys=False,
        allow_unicode=draw(st.booleans()),
        explicit_start=draw(st.booleans()),
    )
    note = draw(st.sampled_from(["", "# a note: {not: yaml\n", "\n"]))
    return "".join(note + line for line in text.splitlines(keepends=True))


def aliased(draw: Callable[..., Any], value: Config) -> Config:
    """The same configuration in other words: units, nested and flat keys, single values for lists."""
    value = json.loads(json.dumps(value))
    value["toolchains"] = {
        name: _aliased_toolchain(draw, body) for name, body in value.get("toolchains", {}).items()
    }
    for each in value.get("routing", {}).get("rules", []):
        _single(draw, each, "use")
        for key in ("dk_risk", "dk_size", "dk_tool_hint"):
            _single(draw, each.get("match", {}), key)
    speculation = value.get("speculation", {})
    for flat, nested in (
        ("auto_trigger_on_critical_path", "on_critical_path"),
        ("auto_trigger_risk_levels", "risk_levels"),
    ):
        if flat in speculation and draw(st.booleans()):
            speculation.setdefault("auto_trigger", {})[nested] = speculation.pop(flat)
    if draw(st.booleans()):
        value.update(value.pop("scheduling", {}))
    return value


def _single(draw: Callable[..., Any], body: Config, key: str) -> None:
    if len(body.get(key, ())) == 1 and draw(st.booleans()):
        body[key] = body[key][0]


def _aliased_toolchain(draw: Callable[..., Any], body: Config) -> Config:
    if body.get("timeout_seconds", 1) % 60 == 0 and draw(st.booleans()):
        body["timeout_minutes"] = body.pop("timeout_seconds") // 60
    if "model" in body:
        model = body.pop("model")
        match draw(st.sampled_from(["model", "default", "config", "command"])):
            case "default":
                body["default_model"] = model
            case "config":
                body["config"] = {"model": model}
            case "command" if "path" in body:
                body["command"] = f"{body.pop('path')} --model {model}"
            case _:
                body["model"] = model
    return body


def divided(draw: Callable[..., Any], value: Config) -> tuple[Config, Config]:
    """(what a base file says, what the file over it says): sections shared out, some said twice."""
    base: Config = {}
    over: Config = {}
    for key, body in value.items():
        choice = draw(st.sampled_from(["base", "over", "parts"]))
        if choice != "parts" or not isinstance(body, dict):
            (over if choice == "over" else base)[key] = body
            continue
        above = draw(_subset(tuple(body))) if body else []
        base[key] = {name: "replaced" if name in above else part for name, part in body.items()}
        over[key] = {name: body[name] for name in above}
        for name in above:
            # A mapping over a text replaces it; only two mappings merge.
            if isinstance(body[name], dict):
                base[key].pop(name)
    return base, over
