"""An epoch is sealed once its end is final, and not before."""

from __future__ import annotations

from typing import Any

from collectord.epochs.epochs import LIMIT, NOTHING_IN_FLIGHT, Cut, Steps, former_keys, next_steps
from collectord.index.environments import Seal
from collectord.repo.files import InFlight
from tests.support.environments import components, folded, run, seen, shows

AB = {"A": components("m1"), "B": components("m2")}
OLD, NEW = shows(model="m1"), shows(model="m2")
LOOKS = [seen("A", 10), seen("B", 200)]


def _steps(
    runs: list, in_flight: list | None = None, now: int = 1000, closing: int | None = 900, **more: Any
) -> Steps:
    found = folded(runs, more.pop("looks", LOOKS), AB, more.pop("cuts", []))
    seals = (
        {}
        if closing is None
        else {
            e.key: Seal(e.key, e.number, closing, more.get("sealed"), None)
            for e in found.epochs
            if e.ended_ms
        }
    )
    return next_steps(
        found,
        seals,
        in_flight or [],
        first_look_ms=more.get("first", 10),
        now_ms=now,
        limit_ms=lambda _epoch: 500,
    )


def test_an_epoch_begins_to_close_when_something_ended_it() -> None:
    steps = _steps([run(100, OLD), run(300, NEW)], closing=None)
    assert ([e.number for e in steps.close], steps.seal) == ([1], ())


def test_an_open_epoch_does_not_close() -> None:
    assert _steps([run(100, OLD)], looks=[seen("A", 10)], closing=None) == Steps()


def test_it_is_sealed_when_the_kernel_has_moved_on_and_nothing_older_is_in_flight() -> None:
    runs = [run(100, OLD), run(300, NEW)]
    assert [why for _, why in _steps(runs).seal] == [NOTHING_IN_FLIGHT]
    assert _steps(runs, [InFlight("wc-1", 150)]).seal == ()
    assert _steps(runs, [InFlight("wc-1", None)]).seal == ()
    assert [why for _, why in _steps(runs, [InFlight("wc-1", 350)]).seal] == [NOTHING_IN_FLIGHT]


def test_what_a_stale_kernel_dispatched_after_the_edit_is_waited_for_too() -> None:
    runs = [run(100, OLD), run(210, OLD), run(300, NEW)]
    assert _steps(runs, [InFlight("wc-1", 250)]).seal == ()


def test_without_a_run_of_a_later_epoch_it_waits_for_the_limit() -> None:
    runs = [run(100, OLD), run(210, OLD)]
    assert _steps(runs).seal == ()
    assert [why for _, why in _steps(runs, now=1400).seal] == [LIMIT]


def test_the_limit_counts_from_the_last_run_of_a_kernel_that_goes_on() -> None:
    runs = [run(100, OLD), run(1300, OLD)]
    assert _steps(runs, now=1500).seal == ()
    assert [why for _, why in _steps(runs, now=1800).seal] == [LIMIT]


def test_a_workcell_that_never_ends_holds_it_up_no_longer_than_the_limit() -> None:
    runs = [run(100, OLD), run(300, NEW)]
    assert [why for _, why in _steps(runs, [InFlight("wc-1", 150)], now=1400).seal] == [LIMIT]


def test_a_cut_by_hand_waits_only_for_what_was_dispatched_before_it() -> None:
    runs, cut = [run(100, OLD)], [Cut(150, "a new kernel")]
    one = [seen("A", 10)]
    assert [why for _, why in _steps(runs, looks=one, cuts=cut).seal] == [NOTHING_IN_FLIGHT]
    assert _steps(runs, [InFlight("wc-1", 140)], looks=one, cuts=cut).seal == ()
    assert len(_steps(runs, [InFlight("wc-1", 160)], looks=one, cuts=cut).seal) == 1


def test_what_is_sealed_is_not_sealed_again() -> None:
    assert _steps([run(100, OLD), run(300, NEW)], sealed=950) == Steps()


def test_a_closing_epoch_whose_end_was_undone_opens_again() -> None:
    looks = [*LOOKS, seen("A", 300)]
    before = folded([run(100, OLD)], LOOKS, AB).epochs[0]
    found = folded([run(100, OLD)], looks, AB)
    seals = {before.key: Seal(before.key, 1, 250, None, None)}
    steps = next_steps(found, seals, [], first_look_ms=10, now_ms=400, limit_ms=lambda _epoch: 500)
    assert steps == Steps(reopen=(before.key,))


def test_an_epoch_that_ended_before_anybody_looked_was_never_open() -> None:
    assert _steps([run(100, OLD), run(300, NEW)], closing=None, first=500) == Steps()


def test_a_few_odd_runs_are_not_published() -> None:
    runs = [run(100, OLD), run(110, shows(model="m9")), run(120, OLD)]
    assert _steps(runs, looks=[seen("A", 10)], closing=None) == Steps()


def test_what_was_sealed_before_its_end_moved_is_still_the_same_epoch() -> None:
    before = folded([run(100, OLD)], LOOKS, AB).epochs[0]
    sealed = {before.key: Seal(before.key, 1, 250, 300, LIMIT)}
    runs = [run(100, OLD), run(310, OLD), run(500, NEW)]
    found = folded(runs, [*LOOKS, seen("A", 300), seen("B", 400)], AB)
    steps = next_steps(found, sealed, [], first_look_ms=10, now_ms=600, limit_ms=lambda _epoch: 500)
    assert ([e.number for e in steps.close], steps.reopen) == ([1], ())
    assert steps.former == {found.epochs[0].key: (before.key,)}


def test_an_epoch_of_an_environment_that_came_back_is_not_the_one_that_was_sealed() -> None:
    looks = [*LOOKS, seen("A", 300)]
    runs = [run(100, OLD), run(210, NEW), run(310, OLD)]
    first = folded(runs, LOOKS, AB).epochs[0]
    found = folded(runs, looks, AB)
    assert [e.key for e in found.epochs].index(first.key) == 0
    assert former_keys(found.epochs, [first.key]) == {}
    assert former_keys(found.epochs, ["unexplained#0", f"{first.fingerprint}@None#0"]) == {}
