"""Recorded planner inputs against the ones that the index would build: what training and serving see."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from collectord.audit.facts import Agreement
from collectord.cyntra.dispatch import InputState
from collectord.cyntra.jsonio import JsonObject, compact
from collectord.cyntra.planner_input import issue_input, recorded_input, recorded_issue_id, row_tags
from collectord.cyntra.summary import manifest_issue_id
from collectord.cyntra.values import as_object, member
from collectord.export.dispatch_profile import knowledge_at, plan_dispatch
from collectord.export.manifests import Manifests
from collectord.export.row_plan import ExportOptions
from collectord.index.audit_rows import plain_runs
from collectord.index.events import timeouts
from collectord.index.issues import issue_history
from collectord.index.reader import IndexReader
from collectord.model import IndexedRun, IssueRevision
from collectord.sources.universe import load_universe

MOST_COMPARED = 200


def compare_inputs(reader: IndexReader, repo: Path, since_ms: int) -> tuple[Agreement, ...]:
    """The newest recorded inputs of runs since a time, each against its rebuilt one.

    Histories are rebuilt as an export of the dispatch profile would; issue fields are compared with the
    Beads record that was known when the run was dispatched, where one was.
    """
    # Worlds stand in no history of an export without them.
    found = plain_runs(reader)
    newest = _newest(found, since_ms)
    chosen = {run.name for run in newest}
    manifests = _manifests(reader, newest)
    # An input that counts as absent is rebuilt; that of the others is not even looked at.
    given = [replace(run, input_state=InputState.ABSENT) if run.name in chosen else run for run in found]
    ids = {issue_id for run in newest for issue_id in _issue_ids(run, manifests[run.name])}
    issues, ends = issue_history(reader.connection, ids), timeouts(reader.connection)
    universe = load_universe(repo, None)
    # Left out as rows, all others still stand in the histories.
    others = frozenset((run.kind, run.name) for run in found if run.name not in chosen)
    planned = plan_dispatch(given, ExportOptions(), universe, issues, ends, Manifests(reader), others)
    rows = zip(planned.runs, planned.rows(), strict=True)
    rebuilt = [(run, json.loads(compact(row.make().with_split("")))) for run, row in rows]
    return tuple(_compared(run, recorded_input(manifests[run.name]), made, issues) for run, made in rebuilt)


def _issue_ids(run: IndexedRun, manifest: JsonObject) -> Iterator[str]:
    """Under which a rebuilt input and the recorded one look for their issue."""
    yield manifest_issue_id(manifest) or run.run_id
    yield recorded_issue_id(recorded_input(manifest)) or ""


def _manifests(reader: IndexReader, runs: Sequence[IndexedRun]) -> dict[str, JsonObject]:
    """The manifest of each run, by the run's directory."""
    found = Manifests(reader)
    found.expect([run.artifacts["manifest.json"] for run in runs])
    return {run.name: found.get(run.artifacts["manifest.json"]) for run in runs}


def _newest(found: Sequence[IndexedRun], since_ms: int) -> list[IndexedRun]:
    recorded = [run for run in found if run.input_state == InputState.VERBATIM and run.started_ms >= since_ms]
    return sorted(recorded, key=lambda run: (run.started_ms, run.run_id))[-MOST_COMPARED:]


def _compared(
    run: IndexedRun, recorded: JsonObject, made: JsonObject, issues: Mapping[str, Sequence[IssueRevision]]
) -> Agreement:
    theirs, ours = _history(recorded), _history(made["planner_input"])
    known = [r for r in issues.get(recorded_issue_id(recorded) or "", ()) if r.seen_ms <= run.started_ms]
    return Agreement(
        name=run.name,
        hash_state=run.hash_state,
        history_equal=_ids(theirs) == _ids(ours),
        missing=tuple(sorted(_ids(theirs) - _ids(ours))),
        extra=tuple(sorted(_ids(ours) - _ids(theirs))),
        issue_differs=tuple(_differing(recorded, known, run.started_ms)) if known else (),
        issue_compared=bool(known),
        contents_equal=theirs == ours,
    )


def _history(planner_input: JsonObject) -> list[Any]:
    shown = member(planner_input, "history", "last_n_similar_runs")
    return shown if isinstance(shown, list) else []


def _ids(history: Sequence[Any]) -> set[str]:
    return {str(member(one, "run_id")) for one in history}


def _differing(recorded: JsonObject, known: Sequence[IssueRevision], at_ms: int) -> list[str]:
    theirs = as_object(recorded.get("issue"))
    ours = issue_input(recorded_issue_id(recorded) or "", knowledge_at(known, at_ms), row_tags(recorded))
    return sorted(key for key in theirs.keys() & ours.keys() if theirs[key] != ours[key])
