"""Whatever arrives in whatever order: the same runs give the same environments, epochs and numbers."""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from collectord.epochs.epochs import EVIDENCE, Cut
from collectord.epochs.fingerprint import fingerprint
from collectord.epochs.timeline import NOWHERE
from collectord.index.runs import DispatchedRun
from collectord.kernel.policy.normalise import normalise
from collectord.model import EnvironmentObservation
from tests.support.environments import NOTHING, assigned, components, folded, run, seen, shows
from tests.support.examples import examples

ENVIRONMENTS = {
    "A": components("m1", 60),
    "B": components("m2", 60),
    "C": components("m1", 120),
    "D": components("m2", 120),
}
SHOWN = [
    NOTHING,
    shows("claude", "opus"),
    *(shows(model=model, timeout=t) for model in ("m1", "m2", "m9") for t in (60, 120, None)),
]
LOOKS = st.lists(
    st.builds(
        lambda name, at, source: seen(name, at, source=source),
        st.sampled_from(sorted(ENVIRONMENTS)),
        st.integers(0, 60),
        st.sampled_from(["daemon", "start", "git"]),
    ),
    max_size=8,
)
RUNS = st.lists(st.tuples(st.integers(0, 70), st.sampled_from(SHOWN)), max_size=40).map(
    lambda drawn: [run(at, text, f"wc-{i:03d}") for i, (at, text) in enumerate(drawn)]
)
CUTS = st.lists(st.integers(0, 70).map(lambda at: Cut(at, "why")), max_size=2)


@settings(max_examples=examples(150), deadline=None)
@given(RUNS, LOOKS, CUTS, st.randoms(use_true_random=False))
def test_any_order_of_arrival_gives_the_same_epochs(
    runs: list[DispatchedRun], looks: list[EnvironmentObservation], cuts: list[Cut], dice: random.Random
) -> None:
    mixed, mixed_cuts = dice.sample(runs, len(runs)), dice.sample(cuts, len(cuts))
    assert folded(mixed, looks, ENVIRONMENTS, mixed_cuts) == folded(runs, looks, ENVIRONMENTS, cuts)


@settings(max_examples=examples(150), deadline=None)
@given(RUNS, LOOKS, CUTS)
@example(
    [run(at, NOTHING, f"wc-{at:03d}") for at in range(3)],
    [seen("A", 1, source="daemon"), seen("A", 2, source="daemon"), seen("B", 1, source="daemon")],
    [],
)
def test_every_run_is_of_just_one_epoch_and_numbers_go_by_the_first_dispatch(
    runs: list[DispatchedRun], looks: list[EnvironmentObservation], cuts: list[Cut]
) -> None:
    found = folded(runs, looks, ENVIRONMENTS, cuts)
    assert [e.number for e in found.epochs] == list(range(1, len(found.epochs) + 1))
    assert [e.first_ms for e in found.epochs] == sorted(e.first_ms for e in found.epochs)
    assert sum(e.runs for e in found.epochs) == len(runs) == len(found.number_of)
    assert len({e.key for e in found.epochs}) == len(found.epochs)
    for item in runs:
        epoch = found.epochs[found.number_of[item.kind, item.name] - 1]
        assert epoch.first_ms <= item.started_ms <= epoch.last_ms


@settings(max_examples=examples(150), deadline=None)
@given(RUNS, LOOKS)
def test_a_run_never_has_an_environment_that_contradicts_it_or_came_after_it(
    runs: list[DispatchedRun], looks: list[EnvironmentObservation]
) -> None:
    from collectord.epochs.unexplained import facts_of, facts_shown
    from collectord.kernel.evidence import evidence_from

    for found in assigned(runs, looks, ENVIRONMENTS).runs:
        assert found.position <= max(found.newest, 0)
        if found.position != NOWHERE and found.fingerprint:
            facts = facts_of(ENVIRONMENTS[found.fingerprint])
            assert facts.agrees(facts_shown(evidence_from(found.run.evidence)))


@settings(max_examples=examples(100), deadline=None)
@given(RUNS, LOOKS)
def test_there_are_never_more_epochs_than_environments_that_stood_or_were_shown(
    runs: list[DispatchedRun], looks: list[EnvironmentObservation]
) -> None:
    found = folded(runs, looks, ENVIRONMENTS)
    unexplained = {e.fingerprint for e in found.epochs if e.origin == EVIDENCE}
    assert len(found.epochs) <= len(looks) + len(unexplained) + 1
    assert sum(e.origin == EVIDENCE for e in found.epochs) == len(unexplained)


@settings(max_examples=examples(100), deadline=None)
@given(RUNS, LOOKS)
def test_what_was_sealed_keeps_its_key_while_runs_of_later_epochs_come_in(
    runs: list[DispatchedRun], looks: list[EnvironmentObservation]
) -> None:
    """Folding as runs come in ends where folding from nothing does."""
    so_far: list[DispatchedRun] = []
    last = folded([], looks, ENVIRONMENTS)
    for item in sorted(runs, key=lambda r: (r.started_ms, r.name)):
        so_far.append(item)
        last = folded(so_far, looks, ENVIRONMENTS)
    assert last == folded(runs, looks, ENVIRONMENTS)


def _shuffled(value: Any, dice: random.Random) -> Any:
    if not isinstance(value, dict):
        return value
    keys = dice.sample(sorted(value), len(value))
    return {key: _shuffled(value[key], dice) for key in keys}


@settings(max_examples=examples(60), deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 9), st.booleans())
def test_the_order_of_keys_does_not_move_a_fingerprint(
    dice: random.Random, minutes: int, enabled: bool
) -> None:
    config = {
        "toolchains": {"codex": {"timeout_minutes": minutes, "model": "m"}, "claude": {"enabled": enabled}},
        "gates": {"test_command": "pytest", "timeout_seconds": 300},
        "speculation": {"auto_trigger": {"risk_levels": ["high"], "on_critical_path": False}},
    }
    again = json.loads(json.dumps(_shuffled(config, dice)))
    assert fingerprint(normalise(config)) == fingerprint(normalise(again))
