"""The audit as one JSON document: views read it alone, so it holds every number that they show."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from collectord.audit.facts import Action, AuditFacts
from collectord.audit.findings import LANES, THIN_BELOW, Kind
from collectord.audit.report import Answers

SCHEMA = "collectord.audit.v1"
JsonObject = dict[str, Any]


def document(facts: AuditFacts, answers: Answers, *, epoch: int | None = None) -> JsonObject:
    """The whole audit; times are UTC epoch milliseconds, shares between 0 and 1."""
    findings = answers.findings
    return {
        "schema": SCHEMA,
        "repo": facts.repo,
        "made_ms": facts.now_ms,
        "window": {"from_ms": facts.window_start_ms, "to_ms": facts.now_ms, "words": facts.window_words},
        "epoch": epoch,
        "runs": len(facts.runs),
        "verdicts": verdicts(answers),
        "findings": [plain(finding) for finding in findings],
        "targets": {"lanes": [plain(lane) for lane in LANES], "thin_below": THIN_BELOW},
        **{name: plain(getattr(answers, name), skip=("findings",)) for name in Answers.__dataclass_fields__},
    }


def verdicts(answers: Answers) -> dict[str, Any]:
    """The short of it, one value an answer: what a log line and a script look at."""
    kinds = {finding.kind for finding in answers.findings}
    return {
        "lanes": {lane.key: lane.verdict.value for lane in answers.lanes.lanes},
        "coverage": dict(answers.coverage.states),
        "conflicting": answers.consistency.keys[1].conflicting,
        "drift": answers.drift.verdict,
        "environment_failures": sum(cause.runs for cause in answers.outcomes.causes),
        "ready": answers.backlog.ready,
        "phase": answers.phase.phase,
        "kinds": [kind.value for kind in Kind if kind in kinds],
    }


def failing(document: JsonObject, fail_on: Collection[str]) -> list[str]:
    """The kinds of findings that were asked for and are there, in order."""
    return [kind for kind in document["verdicts"]["kinds"] if kind in fail_on]


def plain(value: Any, skip: tuple[str, ...] = ()) -> Any:
    """A value as JSON has it: dataclasses become objects, enums their values, tuples lists."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Action):
        parts = {"swarm": value.swarm, "candidates": value.candidates, "minutes": value.minutes}
        return {**parts, "lane": value.lane, "words": value.words}
    if is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in fields(value) if field.name not in skip]
        return {name.rstrip("_"): plain(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return round(value, 6) if isinstance(value, float) else value
