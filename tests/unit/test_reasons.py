"""What is told of how a run's environment is known."""

from __future__ import annotations

from typing import Any

from collectord.epochs.assign import FORCED, KnownBy
from collectord.epochs.outline import Outline, Placement
from collectord.epochs.reasons import run_document
from collectord.epochs.timeline import NOWHERE
from collectord.index.runs import DispatchedRun
from collectord.kernel.evidence import executed_json
from collectord.kernel.policy import normalise
from collectord.kernel.policy.feasible import Executed
from collectord.model import Epoch
from tests.support.environments import explaining, kernel, seen, shows

SPECULATED = executed_json(Executed("speculate_vote", 2, "codex", "low", "M", available=("claude", "codex")))
RUN = DispatchedRun("archive", "wc-1", "wc-1", 50, shows(timeout=None), SPECULATED, asks=False)


def _environment(model: str) -> dict[str, Any]:
    return dict(normalise({"toolchains": {"codex": {"model": model}, "claude": {}}}).components)


AB = {"A": _environment("m1"), "B": _environment("m2")}


def _reasons(position: int, known_by: KnownBy, *, looks: int = 2, kernels: int = 1) -> dict[str, Any]:
    epoch = Epoch(1, "A@None#0", "A", "policy", 50, 50, 1, 0)
    outline = Outline(
        {},
        {},
        (),
        (epoch,),
        epoch,
        (Placement("archive", 1, "A", position, known_by),),
        ("wc-1",),
        (0,),
        None,
    )
    ground = explaining(
        [seen("B", 1), seen("A", 2)][2 - looks :],
        AB,
        [kernel(20, 60, pid=number) for number in range(kernels)],
    )
    document = run_document(outline, RUN, ground)
    assert document is not None
    assert (document["number"], document["is_current"], document["fingerprint"]) == (1, True, "A")
    return dict(document["reasons"])


def test_an_action_that_its_environment_does_not_give_is_told_with_the_reason() -> None:
    for position in (0, 1):
        found = _reasons(position, KnownBy.MANIFEST, looks=1 + position)
        assert (found["known_by"], found["note"]) == ("manifest", FORCED)
        assert found["against"] == [
            "the policy gives ×1 at the most (toolchain_priority), the run had ×2",
        ]


def test_what_speaks_against_another_environment_is_told() -> None:
    [other] = _reasons(1, KnownBy.PROCESS)["contradicted"]
    assert (other["environment"], other["why"][0]) == ("B", "model codex: the run had m1, the environment m2")


def test_an_environment_that_only_runs_show_has_nothing_against_it() -> None:
    assert _reasons(NOWHERE, KnownBy.NOTHING)["against"] == []


def test_the_kernel_is_named_where_it_was_the_only_one_and_anything_is_known_of_files() -> None:
    assert _reasons(1, KnownBy.PROCESS)["kernel"] == {"pid": 0, "started_ms": 20, "command": "cyntra run"}
    for more in ({"kernels": 2}, {"kernels": 0}, {"looks": 0}):
        assert _reasons(0, KnownBy.EVIDENCE, **more)["kernel"] is None


def test_a_run_that_the_outline_does_not_know_has_no_epoch() -> None:
    nothing = Outline({}, {}, (), (), None, (), (), (), None)
    assert run_document(nothing, RUN, explaining([], {})) is None
