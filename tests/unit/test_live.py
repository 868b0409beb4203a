"""What the live view draws, from values alone."""

from __future__ import annotations

from collectord.cli.live import lines_of
from collectord.status.health import Check, State
from collectord.status.live import Frame, sparkline


def test_a_sparkline_has_a_bar_for_each_count_and_the_largest_is_full() -> None:
    assert sparkline([0, 1, 8, 4]) == " ▁█▄"
    assert sparkline([0, 0]) == "  "
    assert sparkline([]) == ""


def test_what_needs_somebody_comes_first_and_no_status_is_no_error() -> None:
    checks = (Check("backups", State.WATCH, "there is none"), Check("index", State.ACT, "is damaged"))
    shown = lines_of(Frame(0, None, checks, error="the index is damaged"))
    assert shown[2:] == ["the index is damaged", "act   index: is damaged", "watch backups: there is none"]
