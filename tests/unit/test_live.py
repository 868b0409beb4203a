"""What the live view draws, from values alone."""

from __future__ import annotations

from collectord.cli.live import lines_of
from collectord.status.health import Check, State
from collectord.status.live import Frame, sparkline


def test_a_sparkline_has_a_bar_for_each_count_and_the_largest_is_full() -> None:
    assert sparkline([0, 1, 8, 4]) == " ▁█▄"
    assert sparkline([0, 0]) == "  "
    assert sparkline([]) == ""


def test_shares_of_lanes_are_rounded_as_an_audit_rounds_them() -> None:
    plans = ((47, "serial_handoff", 1), (12, "speculate_vote", 2), (7, "speculate_vote", 3))
    status = {
        "repo": "/repo",
        "daemon": {"life": "never"},
        "kernel": {"running": [], "hidden": 0, "in_flight": 0},
        "archives": {"indexed": 66},
        "vanished": 0,
        "environment": {"epoch": None, "alerts": {}},
        "outcomes": [{"runs": n, "swarm_id": swarm, "max_candidates": k} for n, swarm, k in plans],
    }
    shown = lines_of(Frame(0, status))
    assert "lanes       A 71 % (of 50–70 %), B 18 % (of 20–40 %), C 11 % (of 5–15 %)" in shown


def test_what_needs_somebody_comes_first_and_no_status_is_no_error() -> None:
    checks = (Check("backups", State.WATCH, "there is none"), Check("index", State.ACT, "is damaged"))
    shown = lines_of(Frame(0, None, checks, error="the index is damaged"))
    assert shown[2:] == ["the index is damaged", "act   index: is damaged", "watch backups: there is none"]
