"""Equal issues with different labels in one epoch are told, with what the manifests show of the cause."""

from __future__ import annotations

from typing import Any

from collectord.epochs.actions import Actions
from collectord.epochs.contradictions import Contradiction, Policy, contradictions, varieties
from collectord.epochs.observe import environment_of
from collectord.index.runs import DispatchedRun
from collectord.kernel.evidence import executed_json, situation_json
from collectord.kernel.policy import normalise
from collectord.kernel.policy.feasible import Executed
from collectord.model import Situation
from tests.support.environments import shows

CONFIG: dict[str, Any] = {
    "toolchain_priority": ["codex", "claude", "crush"],
    "toolchains": {
        "codex": {"timeout_minutes": 60},
        "claude": {"timeout_minutes": 60},
        "crush": {"timeout_minutes": 45},
    },
    "routing": {
        "rules": [
            {
                "match": {"dk_risk": "critical"},
                "speculate": True,
                "parallelism": 3,
                "use": ["codex", "claude", "crush"],
            },
            {"match": {}, "use": ["codex"]},
        ]
    },
}
POLICY = Policy(environment_of(normalise(CONFIG)), Actions(), lambda _issue: False)


def _run(
    name: str, swarm: str = "serial_handoff", width: int = 1, seconds: int = 3600, **more: Any
) -> DispatchedRun:
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
    toolchain, risk, size = more.get("toolchain", "codex"), issue.risk or "", issue.size or ""
    executed = Executed(swarm, width, toolchain, risk, size, None, issue.tags, issue.available_toolchains)
    return DispatchedRun(
        "archive",
        name,
        name,
        1,
        evidence,
        executed_json(executed),
        situation=situation_json(issue),
        digest="d",
        plan=plan,
        issue_id=name,
    )


def _found(*runs: DispatchedRun, policy: Policy | None = None) -> list[Contradiction]:
    return list(contradictions(runs, policy or Policy()))


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


def _winner(name: str, toolchain: str, seconds: int, width: int = 3) -> DispatchedRun:
    return _run(name, "speculate_vote", width, seconds, risk="critical", toolchain=toolchain)


def test_labels_of_a_speculation_whose_toolchains_have_other_timeouts_are_no_contradiction() -> None:
    runs = _winner("a", "codex", 3600), _winner("b", "crush", 2700), _winner("c", "codex", 3600)
    assert len(_found(*runs)) == 1
    assert _found(*runs, policy=POLICY) == []
    [variety] = varieties(runs, POLICY)
    assert (variety.rule, variety.rows, variety.lost) == (0, 3, 1)
    assert variety.labels == ("speculate_vote×3 45 min", "speculate_vote×3 60 min")
    assert (
        variety.remedy
        == "equal timeouts of the rule's toolchains (codex 60 min, claude 60 min, crush 45 min)"
    )


def test_what_only_the_critical_path_decides_is_no_contradiction() -> None:
    runs = _run("a", risk="high"), _run("b", "speculate_vote", 2, risk="high")
    assert _found(*runs, policy=POLICY) == []
    assert "critical path" in varieties(runs, POLICY)[0].remedy


def test_a_label_that_the_policy_cannot_give_is_one_and_the_run_is_named() -> None:
    runs = _winner("a", "codex", 3600), _run("b", risk="critical")
    [found] = _found(*runs, policy=POLICY)
    assert found.likely == (
        "1 of 2 runs cannot come out of the epoch's policy, such as b: the policy gives speculate_vote "
        "(rule 0 speculates), the run had serial_handoff",
    )
    assert varieties(runs, POLICY) == []


def test_the_critical_path_is_no_likely_cause_where_nobody_checked_it() -> None:
    [found] = _found(_run("a", risk="high"), _run("b", "speculate_vote", 2, risk="high"))
    assert found.likely == ()
