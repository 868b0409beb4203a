"""Every environment stood from somewhen to somewhen, and how that is known decides when."""

from __future__ import annotations

import pytest

from collectord.epochs.timeline import START, changes, position_at, since_ms, timeline
from collectord.model import GIT
from tests.support.environments import seen


def _told(*observations: object) -> list[tuple[str, int, int | None]]:
    return [(s.fingerprint, s.since_ms, s.until_ms) for s in timeline(observations)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("modified", "previous", "now", "expected"),
    [
        (500, None, 1000, 500),  # the very first look: since the file was written
        (500, 300, 1000, 500),  # written between two looks
        (200, 300, 1000, 300),  # an old file put in place: not before the look that did not see it
        (1500, 300, 1000, 1000),  # a time in the future
        (1500, None, 1000, 1000),
        (None, 300, 1000, 300),  # a file that is gone
        (None, None, 1000, 1000),
        (500, 1500, 1000, 1000),  # a clock that was put back
    ],
)
def test_an_environment_stands_since_its_files_changed_and_never_before_the_last_look(
    modified: int | None, previous: int | None, now: int, expected: int
) -> None:
    assert since_ms(modified, previous, now) == expected


def test_each_environment_stands_until_the_next() -> None:
    assert _told(seen("a", 10), seen("b", 20), seen("a", 30)) == [
        ("a", 10, 20),
        ("b", 20, 30),
        ("a", 30, None),
    ]


def test_a_look_that_finds_the_same_environment_begins_nothing() -> None:
    assert _told(seen("a", 10), seen("a", 20)) == [("a", 10, None)]


def test_commits_tell_of_the_time_before_the_first_look() -> None:
    commits = [seen("x", 1, source=GIT, commit="c1"), seen("y", 5, source=GIT, commit="c2")]
    assert _told(*commits, seen("a", 10)) == [("x", 1, 5), ("y", 5, 10), ("a", 10, None)]
    assert timeline([*commits, seen("a", 10)])[1].commit == "c2"


def test_a_commit_of_what_stands_already_makes_it_older() -> None:
    assert _told(seen("a", 4, source=GIT), seen("a", 10), seen("b", 20)) == [("a", 4, 20), ("b", 20, None)]


def test_commits_after_the_first_look_count_only_where_nobody_looked() -> None:
    looks = [seen("a", 10, seen_ms=12), seen("b", 50, seen_ms=60, source=START, previous_ms=30)]
    watched, gap = seen("x", 20, source=GIT, seen_ms=99), seen("y", 40, source=GIT, seen_ms=99)
    assert _told(*looks, watched, gap) == [("a", 10, 40), ("y", 40, 50), ("b", 50, None)]


def test_only_commits_make_a_timeline_too() -> None:
    assert _told(seen("x", 1, source=GIT), seen("y", 5, source=GIT)) == [("x", 1, 5), ("y", 5, None)]


def test_the_order_in_which_observations_are_given_does_not_count() -> None:
    given = [seen("a", 10), seen("x", 3, source=GIT), seen("b", 20), seen("y", 7, source=GIT)]
    assert _told(*given) == _told(*reversed(given))


def test_a_time_has_the_stretch_that_stood_then() -> None:
    stretches = timeline([seen("a", 10), seen("b", 20), seen("c", 20)])
    assert [position_at(stretches, at) for at in (5, 10, 19, 20, 99)] == [0, 0, 0, 2, 2]
    assert position_at((), 5) == -1


def test_changes_are_the_pairs_of_neighbours() -> None:
    found = changes(timeline([seen("a", 10), seen("b", 20, source=START)]))
    assert [(c.at_ms, c.before, c.after, c.source) for c in found] == [(20, "a", "b", START)]


def test_what_stood_and_was_undone_while_nobody_looked_is_told_by_commits() -> None:
    looks = [seen("a", 10, seen_ms=12), seen("a", 50, seen_ms=60, source=START, previous_ms=30)]
    assert _told(*looks) == [("a", 10, None)]
    watched, gap = seen("x", 20, source=GIT, seen_ms=99), seen("y", 40, source=GIT, seen_ms=99)
    assert _told(*looks, watched, gap) == [("a", 10, 40), ("y", 40, 50), ("a", 50, None)]
