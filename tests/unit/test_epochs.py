"""Which environment a run had, and the epochs that follow: pure decisions over values."""

from __future__ import annotations

from typing import Any

from collectord.epochs.epochs import CHANGED, Cut
from collectord.epochs.timeline import NOWHERE
from collectord.epochs.unexplained import facts_shown
from collectord.model import Evidence
from tests.support.environments import NOTHING, assigned, components, folded, run, seen, shows, sizes

A, B = components("m1"), components("m2")
AB = {"A": A, "B": B}
OLD, NEW, ELSE = shows(model="m1"), shows(model="m2"), shows(model="m9")
EITHER = shows("claude", "opus")


def _had(runs: list, observations: list, environments: dict) -> list[str]:
    return [a.fingerprint for a in assigned(runs, observations, environments).runs]


def test_a_run_has_the_latest_environment_that_agrees_with_it() -> None:
    looks = [seen("A", 10), seen("B", 20)]
    assert _had([run(15, OLD), run(25, NEW), run(26, EITHER)], looks, AB) == ["A", "B", "B"]


def test_a_run_of_a_kernel_that_was_not_started_again_has_the_older_environment() -> None:
    found = assigned([run(25, OLD), run(26, NEW)], [seen("A", 10), seen("B", 20)], AB).runs
    assert [(a.fingerprint, a.is_stale) for a in found] == [("A", True), ("B", False)]


def test_what_could_be_either_had_the_environment_that_the_next_run_still_had() -> None:
    runs = [run(25, EITHER), run(26, OLD), run(27, EITHER), run(28, NEW), run(29, EITHER)]
    assert _had(runs, [seen("A", 10), seen("B", 20)], AB) == ["A", "A", "B", "B", "B"]


def test_a_run_from_before_anything_is_known_had_the_earliest_environment_if_that_agrees() -> None:
    found = assigned([run(1, OLD), run(2, NEW)], [seen("A", 10)], {"A": A}).runs
    assert [(a.position, a.newest) for a in found] == [(0, NOWHERE), (NOWHERE, NOWHERE)]


def test_what_no_environment_explains_has_one_of_its_own_made_of_what_it_shows() -> None:
    runs = [run(15, OLD), run(16, ELSE), run(17, OLD), run(18, ELSE)]
    found = assigned(runs, [seen("A", 10)], {"A": A})
    names = [a.fingerprint for a in found.runs]
    assert names == ["A", names[1], "A", names[1]]
    assert names[1].startswith("evidence-")
    assert found.gathered[names[1]].values["model", "codex"] == "m9"


def test_evidence_that_can_be_of_one_environment_is_put_together() -> None:
    odd = [shows(model="m9"), shows("claude", "haiku"), shows(model="m8")]
    names = _had([run(15 + i, text) for i, text in enumerate(odd)], [seen("A", 10)], {"A": A})
    assert names[0] == names[1] != names[2]


def test_a_toolchain_that_is_switched_off_or_not_there_explains_nothing() -> None:
    off = {"toolchains": {"codex": {"enabled": False}}}
    found = assigned([run(15, OLD), run(16, shows("crush", "x"))], [seen("A", 10)], {"A": off}).runs
    assert [a.position for a in found] == [NOWHERE, NOWHERE]


def test_each_kind_of_evidence_can_tell_environments_apart() -> None:
    environment = {
        "toolchains": {"codex": {"enabled": True, "model": None, "timeout_seconds": 60}},
        "prompts": {"code/codex": {"genome_id": "g1", "content": ""}},
        "gates": {"test_command": "pytest", "build_command": None},
        "control": {"modes": {"code": "trap"}},
        "universe": {
            "universe_id": "lab",
            "defaults": {"swarm_id": "s", "objective_id": None},
            "swarm_ids": ["s", "t"],
        },
    }
    from collectord.epochs.unexplained import facts_of

    facts = facts_of(environment)
    fits = Evidence(
        "codex",
        "anything",
        "g1",
        "code",
        (("custom", "x"), ("test", "pytest")),
        "trap",
        60,
        "lab",
        ("s", None),
        ("s", "t"),
    )
    assert facts.agrees(facts_shown(fits))
    odd: dict[str, Any] = {
        "toolchain": "claude",
        "prompt_genome_id": "g2",
        "gates": (("build", "make"),),
        "control_mode": "chaos",
        "timeout_seconds": 61,
        "universe_id": "other",
        "universe_defaults": (None, None),
        "swarm_ids": ("s",),
    }
    for name, value in odd.items():
        assert not facts.agrees(facts_shown(fits._replace(**{name: value}))), name
        nothing: dict[str, Any] = {name: None}
        assert facts.agrees(facts_shown(fits._replace(**nothing))), name


def test_thirty_runs_an_edit_five_stale_ones_and_twenty_more_are_epochs_of_35_and_20() -> None:
    runs = [run(100 + i, (OLD, EITHER)[i % 2]) for i in range(30)]
    runs += [run(210 + i, (OLD, EITHER)[i % 2]) for i in range(5)]
    runs += [run(300 + i, (NEW, EITHER)[i % 2]) for i in range(20)]
    found = folded(runs, [seen("A", 10), seen("B", 200)], AB)
    assert sizes(found) == [("A", 35), ("B", 20)]
    assert [(e.number, e.ended_ms, e.why) for e in found.epochs] == [(1, 200, CHANGED), (2, None, None)]


def test_from_a_to_b_and_back_with_no_run_between_leaves_no_epoch() -> None:
    looks = [seen("A", 10), seen("B", 20), seen("A", 30)]
    found = folded([run(15, OLD), run(35, OLD)], looks, AB)
    assert sizes(found) == [("A", 2)]
    assert found.epochs[0].ended_ms is None
    assert folded([run(15, OLD)], looks, AB).epochs[0].ended_ms is None


def test_from_a_to_b_and_back_with_a_run_between_makes_three() -> None:
    looks = [seen("A", 10), seen("B", 20), seen("A", 30)]
    found = folded([run(15, OLD), run(25, NEW), run(35, OLD)], looks, AB)
    assert sizes(found) == [("A", 1), ("B", 1), ("A", 1)]
    assert len({epoch.key for epoch in found.epochs}) == 3


def test_an_environment_without_a_run_makes_no_epoch() -> None:
    assert sizes(folded([run(25, NEW)], [seen("A", 10), seen("B", 20)], AB)) == [("B", 1)]


def test_odd_runs_between_others_make_one_epoch_of_their_own_and_not_dozens() -> None:
    runs = [run(100 + i, ELSE if i % 5 == 0 else OLD) for i in range(50)]
    found = folded(runs, [seen("A", 10)], {"A": A})
    assert [n for _, n in sizes(found)] == [10, 40]
    assert found.current is not None
    assert found.current.fingerprint == "A"


def test_stale_runs_mixed_with_new_ones_go_to_the_older_epoch() -> None:
    runs = [run(15, OLD), *(run(30 + i, (NEW, OLD)[i % 2]) for i in range(10))]
    assert sizes(folded(runs, [seen("A", 10), seen("B", 20)], AB)) == [("A", 6), ("B", 5)]


def test_one_odd_run_at_the_end_does_not_become_the_current_epoch() -> None:
    found = folded([run(15, OLD), run(16, ELSE)], [seen("A", 10)], {"A": A})
    assert found.current is not None
    assert found.current.fingerprint == "A"


def test_before_anything_is_known_a_few_odd_runs_stay_with_those_around_them() -> None:
    runs = [run(i, ELSE) for i in range(10)] + [run(11, shows(model="m8")), run(12, NOTHING), run(13, ELSE)]
    found = folded(runs, [seen("A", 100)], {"A": A})
    assert [(e.runs, e.strays, e.origin) for e in found.epochs] == [(13, 1, "evidence")]


def test_before_anything_is_known_many_runs_of_another_kind_stand_for_themselves() -> None:
    runs = [run(i, ELSE) for i in range(5)] + [run(10 + i, OLD) for i in range(5)]
    assert [n for _, n in sizes(folded(runs, [seen("A", 100)], {"A": A}))] == [5, 5]


def test_without_any_known_environment_there_is_one_epoch_of_all() -> None:
    found = folded([run(1, OLD), run(2, NEW), run(3)], [], {})
    assert [(e.number, e.runs, e.origin, e.ended_ms) for e in found.epochs] == [(1, 3, "none", None)]


def test_a_cut_by_hand_ends_an_epoch_within_one_environment() -> None:
    found = folded([run(15, OLD), run(25, OLD)], [seen("A", 10)], {"A": A}, [Cut(20, "a new kernel")])
    assert sizes(found) == [("A", 1), ("A", 1)]
    assert [(e.ended_ms, e.why) for e in found.epochs] == [(20, "a new kernel"), (None, None)]


def test_a_cut_works_without_any_known_environment_too() -> None:
    found = folded([run(15), run(25)], [], {}, [Cut(20, "x")])
    assert [e.ended_ms for e in found.epochs] == [20, None]


def test_a_run_dispatched_in_the_millisecond_of_a_cut_is_of_the_new_epoch() -> None:
    found = folded([run(19, OLD), run(20, OLD)], [seen("A", 10)], {"A": A}, [Cut(20, "x")])
    assert found.number_of == {("archive", "wc-000019"): 1, ("archive", "wc-000020"): 2}


def test_a_late_archive_lands_in_the_epoch_of_its_dispatch() -> None:
    looks = [seen("A", 10), seen("B", 20)]
    early, late = [run(15, OLD), run(25, NEW)], run(12, OLD)
    before, after = folded(early, looks, AB), folded([*early, late], looks, AB)
    assert sizes(after) == [("A", 2), ("B", 1)]
    assert [e.key for e in before.epochs] == [e.key for e in after.epochs]


def test_no_runs_make_no_epochs() -> None:
    assert folded([], [seen("A", 10)], {"A": A}).epochs == ()
    assert folded([], [], {}).current is None
