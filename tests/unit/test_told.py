"""What manifest and proof tell of a run comes back from the index as it was; of another version nothing does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectord.kernel.told import Asked, Told, tell, told_from, told_json

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


def test_what_was_told_comes_back_as_it_was() -> None:
    told = tell(MANIFEST, PROOF)
    assert (told.risk, told.tags, told.requested) == (
        "high",
        ("a", "\ud800"),
        Asked("speculate_vote", 2, "NA"),
    )
    assert (told.empty_gates, told.failed_gates, told.cause) == (("test",), ("test",), "no disk space")
    assert told.diff_lines == 10**30 + 1
    assert told_json(told).isascii()
    assert told_from(told_json(told)) == told


@pytest.mark.parametrize("text", [None, "", "[]", told_json(Told()).replace("[1,", "[0,")])
def test_what_another_version_told_is_nothing(text: str | None) -> None:
    assert told_from(text) is None


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
    told = tell(manifest, proof)
    assert told_from(told_json(told)) == told
