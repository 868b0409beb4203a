"""Whether a dataset of a fleet is worth training on: answers of the audit, over all sources and by source.

It looks at published rows alone: what needs a repo (its backlog, its policy, its archives) is not answered.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from collectord.audit.answers import Answers
from collectord.audit.document import AuditDocument, document_of, plain
from collectord.audit.facts import Action, AuditFacts, AuditRun, Epoch
from collectord.audit.report import answer
from collectord.errors import CollectordError
from collectord.fleet.datasets import read_document
from collectord.fleet.documents import FLEET_FILE, tables_of
from collectord.fleet.options import FLEET_COLUMNS
from collectord.fleet.storage import Storage
from collectord.fleet.tables import StoredTable
from collectord.kernel.artifact_facts import ArtifactFacts, Bin, artifact_facts_of
from collectord.kernel.rows import SPLITS

SCHEMA = "collectord.fleet_audit.v1"
# The answers that rows alone give.
ANSWERS = ("lanes", "coverage", "consistency", "outcomes")


@dataclass(frozen=True, slots=True)
class FleetAudit:
    """The audit of all rows, and of those of each source."""

    url: str
    whole: AuditDocument
    by_source: dict[str, AuditDocument]


def audit_fleet(storage: Storage, name: str, window_ms: int | None) -> FleetAudit:
    """The audit of a dataset as of its last dispatch; the window is all of it unless one is given."""
    where = f"{storage.url}/{name}"
    document = read_document(storage, f"{name}/{FLEET_FILE}")
    if document is None:
        raise CollectordError(f"{where}: there is no {FLEET_FILE} that can be read in it")
    try:
        rows = [_run(record) for record in _records(storage, name, document)]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CollectordError(f"{where}: is not what an export writes ({error})") from error
    if not rows:
        raise CollectordError(f"{where}: has no rows, so there is nothing to audit")
    facts = _facts(
        where, sorted(rows, key=lambda row: (row.run.started_ms, row.source, row.run.run_id)), window_ms
    )
    whole = _document(facts)
    by_source = {}
    for source in sorted({row.source for row in rows}):
        own = [row for row in rows if row.source == source]
        only = _facts(source, own, facts.window_ms, now_ms=facts.now_ms)
        by_source[source] = _document(only)
    return FleetAudit(where, whole, by_source)


def _document(facts: AuditFacts) -> AuditDocument:
    answers: Answers = answer(facts, None)
    return document_of(facts, answers, epoch=None, before=None)


def audit_document(found: FleetAudit) -> dict[str, Any]:
    """What --json prints: of each audit the answers that rows alone give."""
    return {
        "schema": SCHEMA,
        "url": found.url,
        "whole": _shown(found.whole),
        "by_source": {source: _shown(one) for source, one in found.by_source.items()},
    }


def _shown(document: AuditDocument) -> dict[str, Any]:
    everything = plain(document)
    return {name: everything[name] for name in ("made_ms", "window", "runs", *ANSWERS)}


@dataclass(frozen=True, slots=True)
class SourceRun:
    """A row as the audit knows runs; `place` is the environment or, where that is not known, the source."""

    source: str
    place: str
    run: AuditRun


def _records(storage: Storage, name: str, document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for split in SPLITS:
        for file in tables_of(document, split):
            yield from StoredTable(storage, f"{name}/{file}", FLEET_COLUMNS).records()


def _run(record: Mapping[str, Any]) -> SourceRun:
    source = record["source"]
    issue = record["issue_id"]
    return SourceRun(
        source,
        record["environment"] or source,
        AuditRun(
            name=f"{source}/{record['workcell_id']}",
            run_id=f"{source}/{record['run_id']}",
            # Of two repos the same id is another issue.
            issue_id=None if issue is None else f"{source}/{issue}",
            started_ms=record["started_ms"],
            finished_ms=record["finished_ms"],
            seen_ms=record["finished_ms"] or record["started_ms"],
            job_type=record["job_type"] or "code",
            status=record["outcome_status"],
            toolchain=record["toolchain"],
            model=record["model"],
            genome=record["prompt_genome_id"],
            cost_usd=record["cost_usd"],
            duration_ms=record["duration_ms"] or 0,
            has_proof=True,
            hash_state="",
            input_state="",
            label=_label(record),
            recorded=_recorded(record),
        ),
    )


def _label(record: Mapping[str, Any]) -> Action:
    candidates, minutes = (_bin(record[f"label_{name}_bin"]) for name in ("max_candidates", "max_minutes"))
    return Action(record["label_swarm_id"], candidates, minutes)


def _bin(text: str) -> Bin:
    return int(text) if text.isdigit() else text


def _recorded(record: Mapping[str, Any]) -> ArtifactFacts:
    """What the row's input tells, in the words of the audit of a manifest."""
    planner = {
        "planner_input": json.loads(record["planner_input_json"]),
        "planner_action": {"input_hash": record["input_hash"]},
    }
    found = artifact_facts_of({"planner": planner}, {})
    codes = tuple(record["fail_codes"] or ())
    return found._replace(iterations=_bin(record["label_max_iterations_bin"]), fail_codes=codes)


def _facts(
    where: str, rows: Sequence[SourceRun], window_ms: int | None, now_ms: int | None = None
) -> AuditFacts:
    """As of the last dispatch; environments stand for epochs, as equal issues have other labels in each."""
    places = sorted({row.place for row in rows})
    numbers = {place: number for number, place in enumerate(places, 1)}
    first_ms, last_ms = rows[0].run.started_ms, rows[-1].run.started_ms
    now = now_ms if now_ms is not None else last_ms + 1
    return AuditFacts(
        repo=where,
        now_ms=now,
        window_ms=window_ms or now - first_ms,
        runs=tuple(replace(row.run, epoch=numbers[row.place]) for row in rows),
        epochs=tuple(_epoch(numbers[place], place, rows) for place in places),
    )


def _epoch(number: int, place: str, rows: Sequence[SourceRun]) -> Epoch:
    times = [row.run.started_ms for row in rows if row.place == place]
    return Epoch(number, times[0], None, place, f"{len(times):,} runs, {place[:21]}")
