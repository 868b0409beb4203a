"""The audit as one document: what each view is given, its JSON, and the JSON Schema of that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any

from collectord.audit.agreement import AgreementAnswer
from collectord.audit.answers import Answers
from collectord.audit.backlog import Backlog
from collectord.audit.collection import HealthAnswer, Steadiness
from collectord.audit.consistency import Consistency
from collectord.audit.coverage import Coverage
from collectord.audit.facts import Action, AuditFacts
from collectord.audit.fill import Fill
from collectord.audit.findings import LANES, THIN_BELOW, Finding, Kind, Lane
from collectord.audit.lanes import Lanes
from collectord.audit.outcomes import Outcomes
from collectord.audit.overview import Overview, overview
from collectord.audit.phase import Phase
from collectord.audit.quality import Quality
from collectord.audit.shift import Drift
from collectord.audit.since import Since, since

SCHEMA = "collectord.audit.v2"
JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Window:
    """From when to when, UTC epoch milliseconds."""

    from_ms: int
    to_ms: int
    words: str


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The short of it, one value an answer: what a log line and a script look at."""

    lanes: dict[str, str]
    coverage: dict[str, int]
    conflicting: float
    drift: str
    environment_failures: int
    ready: int
    phase: int
    kinds: tuple[Kind, ...]


@dataclass(frozen=True, slots=True)
class Targets:
    """What the mix is judged by."""

    lanes: tuple[Lane, ...]
    thin_below: int


@dataclass(frozen=True, slots=True)
class AuditDocument:
    """The whole audit: what every view shows and `--json` prints. Times are UTC epoch milliseconds, shares
    between 0 and 1.
    """

    schema: str
    repo: str
    made_ms: int
    window: Window
    epoch: int | None
    runs: int
    verdicts: Verdicts
    overview: Overview
    since: Since | None
    findings: tuple[Finding, ...]
    targets: Targets
    coverage: Coverage
    lanes: Lanes
    fill: Fill
    backlog: Backlog
    consistency: Consistency
    agreement: AgreementAnswer
    outcomes: Outcomes
    drift: Drift
    quality: Quality
    steadiness: Steadiness
    phase: Phase
    health: HealthAnswer


def document_of(
    facts: AuditFacts, answers: Answers, *, epoch: int | None = None, before: JsonObject | None = None
) -> AuditDocument:
    """Facts and answers as they are shown; `before` is the JSON of the audit to compare with."""
    each = {name: getattr(answers, name) for name in Answers.__dataclass_fields__}
    first = overview(facts, answers)
    return AuditDocument(
        schema=SCHEMA,
        repo=facts.repo,
        made_ms=facts.now_ms,
        window=Window(facts.window_start_ms, facts.now_ms, facts.window_words),
        epoch=epoch,
        runs=len(facts.runs),
        verdicts=verdicts(answers),
        overview=first,
        since=since(before, facts, answers, first),
        findings=tuple(answers.findings),
        targets=Targets(LANES, THIN_BELOW),
        **each,
    )


def verdicts(answers: Answers) -> Verdicts:
    """One value an answer."""
    kinds = {finding.kind for finding in answers.findings}
    return Verdicts(
        lanes={lane.key: lane.verdict.value for lane in answers.lanes.lanes},
        coverage=dict(answers.coverage.states),
        conflicting=answers.consistency.keys[1].conflicting,
        drift=answers.drift.verdict,
        environment_failures=sum(cause.runs for cause in answers.outcomes.causes),
        ready=answers.backlog.ready,
        phase=answers.phase.phase,
        kinds=tuple(kind for kind in Kind if kind in kinds),
    )


def plain(document: AuditDocument) -> JsonObject:
    """The document as JSON has it; findings stand once, at the top."""
    found: JsonObject = _plain(document)
    for name in Answers.__dataclass_fields__:
        del found[name]["findings"]
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Action):
        parts = {"swarm": value.swarm, "candidates": value.candidates, "minutes": value.minutes}
        return {**parts, "lane": value.lane, "words": value.words}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name.rstrip("_"): _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return round(value, 6) if isinstance(value, float) else value


def json_schema() -> JsonObject:
    """The JSON Schema of `plain`; a key that is not listed is an error."""
    from pydantic import TypeAdapter

    found = TypeAdapter(AuditDocument).json_schema(mode="serialization")
    for one in [found, *found["$defs"].values()]:
        if "properties" in one:
            _close(one)
    action = found["$defs"]["Action"]
    for name in ("lane", "words"):
        action["properties"][name] = {"type": "string"}
        action["required"].append(name)
    found["properties"]["schema"] = {"const": SCHEMA}
    answers = {found["properties"][name]["$ref"].rpartition("/")[2] for name in Answers.__dataclass_fields__}
    for name in answers:
        del found["$defs"][name]["properties"]["findings"]
        found["$defs"][name]["required"].remove("findings")
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"urn:{SCHEMA}"}
    return {**head, **found, "title": "An audit of collectord"}


def _close(schema: JsonObject) -> None:
    """All that is written is there, under the name that it has in JSON, and nothing else."""
    schema["properties"] = {name.rstrip("_"): one for name, one in schema["properties"].items()}
    schema["required"] = list(schema["properties"])
    schema["additionalProperties"] = False
