"""Which kernel dispatched a run, which environment that had, and which epochs follow: pure decisions."""

from __future__ import annotations

from typing import Any

from collectord.epochs.assign import KnownBy
from collectord.epochs.fingerprint import fingerprint
from collectord.epochs.timeline import Sessions
from collectord.kernel.policy import Genomes, normalise
from tests.support.environments import (
    NOTHING,
    assigned,
    components,
    explaining,
    folded,
    kernel,
    run,
    seen,
    shows,
    sizes,
)

A, B = components("m1"), components("m2")
AB = {"A": A, "B": B}
OLD, NEW = shows(model="m1"), shows(model="m2")
LOOKS = [seen("A", 10), seen("B", 200)]


def _had(runs: list, looks: list, sessions: list, environments: dict | None = None) -> list[tuple[str, str]]:
    found = assigned(runs, looks, environments or AB, sessions).runs
    return [(a.fingerprint, str(a.known_by)) for a in found]


def test_a_run_has_what_the_one_kernel_had_read_at_its_start() -> None:
    sessions = [kernel(100, 290, 310), kernel(300, 400, pid=2)]
    runs = [run(150), run(250), run(299), run(305), run(390)]
    assert _had(runs, LOOKS, sessions) == [("A", "process")] * 3 + [("B", "process")] * 2


def test_a_kernel_ended_before_the_next_one_started_although_nobody_saw_it() -> None:
    found = Sessions([kernel(100, 150, 400), kernel(300, 400, pid=2)])
    ends = [tenure.ended_ms for tenure in found.tenures]
    assert ends == [300, None]
    assert [t.session.pid for t in found.possible_at(250)] == [1]
    assert [t.session.pid for t in found.possible_at(350)] == [2]
    assert found.possible_at(99) == []


def test_of_a_kernel_that_was_gone_at_the_next_look_the_runs_until_then_are_its_own() -> None:
    assert _had([run(205), run(399), run(400)], LOOKS, [kernel(100, 150, 400)]) == [
        ("A", "process"),
        ("A", "process"),
        ("B", "evidence"),
    ]


def test_a_run_whose_manifest_contradicts_what_the_kernel_had_read_goes_by_evidence() -> None:
    assert _had([run(250, NEW)], LOOKS, [kernel(210, 300), kernel(100, 205, 208, pid=2)]) == [
        ("B", "process")
    ]
    [(fingerprint, known_by)] = _had([run(250, NEW)], LOOKS, [kernel(100, 300)])
    assert fingerprint.startswith("evidence-")
    assert known_by == "nothing"


def test_a_genome_that_an_issue_names_itself_does_not_contradict_the_process() -> None:
    prompts: dict[str, Any] = {"prompts": {"code/codex": {"genome_id": "g1", "content": ""}}}
    environments = {"A": components("m1", **prompts)}
    shown = shows(prompt_genome_id="g9")
    assert _had([run(150, shown)], [seen("A", 10)], [kernel(100, 300)], environments) == [("A", "process")]


def test_a_kernel_from_before_anything_is_known_leaves_its_runs_to_evidence() -> None:
    looks = [seen("A", 120), seen("B", 200)]
    found = _had([run(150, OLD), run(250)], looks, [kernel(100, 300)])
    assert found == [("A", "evidence"), ("A", "evidence")]


def test_what_nobody_saw_at_the_start_of_a_kernel_is_left_to_evidence() -> None:
    looks = [seen("A", 10), seen("B", 200, previous_ms=100)]
    assert _had([run(160)], looks, [kernel(150, 300)]) == [("A", "evidence")]
    assert _had([run(160)], looks, [kernel(90, 300)]) == [("A", "process")]


def test_of_two_kernels_at_once_the_newest_that_agrees_is_taken() -> None:
    looks = [seen("A", 10), seen("B", 10, launch="cyntra -c b.yaml run")]
    sessions = [kernel(100, 900), kernel(110, 900, pid=2, config="b.yaml")]
    runs = [run(150, OLD), run(160, NEW), run(170, NOTHING)]
    assert _had(runs, looks, sessions) == [("A", "evidence"), ("B", "evidence"), ("B", "evidence")]


def test_a_kernel_with_another_configuration_has_that_and_a_plain_one_the_repos() -> None:
    looks = [seen("A", 10), seen("B", 10, launch="cyntra -c b.yaml run")]
    sessions = [kernel(100, 190, 200, config="b.yaml"), kernel(300, 400, pid=2)]
    assert _had([run(150), run(350)], looks, sessions) == [("B", "process"), ("A", "process")]


def test_a_kernel_whose_configuration_nobody_reads_is_left_to_evidence() -> None:
    assert _had([run(150, OLD)], [seen("A", 10)], [kernel(100, 900, config="/etc/b.yaml")]) == [
        ("A", "evidence")
    ]


def test_thirty_runs_an_edit_twenty_more_and_fifteen_after_the_restart_are_epochs_of_50_and_15() -> None:
    runs = [run(100 + i) for i in range(30)] + [run(210 + i) for i in range(20)]
    runs += [run(310 + i) for i in range(15)]
    sessions = [kernel(50, 290, 301), kernel(300, 400, pid=2)]
    found = folded(runs, LOOKS, AB, sessions=sessions)
    assert sizes(found) == [("A", 50), ("B", 15)]
    first, second = found.epochs
    assert (first.since_ms, first.ended_ms, second.since_ms, second.ended_ms) == (50, 300, 300, None)
    assert found.seen == {1, 2}


def test_an_epoch_does_not_end_while_its_kernel_runs_on_after_an_edit() -> None:
    [epoch] = folded([run(150), run(250)], LOOKS, AB, sessions=[kernel(100, 900)]).epochs
    assert epoch.ended_ms is None


def test_an_epoch_ends_with_its_kernel_where_the_files_say_something_else_by_then() -> None:
    [epoch] = folded([run(150)], LOOKS, AB, sessions=[kernel(100, 290, 300)]).epochs
    assert epoch.ended_ms == 300
    [epoch] = folded([run(50)], LOOKS, AB, sessions=[kernel(20, 90, 100)]).epochs
    assert epoch.ended_ms == 200


def test_an_edit_and_its_undo_before_the_restart_make_no_epoch() -> None:
    looks = [*LOOKS, seen("A", 250)]
    sessions = [kernel(50, 290, 300), kernel(300, 400, pid=2)]
    found = folded([run(100), run(210), run(310)], looks, AB, sessions=sessions)
    assert sizes(found) == [("A", 3)]
    assert found.epochs[0].ended_ms is None


def test_a_restart_without_an_edit_makes_no_epoch() -> None:
    sessions = [kernel(50, 290, 300), kernel(300, 400, pid=2), kernel(500, 600, pid=3)]
    found = folded([run(100), run(350), run(550)], [seen("A", 10)], AB, sessions=sessions)
    assert sizes(found) == [("A", 3)]


def _environment(genome: str, model: str = "m1") -> tuple[str, dict]:
    """(fingerprint, components) of a configuration with a genome."""
    config = {"toolchain_priority": ["codex"], "toolchains": {"codex": {"model": model}}}
    frontier = {"items": [{"genome_id": genome}]}
    genomes = Genomes(frontier, {"code/codex": frozenset([genome])}, lambda _pair, name: name)
    made = normalise(config, genomes=genomes)
    return fingerprint(made), dict(made.components)


def test_a_genome_that_is_promoted_takes_effect_at_once_and_without_a_restart() -> None:
    before, after = _environment("g1"), _environment("g2")
    looks = [seen(before[0], 10), seen(after[0], 200)]
    found = folded([run(100), run(250)], looks, dict([before, after]), sessions=[kernel(50, 900)])
    assert sizes(found) == [(before[0], 1), (after[0], 1)]
    assert [e.ended_ms for e in found.epochs] == [200, None]


def test_a_stale_kernel_runs_with_its_old_configuration_and_the_genome_of_now() -> None:
    before, edited, promoted = _environment("g1"), _environment("g1", "m2"), _environment("g2", "m2")
    had, _ = _environment("g2")
    looks = [seen(name, at) for (name, _), at in zip((before, edited, promoted), (10, 200, 300), strict=True)]
    environments = dict([before, edited, promoted])
    found = folded([run(100), run(250), run(350)], looks, environments, sessions=[kernel(50, 900)])
    assert sizes(found) == [(before[0], 2), (had, 1)]
    assert (found.epochs[0].ended_ms, found.epochs[1].since_ms) == (300, 300)
    [mine] = assigned([run(350)], looks, environments, [kernel(50, 900)]).runs
    assert (mine.fingerprint, mine.known_by) == (had, KnownBy.PROCESS)


def test_an_edit_of_genomes_alone_makes_no_kernel_stale() -> None:
    before, after = _environment("g1"), _environment("g2")
    looks = [seen(before[0], 10), seen(after[0], 200)]
    ground = explaining(looks, dict([before, after]), [kernel(50, 900)]).standing
    tenure = ground.sessions.tenures[0]
    mine = ground.of_session(tenure, 300)
    assert mine is not None
    assert mine.fingerprint == after[0]


def test_what_is_pulled_back_to_a_stale_kernel_stops_at_a_start_that_was_seen() -> None:
    runs = [run(210), run(400, OLD)]
    assert [name for name, _ in _had(runs, LOOKS, [])] == ["A", "A"]
    # One that was up between the two: the later kernel is another one than that of the first run.
    assert [name for name, _ in _had(runs, LOOKS, [kernel(300, 310, 320)])] == ["B", "A"]
