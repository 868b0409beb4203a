"""The routing function against what a real kernel executed: the 66 manifests of the golden run."""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collectord.kernel.policy import Action, IssueFacts, Surface, normalise, plan_action
from collectord.kernel.policy.documents import parse_yaml

CORPUS = Path(__file__).parent.parent / "golden" / "kernel-run.tar.gz"


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    with tarfile.open(CORPUS) as corpus:
        return {
            member.name.removeprefix("./"): stream.read()
            for member in corpus
            if member.isfile() and (stream := corpus.extractfile(member))
        }


@pytest.fixture(scope="module")
def surface(files: dict[str, bytes]) -> Surface:
    return normalise(parse_yaml(files[".cyntra/config.yaml"]))


def manifests(files: dict[str, bytes]) -> Iterator[dict[str, Any]]:
    return (json.loads(data) for name, data in files.items() if name.endswith("/manifest.json"))


def planned(surface: Surface, manifest: dict[str, Any]) -> Action:
    recorded = manifest["planner"]["planner_input"]
    issue = recorded["issue"]
    facts = IssueFacts(
        issue["dk_risk"],
        issue["dk_size"],
        issue["dk_tool_hint"],
        tuple(issue["tags"]),
        issue["title"],
        manifest["issue"]["description"],
    )
    return plan_action(surface, facts, frozenset(recorded["system_state"]["available_toolchains"]))


def test_every_executed_plan_of_the_golden_run_is_what_the_rules_say(
    files: dict[str, bytes], surface: Surface
) -> None:
    """Nothing is left to explain: no hints, no critical path (no dependencies), no planner, no report."""
    seen: Counter[str] = Counter()
    for manifest in manifests(files):
        plan = manifest["planner"]["executed_plan"]
        action = planned(surface, manifest)
        timeouts = dict(zip(action.toolchains, action.timeouts, strict=True))
        assert (action.swarm_id, action.candidates, timeouts[manifest["toolchain"]]) == (
            plan["swarm_id_executed"],
            plan["max_candidates_executed"],
            plan["timeout_seconds_executed"],
        ), manifest["workcell_id"]
        seen[f"{action.swarm_id}×{action.candidates}"] += 1
    assert seen == {"serial_handoff×1": 47, "speculate_vote×2": 12, "speculate_vote×3": 7}


def test_only_where_candidates_differ_in_time_does_the_winner_decide_the_timeout(
    files: dict[str, bytes], surface: Surface
) -> None:
    unsaid = {
        manifest["planner"]["planner_input"]["issue"]["dk_risk"]
        for manifest in manifests(files)
        if planned(surface, manifest).timeout_seconds is None
    }
    assert unsaid == {"critical"}, "codex and claude have 60 minutes, opencode 45"


def test_models_gates_and_control_modes_of_the_manifests_are_those_of_the_surface(
    files: dict[str, bytes], surface: Surface
) -> None:
    toolchains, gates = surface.components["toolchains"], surface.components["gates"]
    commands = {name: gates[f"{name}_command"] for name in ("test", "typecheck", "lint")}
    for manifest in manifests(files):
        assert manifest["toolchain_config"]["model"] == toolchains[manifest["toolchain"]]["model"]
        assert manifest["quality_gates"] == commands
        assert manifest["control"]["mode"] == surface.components["control"]["modes"]["code"]
