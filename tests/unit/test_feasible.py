"""Which executed actions can come out of a policy: (issue, executed action, environment) triples."""

from __future__ import annotations

import re
from typing import Any

import pytest

from collectord.kernel.evidence import (
    MAX_DESCRIPTION,
    executed_from,
    executed_json,
    executed_of,
    issue_text_from,
    issue_text_json,
    issue_text_of,
)
from collectord.kernel.policy import normalise
from collectord.kernel.policy.feasible import (
    Executed,
    IssueText,
    Verdict,
    as_looked_at,
    judge,
    possible_labels,
    tags_looked_at,
)

YES, NO, OPEN = Verdict.POSSIBLE, Verdict.IMPOSSIBLE, Verdict.UNDECIDED
SERIAL, SPEC = "serial_handoff", "speculate_vote"
ALL = ("claude", "codex", "crush", "opencode")
BASE: dict[str, Any] = {
    "toolchain_priority": ["codex", "claude", "opencode", "crush"],
    "toolchains": {
        "codex": {"timeout_minutes": 60},
        "claude": {"timeout_minutes": 60},
        "opencode": {"timeout_minutes": 45},
        "crush": {"timeout_minutes": 45},
        "comfyui": {"timeout_minutes": 10},
    },
    "routing": {
        "rules": [
            {"match": {"dk_tool_hint": "codex"}, "use": ["codex"]},
            {"match": {"tags_any": ["asset:image"]}, "use": ["comfyui"]},
            {"match": {"tags_all": ["a", "b"]}, "use": ["crush"]},
            {
                "match": {"dk_risk": "critical"},
                "speculate": True,
                "parallelism": 3,
                "use": ["codex", "claude", "crush"],
            },
            {"match": {"dk_risk": ["low"], "dk_size": ["XS", "S"]}, "use": ["opencode"]},
            {"match": {}, "use": ["claude"]},
        ],
        "fallbacks": {"claude": ["codex", "opencode"], "opencode": ["claude"]},
    },
}


def _with(**sections: Any) -> dict[str, Any]:
    return {**BASE, **sections}


def _rules(*rules: dict[str, Any]) -> dict[str, Any]:
    return _with(routing={"rules": list(rules), "fallbacks": BASE["routing"]["fallbacks"]})


def _off(*names: str) -> dict[str, Any]:
    return _with(toolchains={**BASE["toolchains"], **{name: {"enabled": False} for name in names}})


TRAP = {"action_summary": {"global_action_rate": 0.0}}
CHAOS = {"action_summary": {"global_action_rate": 1.0}}
BALANCED = {"action_summary": {"global_action_rate": 0.3}}
PATTERN = _rules(
    {"match": {"title_pattern": "^URGENT"}, "speculate": True, "parallelism": 2, "use": ["codex", "claude"]},
    {"match": {}, "use": ["claude"]},
)
ENFORCE = _with(planner={"mode": "enforce"})
NO_PATH = _with(speculation={"auto_trigger_on_critical_path": False})
NEVER = _with(speculation={"enabled": False})


def _run(swarm: str, width: int | None, toolchain: str | None, **issue: Any) -> Executed:
    given = {"available": ALL, "asks": False, **issue}
    return Executed(swarm, width, toolchain, **given)


# (executed, configuration, verdict, then what `normalise` or `judge` is given besides)
TABLE: list[tuple[Executed, dict[str, Any], Verdict, dict[str, Any]]] = [
    # a serial run by rules, size, tags
    (_run(SERIAL, 1, "claude"), BASE, YES, {}),
    (_run(SERIAL, 1, "codex"), BASE, NO, {}),
    (_run(SERIAL, 1, "opencode", risk="low", size="S"), BASE, YES, {}),
    (_run(SERIAL, 1, "claude", risk="low", size="S"), BASE, NO, {}),
    (_run(SERIAL, 1, "opencode", risk="low", size="L"), BASE, NO, {}),
    (_run(SERIAL, 1, "crush", tags=("a", "b", "c")), BASE, YES, {}),
    (_run(SERIAL, 1, "crush", tags=("a",)), BASE, NO, {}),
    (_run(SERIAL, 1, None), BASE, YES, {}),
    (_run(SERIAL, 2, "claude"), BASE, NO, {}),
    (_run(SERIAL, None, "claude"), BASE, YES, {}),
    # hints
    (_run(SERIAL, 1, "crush", tool_hint="crush"), BASE, YES, {}),
    (_run(SERIAL, 1, "claude", tool_hint="crush"), BASE, NO, {}),
    (_run(SERIAL, 1, "crush", tool_hint="crush", available=("claude",)), BASE, YES, {}),  # it has an adapter
    (_run(SERIAL, 1, "claude", tool_hint="nobody"), BASE, YES, {}),
    (_run(SERIAL, 1, "claude", tool_hint="comfyui"), BASE, YES, {}),  # not in the priority: no adapter
    (_run(SERIAL, 1, "comfyui", tool_hint="comfyui"), BASE, NO, {}),
    (_run(SPEC, 3, "opencode", risk="critical", tool_hint="opencode"), BASE, YES, {}),  # the hint comes first
    # toolchains that are not available, fallbacks, the priority, the last resort
    (_run(SERIAL, 1, "codex", available=("codex", "crush")), BASE, YES, {}),
    (_run(SERIAL, 1, "opencode", available=("crush", "opencode")), BASE, YES, {}),
    (_run(SERIAL, 1, "crush", available=("crush",)), BASE, YES, {}),
    (_run(SERIAL, 1, "crush", available=("codex", "crush")), BASE, NO, {}),
    (_run(SERIAL, 1, "codex", available=()), BASE, YES, {}),
    (_run(SERIAL, 1, "claude", available=()), BASE, NO, {}),
    (_run(SERIAL, 1, "codex", available=None), BASE, YES, {}),  # claude may have been missing
    (_run(SERIAL, 1, "crush", available=None), BASE, YES, {}),
    (_run(SERIAL, 1, "comfyui", available=None), BASE, NO, {}),
    (_run(SERIAL, 1, "codex", tags=("asset:image",)), BASE, YES, {}),  # comfyui is not started
    # toolchains that are switched off
    (_run(SERIAL, 1, "claude", available=None), _off("claude"), NO, {}),
    (_run(SERIAL, 1, "codex", available=None), _off("claude"), YES, {}),
    (_run(SERIAL, 1, "claude", available=("claude",)), _off("claude"), NO, {}),
    (_run(SERIAL, 1, "claude"), _off("opencode"), NO, {}),  # opencode was available
    # width
    (_run(SPEC, 3, "crush", risk="critical"), BASE, YES, {}),
    (_run(SPEC, 4, "crush", risk="critical"), BASE, NO, {}),
    (_run(SPEC, 2, "codex", risk="critical"), BASE, NO, {}),
    (_run(SPEC, 2, "codex", risk="critical", available=("claude", "codex")), BASE, YES, {}),
    (_run(SPEC, 2, "crush", risk="critical", available=("claude", "codex")), BASE, NO, {}),
    (_run(SPEC, 2, "codex", risk="critical", available=None), BASE, OPEN, {}),
    (_run(SPEC, 4, "codex", risk="critical", available=None), BASE, NO, {}),
    (_run(SPEC, 3, "opencode", risk="critical", available=None), BASE, NO, {}),
    (_run(SPEC, 1, "codex", risk="critical", available=("codex",)), BASE, YES, {}),
    (_run(SPEC, 1, "opencode", risk="critical", available=("opencode",)), BASE, NO, {}),  # dispatches nothing
    (_run(SERIAL, 1, "claude", risk="critical"), BASE, NO, {}),
    (_run(SPEC, 3, "codex", risk="critical"), _with(speculation={"max_parallelism": 2}), YES, {}),
    # control modes
    (_run(SPEC, 3, "codex", risk="critical"), BASE, YES, {"report": TRAP}),
    (_run(SPEC, 2, "codex", risk="critical"), BASE, YES, {"report": BALANCED}),
    (_run(SPEC, 3, "codex", risk="critical"), BASE, NO, {"report": BALANCED}),
    (_run(SPEC, 1, "codex", risk="critical"), BASE, YES, {"report": CHAOS}),
    (_run(SPEC, 2, "codex", risk="critical"), BASE, NO, {"report": CHAOS}),
    (
        _run(SPEC, 3, "codex", risk="critical"),
        _with(speculation={"max_parallelism": 2}),
        NO,
        {"report": TRAP},
    ),
    # the critical path, dk_speculate, --speculate
    (_run(SERIAL, 1, "claude", risk="high"), BASE, YES, {}),
    (_run(SPEC, 2, "codex", risk="high"), BASE, YES, {}),
    (_run(SPEC, 2, "codex", risk="high"), NO_PATH, NO, {}),
    (_run(SPEC, 2, "codex", risk="medium"), BASE, NO, {}),
    (_run(SPEC, 2, "codex", risk="medium", asks=True), BASE, YES, {}),
    (_run(SPEC, 2, "codex", risk="medium", asks=None), BASE, YES, {}),
    (_run(SERIAL, 1, "claude", risk="medium", asks=None), BASE, YES, {}),
    (_run(SERIAL, 1, "claude", risk="medium", asks=True), BASE, NO, {}),
    (_run(SPEC, 2, "codex", risk="medium", asks=True), NEVER, NO, {}),
    (_run(SPEC, 2, "codex", risk="medium"), BASE, YES, {"speculates_always": True}),
    (_run(SERIAL, 1, "claude", risk="medium"), BASE, NO, {"speculates_always": True}),
    (_run(SERIAL, 1, "claude", risk="medium"), NEVER, YES, {"speculates_always": True}),
    # patterns
    (_run(SPEC, 2, "codex"), PATTERN, YES, {"text": IssueText("URGENT: x", "")}),
    (_run(SPEC, 2, "codex"), PATTERN, NO, {"text": IssueText("not so urgent", "")}),
    (_run(SERIAL, 1, "claude"), PATTERN, NO, {"text": IssueText("URGENT: x", "")}),
    (_run(SERIAL, 1, "claude"), PATTERN, OPEN, {"text": IssueText()}),
    (_run(SPEC, 2, "codex"), PATTERN, OPEN, {"text": IssueText(None, "")}),
    (_run(SPEC, 3, "codex"), PATTERN, NO, {"text": IssueText()}),
    (_run(SERIAL, 1, "codex"), PATTERN, NO, {"text": IssueText()}),
    (_run(SERIAL, 1, "claude"), PATTERN, OPEN, {"text": IssueText("GIVE UP", "")}),
    # enforce: a model may reduce
    (_run(SPEC, 2, "codex", risk="critical"), ENFORCE, OPEN, {}),
    (_run(SERIAL, 1, "claude", risk="critical"), ENFORCE, OPEN, {}),
    (_run(SPEC, 4, "codex", risk="critical"), ENFORCE, NO, {}),
    (_run(SPEC, 2, "codex", risk="low"), ENFORCE, NO, {}),
    (_run(SPEC, 3, "codex", risk="critical"), ENFORCE, YES, {}),
    (_run(SERIAL, 1, "codex"), ENFORCE, NO, {}),
    # other swarms, assets and worlds
    (_run("a_swarm_of_its_own", 2, "codex"), BASE, OPEN, {}),
    (_run(SERIAL, 1, "claude", tags=("asset:world",)), BASE, YES, {}),
    (_run(SERIAL, 1, "crush", tags=("asset:car",)), BASE, NO, {}),
    # nulls in lists of a rule
    (_run(SERIAL, 1, "crush"), _rules({"match": {"dk_tool_hint": [None]}, "use": ["crush"]}), YES, {}),
    (_run(SERIAL, 1, "codex"), _rules({"match": {"dk_tool_hint": ["x"]}, "use": ["crush"]}), YES, {}),
]


def _find(pattern: str, text: str) -> bool | None:
    return None if text == "GIVE UP" else re.search(pattern, text) is not None


def test_the_table_is_large_enough() -> None:
    assert len(TABLE) >= 60
    assert {verdict for _, _, verdict, _ in TABLE} == set(Verdict)


@pytest.mark.parametrize("row", range(len(TABLE)))
def test_an_action_is_possible_impossible_or_undecided(row: int) -> None:
    executed, config, verdict, more = TABLE[row]
    given = {key: value for key, value in more.items() if key != "text"}
    found = judge(normalise(config, **given).components, executed, more.get("text", IssueText("", "")), _find)
    assert found.verdict is verdict, found.reason
    assert found.reason


def test_labels_of_a_speculation_are_those_of_any_of_its_toolchains() -> None:
    executed = _run(SPEC, 3, "codex", risk="critical")
    found = possible_labels(normalise(BASE).components, executed, IssueText("", ""), _find)
    assert {(p.swarm_id, p.candidates, p.timeout_seconds, p.rule) for p in found} == {
        (SPEC, 3, 3600, 3),
        (SPEC, 3, 2700, 3),
    }


def _manifest(**issue: Any) -> dict[str, Any]:
    given = {"dk_risk": "high", "dk_size": "M", "tags": ["a", 5, ""], "title": "t", **issue}
    plan = {"swarm_id_executed": SPEC, "timeout_seconds_executed": 60, "max_candidates_executed": 2}
    state = {"available_toolchains": ["codex", "claude"]}
    return {
        "toolchain": "codex",
        "issue": {"title": "t\ud800", "description": None, "tags": ["other"]},
        "planner": {"planner_input": {"issue": given, "system_state": state}, "executed_plan": plan},
    }


def test_a_manifest_gives_the_recorded_issue_and_what_was_executed() -> None:
    manifest = _manifest()
    found = executed_of(manifest)
    assert found == Executed(SPEC, 2, "codex", "high", "M", None, ("a",), ("claude", "codex"))
    assert executed_from(executed_json(found)) == found
    text = issue_text_of(manifest)
    assert text == IssueText("t\ud800", "")
    assert issue_text_from(issue_text_json(text)) == text


def test_what_is_not_known_well_enough_is_not_judged() -> None:
    assert executed_of({}) is None
    assert executed_of(_manifest(dk_risk=5)) is None
    assert executed_of(_manifest(dk_size="x" * 1000)) is None
    assert executed_of(_manifest(tags=["t"] * 1000)) is None
    manifest = _manifest()
    manifest["planner"]["planner_input"]["system_state"] = [1]
    found = executed_of(manifest)
    assert found is not None
    assert found.available is None
    manifest["issue"]["description"] = "x" * (MAX_DESCRIPTION + 1)
    assert issue_text_of(manifest).description is None
    assert issue_text_of({"issue": []}) == IssueText()


def test_no_toolchain_available_is_not_the_same_as_not_known() -> None:
    for available in ((), None):
        executed = Executed(SERIAL, 1, "codex", available=available)
        assert executed_from(executed_json(executed)).available == available


@pytest.mark.parametrize("config", [BASE, PATTERN, ENFORCE, NO_PATH, NEVER, _with(**TRAP)])
def test_tags_that_nothing_looks_at_change_no_answer(config: dict[str, Any]) -> None:
    components = normalise(config).components
    named = tags_looked_at(components)
    sets = [
        (),
        ("a",),
        ("b", "a"),
        ("x", "a", "b", "y"),
        ("asset:image", "z"),
        ("asset:world", "asset:x", "q"),
    ]
    for swarm, width, tool in (
        (SERIAL, 1, "codex"),
        (SERIAL, 1, "crush"),
        (SPEC, 3, "claude"),
        (SPEC, 2, "codex"),
    ):
        for tags in sets:
            run = _run(swarm, width, tool, tags=tags, risk="critical" if width > 1 else "low")
            alike = as_looked_at(run, named)
            assert not {"x", "y", "z", "q"} & set(alike.tags)
            given = components, IssueText(None, None), lambda _pattern, _text: None
            assert judge(given[0], alike, *given[1:]) == judge(given[0], run, *given[1:])
            assert possible_labels(given[0], alike, *given[1:]) == possible_labels(given[0], run, *given[1:])
