"""Simulated collections: eight weeks of runs with issues that come back, with and without drift."""

from __future__ import annotations

import random

from collectord.audit.facts import Action, AuditFacts, AuditRun
from collectord.audit.findings import WEEK_MS
from tests.support.planted import DOUBLE, NOW_MS, SERIAL, TRIPLE, facts, run

WEEKS = 8
_LABELS = (SERIAL, DOUBLE, TRIPLE)
_SHORT = {SERIAL: Action("serial_handoff", 1, 45)}


def collection(
    seed: int, *, rows_a_week: int, shift: float = 0.0, retries: bool = False, base: float = 0.75
) -> AuditFacts:
    """Runs of eight weeks; the success share of the last one is `shift` lower.

    Each issue has a label and a difficulty of its own and is run one to four times within some days; with
    `retries` a failed run is what brings it back, as a kernel does it.
    """
    dice = random.Random(seed)
    found: list[AuditRun] = []
    number = 0
    while len(found) < rows_a_week * WEEKS:
        number += 1
        found += _issue(dice, number, len(found), shift, retries, base)
    return facts(found[: rows_a_week * WEEKS])


def _issue(
    dice: random.Random, number: int, first: int, shift: float, retries: bool, base: float
) -> list[AuditRun]:
    label = dice.choices(_LABELS, [0.6, 0.3, 0.1])[0]
    if label in _SHORT and dice.random() < 0.3:
        label = _SHORT[label]
    start = dice.random() * WEEKS * 7
    # Between easy and hard: the share of passes of one issue is spread around the base.
    ease = min(1.0, max(0.0, dice.betavariate(4 * base, 4 * (1 - base))))
    made = []
    for attempt in range(4 if retries else dice.randrange(1, 5)):
        days_ago = WEEKS * 7 - start - attempt * dice.random()
        if days_ago <= 0:
            break
        chance = ease - (shift if days_ago <= 7 else 0)
        status = "success" if dice.random() < chance else "failed"
        place = first + attempt
        made.append(run(place, label, days_ago=days_ago, issue_id=str(number), status=status))
        if retries and status == "success":
            break
    return made


def as_of(found: AuditFacts, weeks_ago: int) -> AuditFacts:
    """The same collection as an earlier weekly audit saw it."""
    now = NOW_MS - weeks_ago * WEEK_MS
    runs = tuple(one for one in found.runs if one.started_ms <= now)
    return AuditFacts(repo=found.repo, now_ms=now, window_ms=found.window_ms, runs=runs)
