"""Runs, kernels, edits and commits arrive in any order and any interleaving: the same epochs and seals."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from collectord.epochs.assign import KnownBy, assign
from collectord.epochs.epochs import POLICY, Folded, fold, next_steps
from collectord.epochs.fingerprint import fingerprint
from collectord.epochs.timeline import READS_AFTER_MS
from collectord.index.environments import Seal
from collectord.index.runs import DispatchedRun
from collectord.kernel.evidence import executed_json
from collectord.kernel.policy import Surface, normalise
from collectord.kernel.policy.feasible import Executed
from collectord.model import EnvironmentObservation, KernelSession
from tests.support.environments import NOTHING, explaining, kernel, seen, shows
from tests.support.examples import examples


def _components(width: int, model: str) -> dict[str, Any]:
    rules = [
        {"match": {"dk_risk": "critical"}, "speculate": True, "parallelism": width, "use": ["a", "b", "c"]}
    ]
    toolchains = {name: {"model": model} for name in ("a", "b", "c")}
    config = {"toolchain_priority": ["a", "b", "c"], "toolchains": toolchains, "routing": {"rules": rules}}
    return dict(normalise(config).components)


MADE = [_components(width, model) for width in (2, 3) for model in ("m1", "m2")]
ENVIRONMENTS = {fingerprint(Surface(made)): made for made in MADE}
NAMES = sorted(ENVIRONMENTS)
ACTIONS = [
    None,
    *(
        executed_json(Executed("speculate_vote", width, "a", "critical", "M", available=("a", "b", "c")))
        for width in (2, 3, 4)
    ),
    executed_json(Executed("serial_handoff", 1, "a", "low", "M", available=("a", "b", "c"))),
]
SHOWN = [NOTHING, shows("a", "m1", None), shows("a", "m2", None), shows("a", "m9", None)]
LOOKS = st.lists(
    st.builds(
        lambda name, at, source, launch: seen(name, at, source=source, launch=launch),
        st.sampled_from(NAMES),
        st.integers(0, 60),
        st.sampled_from(["daemon", "start", "git"]),
        st.sampled_from([None, None, "cyntra -c b.yaml run"]),
    ),
    max_size=7,
)
RUNS = st.lists(
    st.tuples(st.integers(0, 70), st.sampled_from(SHOWN), st.sampled_from(ACTIONS)), max_size=30
).map(
    lambda drawn: [
        DispatchedRun("archive", f"wc-{i:03d}", f"wc-{i:03d}", at, text, action, None, False)
        for i, (at, text, action) in enumerate(drawn)
    ]
)
SESSIONS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 20), st.integers(0, 10), st.booleans()), max_size=5
).map(
    lambda drawn: [
        kernel(
            start,
            start + last,
            None if last == 20 else start + last + gap,
            pid=i,
            config="b.yaml" if other else None,
        )
        for i, (start, last, gap, other) in enumerate(drawn)
    ]
)
NOW_MS, NEVER_MS = 10_000, 10**9


def _folded(
    runs: Sequence[DispatchedRun],
    looks: Sequence[EnvironmentObservation],
    sessions: Sequence[KernelSession],
) -> Folded:
    ground = explaining(looks, ENVIRONMENTS, sessions)
    return fold(assign(runs, ground).runs, ground.standing, [])


def _settle(found: Folded, seals: dict[str, Seal], limit_ms: int = NEVER_MS) -> dict[str, Seal]:
    """Close and seal until nothing is left to do."""
    seals = dict(seals)
    while True:
        steps = next_steps(found, seals, [], first_look_ms=0, now_ms=NOW_MS, limit_ms=lambda _epoch: limit_ms)
        if not (steps.close or steps.reopen or steps.seal):
            return seals
        for key in steps.reopen:
            seals.pop(key)
        for epoch in steps.close:
            seals[epoch.key] = Seal(epoch.key, epoch.number, NOW_MS, None, None)
        for epoch, why in steps.seal:
            seals[epoch.key] = Seal(epoch.key, epoch.number, NOW_MS, NOW_MS, why)
            for former in steps.former.get(epoch.key, ()):
                seals.pop(former, None)


def _sealed(found: Folded, seals: dict[str, Seal]) -> set[str]:
    # An epoch that only runs show has no end of its own, and keeps a seal that it once had.
    of_files = [epoch for epoch in found.epochs if epoch.origin == POLICY]
    return {e.key for e in of_files if e.key in seals and seals[e.key].sealed_ms is not None}


@settings(max_examples=examples(150), deadline=None)
@given(RUNS, LOOKS, SESSIONS, st.randoms(use_true_random=False))
def test_any_interleaving_of_arrivals_ends_in_the_same_epochs_and_seals(
    runs: list[DispatchedRun],
    looks: list[EnvironmentObservation],
    sessions: list[KernelSession],
    dice: random.Random,
) -> None:
    whole = _folded(runs, looks, sessions)
    events: list[tuple[str, Any]] = [("run", r) for r in runs] + [("session", s) for s in sessions]
    arrived: dict[str, list[Any]] = {"run": [], "session": []}
    seals: dict[str, Seal] = {}
    for kind, value in dice.sample(events, len(events)):
        arrived[kind].append(value)
        seals = _settle(_folded(arrived["run"], looks, arrived["session"]), seals)
    found = _folded(arrived["run"], looks, arrived["session"])
    assert found == whole
    # What was sealed on the way stays; at the latest when the limit has passed both are the same.
    assert _sealed(whole, _settle(whole, {})) <= _sealed(found, _settle(found, seals))
    assert _sealed(found, _settle(found, seals, 0)) == _sealed(whole, _settle(whole, {}, 0))


@settings(max_examples=examples(150), deadline=None)
@given(RUNS, LOOKS, SESSIONS)
def test_what_a_process_tells_never_contradicts_the_manifest_and_is_never_newer_than_its_start(
    runs: list[DispatchedRun], looks: list[EnvironmentObservation], sessions: list[KernelSession]
) -> None:
    ground = explaining(looks, ENVIRONMENTS, sessions)
    for found in assign(runs, ground).runs:
        if found.known_by is KnownBy.PROCESS:
            assert found.session is not None
            read_ms = found.session.started_ms + READS_AFTER_MS
            assert ground.standing.stretches[found.position].since_ms <= read_ms
            assert found.session.started_ms <= found.run.started_ms
            assert ground.manifest_agrees(found.run, found.fingerprint)


@settings(max_examples=examples(100), deadline=None)
@given(RUNS, LOOKS)
def test_an_environment_that_agrees_with_the_action_goes_before_a_newer_one_that_does_not(
    runs: list[DispatchedRun], looks: list[EnvironmentObservation]
) -> None:
    ground = explaining(looks, ENVIRONMENTS)
    for found in assign(runs, ground).runs:
        if found.known_by is KnownBy.MANIFEST:
            listed = ground.standing.candidates(
                None, ground.standing.position_at(None, found.run.started_ms), 0
            )
            assert not any(ground.agrees(found.run, c.fingerprint) for c in listed)
