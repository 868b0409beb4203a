"""What a manifest shows of its run's environment is taken where it is there, and only then."""

from __future__ import annotations

from typing import Any

import pytest

from collectord.kernel.evidence import (
    evidence_from,
    evidence_json,
    evidence_of,
    situation_from,
    situation_json,
    situation_of,
)
from collectord.model import Evidence, Situation

MANIFEST: dict[str, Any] = {
    "job_type": "code",
    "toolchain": "codex",
    "toolchain_config": {"model": "gpt-5.2", "prompt_genome_id": "g1"},
    "quality_gates": {"test": "pytest -q", "lint": "ruff check ."},
    "control": {"mode": "trap"},
    "issue": {"id": "1", "tags": ["b", "a"], "dk_risk": "low"},
    "planner": {
        "planner_input": {
            "universe_id": "lab",
            "universe_defaults": {"swarm_id": "speculate_vote", "objective_id": None},
            "action_space": {"swarm_ids": ["speculate_vote", "serial_handoff"]},
            "issue": {"dk_risk": "high", "dk_size": "S", "dk_tool_hint": None, "tags": ["z", "y", "z"]},
            "system_state": {"available_toolchains": ["codex", "claude"]},
        },
        "executed_plan": {"timeout_seconds_executed": 3600},
        "timeout_seconds_override": None,
    },
}


def test_everything_a_manifest_shows_is_taken() -> None:
    assert evidence_of(MANIFEST, "code") == Evidence(
        toolchain="codex",
        model="gpt-5.2",
        prompt_genome_id="g1",
        domain="code",
        gates=(("lint", "ruff check ."), ("test", "pytest -q")),
        control_mode="trap",
        timeout_seconds=3600,
        universe_id="lab",
        universe_defaults=("speculate_vote", None),
        swarm_ids=("serial_handoff", "speculate_vote"),
    )


def test_an_overridden_timeout_is_no_evidence() -> None:
    manifest = {**MANIFEST, "planner": {**MANIFEST["planner"], "timeout_seconds_override": 900}}
    found = evidence_of(manifest, "code")
    assert (found.timeout_seconds, found.overridden) == (None, ("timeout",))


@pytest.mark.parametrize(
    ("issue", "domain"),
    [({"dk_quality_gates": {"test": "true"}}, "code"), ({}, "fab_asset"), ({}, "fab_world")],
)
def test_gates_of_the_issue_or_of_an_asset_are_no_evidence(issue: dict[str, Any], domain: str) -> None:
    found = evidence_of({**MANIFEST, "issue": issue}, domain)
    assert (found.gates, found.overridden) == (None, ("gates",))


@pytest.mark.parametrize(
    "junk", [None, 7, "text", [], {}, {"planner": 1}, {"planner": {"executed_plan": []}}]
)
def test_a_manifest_of_any_shape_gives_evidence_of_nothing(junk: Any) -> None:
    found = evidence_of({"toolchain": junk, "quality_gates": junk, "control": junk, "planner": junk}, "code")
    text = "text" if junk == "text" else None
    assert found == Evidence(toolchain=text, domain="code")


@pytest.mark.parametrize("seconds", [True, 0, -1, 3600.0, "3600", 2**63, None])
def test_a_timeout_that_is_no_whole_number_of_seconds_is_no_evidence(seconds: Any) -> None:
    planner = {"executed_plan": {"timeout_seconds_executed": seconds}}
    assert evidence_of({"planner": planner}, "code").timeout_seconds is None


def test_long_texts_are_kept_as_digests_that_tell_them_apart() -> None:
    one, other = (evidence_of({"toolchain": "x" * 10_000 + end}, "code") for end in "ab")
    assert one.toolchain is not None
    assert one.toolchain.startswith("sha256:")
    assert one != other


def test_an_issue_is_known_by_the_recorded_input_before_the_manifest() -> None:
    assert situation_of(MANIFEST) == Situation(
        "code", "high", "S", None, ("y", "z"), available_toolchains=("claude", "codex")
    )
    assert situation_of({**MANIFEST, "planner": None}) == Situation("code", "low", None, None, ("a", "b"))


def test_evidence_and_situations_come_back_from_the_index_as_they_went_in() -> None:
    odd = {**MANIFEST, "toolchain": "\ud800\0"}
    for manifest in (MANIFEST, odd, {}):
        assert evidence_from(evidence_json(evidence_of(manifest, "code"))) == evidence_of(manifest, "code")
        assert situation_from(situation_json(situation_of(manifest))) == situation_of(manifest)
        assert evidence_json(evidence_of(manifest, "code")).isascii()
