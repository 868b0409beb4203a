"""What a policy does with one issue (CONTRACT.md section 5), rule by rule."""

from __future__ import annotations

from typing import Any

import pytest

from collectord.kernel.policy import Action, IssueFacts, Surface, plan_action
from tests.support.trees import BASE, REPORT, read, report, with_config


def plan(surface: Surface, risk: str = "medium", size: str = "M", **facts: Any) -> Action:
    available = facts.pop("available", None)
    return plan_action(surface, IssueFacts(risk, size, **facts), available)


def base(*changes: tuple[str, str]) -> Surface:
    return read(with_config(*changes))


def said(action: Action) -> str:
    return f"{action.swarm_id}×{action.candidates} {'+'.join(action.toolchains)}"


def test_a_serial_run_takes_the_hint_where_that_toolchain_exists() -> None:
    hinted = plan(base(), "low", "XS", tool_hint="codex")
    assert (said(hinted), hinted.rule, hinted.why) == (
        "serial_handoff×1 codex",
        None,
        "the issue's tool hint",
    )
    assert said(plan(base(), "low", "XS", tool_hint="nobody")) == "serial_handoff×1 opencode"


def test_else_the_first_rule_that_matches_and_what_of_it_is_available() -> None:
    matched = plan(base(), "low", "S")
    assert (said(matched), matched.timeout_seconds, matched.rule) == (
        "serial_handoff×1 opencode",
        2700,
        2,
    )
    second = base(("use: opencode", "use: [opencode, codex]"))
    assert (
        said(plan(second, "low", "S", available=frozenset({"codex", "claude"}))) == "serial_handoff×1 codex"
    )


def test_then_the_fallbacks_of_that_rule_then_the_priorities_then_the_first_of_them() -> None:
    surface = base(("codex: [claude]", "codex: [opencode]"))
    there = frozenset({"claude", "opencode"})
    fallback = plan(surface, tags=("security",), available=there)
    assert (said(fallback), fallback.why) == ("serial_handoff×1 opencode", "fallback of rule 3")
    last = plan(surface, "low", "S", available=there - {"opencode"})
    assert (said(last), last.rule, last.why) == ("serial_handoff×1 claude", None, "toolchain_priority")
    nothing = plan(surface, "low", "S", available=frozenset())
    assert (said(nothing), nothing.why) == ("serial_handoff×1 codex", "no toolchain is available")


def test_a_rule_that_speculates_is_found_behind_one_that_does_not() -> None:
    first = "    - {match: {}, use: [opencode]}\n"
    surface = base(("  rules:\n", "  rules:\n" + first))
    assert said(plan(surface, "critical")) == "speculate_vote×3 codex+claude+opencode"
    assert said(plan(surface, "medium")) == "serial_handoff×1 opencode"


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"risk": "high"}, "speculate_vote×2 codex+claude"),
        ({"risk": "high", "tool_hint": "opencode"}, "speculate_vote×2 opencode+codex"),
        ({"risk": "high", "tool_hint": "nobody"}, "speculate_vote×2 codex+claude"),
        ({"risk": "critical", "available": frozenset({"claude"})}, "speculate_vote×1 claude"),
        ({"risk": "critical", "available": frozenset()}, "speculate_vote×0 "),
        ({"speculate": True}, "speculate_vote×2 codex+claude"),
        ({"speculate": True, "tool_hint": "opencode"}, "speculate_vote×1 opencode"),
        ({"risk": "high", "speculate": True}, "speculate_vote×2 codex+claude"),
        ({"on_critical_path": True}, "serial_handoff×1 claude"),
    ],
)
def test_width_and_candidates_of_a_speculation(facts: dict[str, Any], expected: str) -> None:
    assert said(plan(base(), **facts)) == expected


def test_the_critical_path_speculates_at_the_risks_that_trigger_it() -> None:
    surface = base(("dk_risk: high", "dk_risk: none"))
    assert said(plan(surface, "high")) == "serial_handoff×1 claude"
    triggered = plan(surface, "high", on_critical_path=True)
    assert (said(triggered), triggered.why) == (
        "speculate_vote×2 codex+claude",
        "high risk on the critical path",
    )
    assert said(plan(surface, "low", "M", on_critical_path=True)) == "serial_handoff×1 claude"


def test_nothing_speculates_where_speculation_is_off() -> None:
    surface = base(("speculation: {enabled: true", "speculation: {enabled: false"))
    asked = plan(surface, "critical", speculate=True, on_critical_path=True)
    assert said(asked) == "serial_handoff×1 codex"


def test_where_candidates_differ_in_time_the_winner_decides() -> None:
    action = plan(base(), "critical")
    assert (action.timeouts, action.timeout_seconds) == ((3600, 3600, 2700), None)
    assert plan(base(), "high").timeout_seconds == 3600


@pytest.mark.parametrize(
    ("rate", "settings", "width"),
    [
        (0.05, "", 3),
        (0.05, "max_parallelism: 2, ", 2),
        (0.1, "", 2),
        (0.5, "", 2),
        (0.6, "", 1),
        (0.6, "default_parallelism: 3, ", 2),
    ],
)
def test_a_control_mode_decides_the_width_before_a_rule_does(rate: float, settings: str, width: int) -> None:
    files = with_config(
        ("speculation: {enabled: true, default_parallelism: 2, ", "speculation: {" + settings)
    )
    surface = read({**files, REPORT: report(rate)})
    assert plan(surface, "critical").candidates == width


def test_the_control_mode_is_that_of_the_issues_domain() -> None:
    surface = read({**BASE, REPORT: report(0.3, fab_asset=0.9, fab_world=0.01)})
    widths = [
        plan(surface, "critical", tags=tags).candidates for tags in ((), ("asset:car",), ("asset:world",))
    ]
    assert widths == [2, 1, 3]


@pytest.mark.parametrize(
    ("match", "facts", "matches"),
    [
        ("tags_any: [a, b]", {"tags": ("b",)}, True),
        ("tags_any: [a, b]", {"tags": ("c",)}, False),
        ("tags_any: []", {"tags": ("c",)}, False),
        ("tags_any: x", {"tags": ()}, True),
        ("tags_all: [a, b]", {"tags": ("b", "a", "c")}, True),
        ("tags_all: [a, b]", {"tags": ("b",)}, False),
        ("tags_all: [a, 1]", {"tags": ("a", "b")}, False),
        ("dk_tool_hint: [codex, null]", {}, True),
        ("dk_tool_hint: codex", {}, False),
        ("dk_size: [L, XL]", {"size": "XL"}, True),
        ("dk_risk: yes", {}, False),
        ("title_pattern: '^Fix .*cache'", {"title": "Fix the cache"}, True),
        ("title_pattern: cache", {"title": "Fix the router"}, False),
        ("description_pattern: '(?i)CVE'", {"description": "see cve-1"}, True),
        ("dk_owner: me", {}, True),
        ("dk_risk: medium, dk_size: XS", {}, False),
    ],
)
def test_conditions_of_a_rule(match: str, facts: dict[str, Any], matches: bool) -> None:
    surface = base(("  rules:\n", f"  rules:\n    - {{match: {{{match}}}, use: [opencode]}}\n"))
    assert (plan(surface, **facts).rule == 0) == matches
