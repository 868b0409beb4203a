"""When a run ended and when histories may show it, whatever its sources say."""

from __future__ import annotations

import pytest

from collectord.kernel.dispatch import (
    COMPLETED_BEFORE_START,
    SHORTER_THAN_DURATION,
    finished_ms,
    time_conflict,
    visible_from_ms,
)
from collectord.kernel.values import format_ms

START = 1_760_000_000_000
MINUTE = 60_000


def _proof(completed: int | None) -> dict[str, object]:
    return {"metadata": {} if completed is None else {"completed_at": format_ms(completed)}}


@pytest.mark.parametrize(
    ("completed", "duration", "ended"),
    [
        (START + 5 * MINUTE, 0, START + 5 * MINUTE),
        (None, 5 * MINUTE, START + 5 * MINUTE),
        (START + MINUTE, 20 * MINUTE, START + 20 * MINUTE),
        (START + 20 * MINUTE, MINUTE, START + 20 * MINUTE),
        (START - 7 * MINUTE, 0, None),
        (START - 7 * MINUTE, MINUTE, START + MINUTE),
        (START, 0, START),
        (None, 0, None),
        (None, -5, None),
    ],
)
def test_the_end_is_the_later_of_the_sources_and_unknown_before_the_start(
    completed: int | None, duration: int, ended: int | None
) -> None:
    assert finished_ms(_proof(completed), START, duration) == ended


def test_a_run_is_seen_only_by_what_is_dispatched_after_it() -> None:
    assert visible_from_ms(START, START, START - MINUTE) == START + 1
    assert visible_from_ms(START, None, START - MINUTE) == START + 1
    assert visible_from_ms(START, None, START + MINUTE) == START + MINUTE
    assert visible_from_ms(START, START + 5, START + MINUTE) == START + 5


@pytest.mark.parametrize(
    ("completed", "duration", "conflict"),
    [
        (START + 5 * MINUTE, 5 * MINUTE, None),
        (START + 6 * MINUTE, 5 * MINUTE, None),  # what the kernel did before and after
        (START + 5 * MINUTE - 900, 5 * MINUTE, None),
        (START + MINUTE, 5 * MINUTE, SHORTER_THAN_DURATION),
        (START - 1, 0, COMPLETED_BEFORE_START),
        (None, 5 * MINUTE, None),
    ],
)
def test_times_that_contradict_each_other_are_told_apart(
    completed: int | None, duration: int, conflict: str | None
) -> None:
    assert time_conflict(completed, START, duration) == conflict
