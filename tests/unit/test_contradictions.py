"""Equal issues with different labels in one epoch are told, with what the manifests show of the cause."""

from __future__ import annotations

from typing import Any

from collectord.cyntra.evidence import situation_json
from collectord.environment.contradictions import Contradiction, contradictions
from collectord.index.shown import ShownRun
from collectord.model import Situation
from tests.support.environments import shows

AUTOMATIC = {
    "speculation": {"auto_trigger_on_critical_path": True, "auto_trigger_risk_levels": ["high", "critical"]}
}


def _run(
    name: str, swarm: str = "serial_handoff", width: int = 1, seconds: int = 3600, **more: Any
) -> ShownRun:
    issue = Situation(
        "code",
        more.get("risk", "low"),
        more.get("size", "S"),
        None,
        more.get("tags", ("a",)),
        more.get("available"),
    )
    plan = None if more.get("planless") else (swarm, width, seconds, None)
    evidence = shows(more.get("toolchain", "codex"))
    return ShownRun("archive", name, name, 1, evidence, situation_json(issue), "d", plan)


def _found(*runs: ShownRun, components: dict[str, Any] | None = None) -> list[Contradiction]:
    return list(contradictions(runs, components or {}))


def test_equal_labels_and_other_issues_are_no_contradiction() -> None:
    assert (
        _found(_run("a"), _run("b"), _run("c", risk="high", seconds=60), _run("d", tags=(), seconds=60)) == []
    )
    assert _found(_run("a"), _run("b", planless=True)) == []


def test_timeouts_in_one_bin_are_one_label() -> None:
    assert _found(_run("a", seconds=3600), _run("b", seconds=3660)) == []


def test_different_labels_of_one_issue_are_told_with_their_runs() -> None:
    [found] = _found(_run("a"), _run("b"), _run("c", seconds=1800))
    assert {text: [r.name for r in runs] for (_, text), runs in found.by_label.items()} == {
        "serial_handoff×1 60 min": ["a", "b"],
        "serial_handoff×1 30 min": ["c"],
    }
    assert (found.issue.risk, found.issue.size, found.issue.tags, found.likely) == ("low", "S", ("a",), ())


def test_missing_toolchains_are_named() -> None:
    one = _run("a", available=("claude", "codex"))
    [found] = _found(one, _run("b", seconds=1800, available=("claude",), toolchain="claude"))
    assert found.likely == (
        "missing toolchains: codex was not available at 1 of 2 dispatches",
        "different toolchains ran: claude 1, codex 1",
    )


def test_the_critical_path_is_named_where_the_environment_lets_it_speculate() -> None:
    runs = _run("a", risk="high"), _run("b", "speculate_vote", 2, risk="high")
    [found] = _found(*runs, components=AUTOMATIC)
    assert any("critical path" in words for words in found.likely)
    [found] = _found(*runs)
    assert found.likely == ()
