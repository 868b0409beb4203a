"""The facts of a run's artifacts come back from the index as they were; those of another version do not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectord.kernel.artifact_facts import (
    ArtifactFacts,
    Asked,
    artifact_facts_from,
    artifact_facts_json,
    artifact_facts_of,
)

PLANNER: dict[str, Any] = {
    "planner_action": {
        "input_hash": "a" * 64,
        "swarm_id": "speculate_vote",
        "budgets": {"max_candidates_bin": 2, "max_minutes_bin": "NA"},
    }
}
MANIFEST: dict[str, Any] = {
    "issue": {"dk_risk": "high", "dk_size": "L", "tags": ["a", "\ud800", 3]},
    "planner": PLANNER,
    "quality_gates": {"test": "true", "lint": {"command": "ruff check"}},
}
PROOF: dict[str, Any] = {
    "verification": {"gates": {"test": {"passed": False, "fail_codes": ["no_space"], "exit_code": 1}}},
    "patch": {"diff_stats": {"insertions": 10**30, "deletions": 1}},
}


def test_facts_come_back_as_they_were() -> None:
    found = artifact_facts_of(MANIFEST, PROOF)
    assert (found.risk, found.tags, found.requested) == (
        "high",
        ("a", "\ud800"),
        Asked("speculate_vote", 2, "NA"),
    )
    assert (found.empty_gates, found.failed_gates, found.cause) == (("test",), ("test",), "no disk space")
    assert found.diff_lines == 10**30 + 1
    assert artifact_facts_json(found).isascii()
    assert artifact_facts_from(artifact_facts_json(found)) == found


@pytest.mark.parametrize("text", [None, "", "[]", artifact_facts_json(ArtifactFacts()).replace("[1,", "[0,")])
def test_what_another_version_told_is_nothing(text: str | None) -> None:
    assert artifact_facts_from(text) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMED = st.dictionaries(
    st.sampled_from(["issue", "planner", "quality_gates", "control", "verification", "patch", "metadata"]),
    JSON | st.dictionaries(st.sampled_from(["gates", "planner_input", "executed_plan", "tags"]), JSON),
)


@given(NAMED, NAMED)
def test_no_document_is_too_odd_to_be_told(manifest: dict[str, Any], proof: dict[str, Any]) -> None:
    found = artifact_facts_of(manifest, proof)
    assert artifact_facts_from(artifact_facts_json(found)) == found
