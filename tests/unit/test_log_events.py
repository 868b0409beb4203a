"""docs/log-events.md names every event that the code can log, at its level, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from collectord.epochs.causes import DRIFT, STALE
from collectord.epochs.json_views import summary_of
from collectord.system.log import for_a_terminal
from collectord.watch import WatchEvent

ROOT = Path(__file__).resolve().parents[2]
AREAS = (
    *(
        "alert",
        "archive",
        "absence",
        "audit",
        "backup",
        "catch_up",
        "chore",
        "config",
        "daemon",
        "disk",
        "environment",
    ),
    *("epoch", "events", "heartbeat", "index", "issues", "job", "kernel", "labels", "lock", "loop", "prune"),
    *("push", "quarantine", "request", "source", "usage", "watch"),
)
EVENT = re.compile(rf'"((?:{"|".join(AREAS)})\.[a-z_]+)"')
# Named after the work that failed, and after what a configuration file calls itself.
MADE_UP = {f"{work}.failed" for work in ("audit", "backup", "prune", "push", "usage")}
NO_EVENTS = {"config.yaml", "disk.min_free_bytes", "issues.jsonl", "prune.lock"}


def logged() -> set[str]:
    found = set(MADE_UP) | {str(event) for event in WatchEvent}
    for room in ("daemon", "epochs", "watch", "cli/run.py"):
        place = ROOT / "collectord" / room
        for path in [place] if place.is_file() else place.rglob("*.py"):
            found.update(EVENT.findall(path.read_text(encoding="utf-8")))
    return found - NO_EVENTS


def documented() -> dict[str, str]:
    text = (ROOT / "docs/log-events.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| `([a-z_.]+)` \| (debug|info|warning|error) \|", text, re.M))


def test_every_event_is_documented_and_no_other() -> None:
    assert set(documented()) == logged()


def test_levels_are_those_of_the_code() -> None:
    told = documented()
    for path in (ROOT / "collectord").rglob("*.py"):
        for level, event in re.findall(r'log\.(debug|info|warning|error)\(\s*"([a-z_.]+)"', path.read_text()):
            if event in told:
                assert told[event] == level, event


@pytest.mark.parametrize("event", [DRIFT, STALE])
def test_a_sentence_stands_for_each_alert(event: str) -> None:
    fields = {
        "pid": 7,
        "components": ["routing"],
        "changes": [],
        "affected": ["critical: ×2 → ×3"],
        "advice": "x",
    }
    assert "critical: ×2 → ×3" in summary_of(event, fields)


def test_on_a_terminal_the_sentence_comes_first_and_nothing_twice() -> None:
    line = {
        "ended_ms": 1_795_789_388_922,
        "why": None,
        "said": "epoch 1, 61 runs",
        "ended": "2026-11-27 14:23:08 UTC",
        "level": "info",
        "event": "epoch.closing",
        "at": "2026-11-27T14:23:08.922Z",
    }
    shown = for_a_terminal(line)
    assert list(shown) == ["at", "level", "event", "ended"]
    assert shown["event"] == "epoch.closing             epoch 1, 61 runs"
    assert shown["at"] == "2026-11-27 14:23:08 UTC"
