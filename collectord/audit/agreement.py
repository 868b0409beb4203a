"""Whether what a policy is trained on is what it would be given: recorded against rebuilt inputs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from collectord.audit.facts import Agreement, AuditFacts
from collectord.audit.findings import Finding, Kind
from collectord.audit.layout import count, listing, percent
from collectord.dataset.profiles import knowledge_at, plan_dispatch
from collectord.dataset.row_plan import ExportOptions
from collectord.index.epoch_inputs import epoch_inputs_digest
from collectord.index.reader import IndexReader
from collectord.index.repo_records import count_ends, issue_history, timeouts
from collectord.index.runs import Manifests, count_recorded, plain_runs
from collectord.kernel.dispatch import InputState
from collectord.kernel.jsonio import JsonObject, compact
from collectord.kernel.planner_input import issue_input, recorded_input, recorded_issue_id, row_tags
from collectord.kernel.summary import manifest_issue_id
from collectord.kernel.universe import Universe
from collectord.kernel.values import as_object, member
from collectord.model import IndexedRun, IssueRevision
from collectord.repo.files import load_universe
from collectord.system.cache_files import UNUSABLE, load_cached, save_cached
from collectord.system.own_code import code_stamp

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class AgreementAnswer:
    """Hashes of all runs, and the newest recorded inputs against the ones that the index would build."""

    hashes: dict[str, int]
    mismatched: tuple[str, ...]
    inputs: dict[str, int]
    compared: int
    histories_equal: int
    contents_equal: int
    issues_compared: int
    issues_equal: int
    issue_fields: dict[str, int]
    missing: int
    extra: int
    differing: tuple[str, ...]
    findings: tuple[Finding, ...]


def agreement(facts: AuditFacts) -> AgreementAnswer:
    """Hash states over all labelled runs; histories and issue fields over those that were compared."""
    labelled = [run for run in facts.runs if run.label]
    hashes = Counter(run.hash_state for run in labelled)
    mismatched = tuple(run.name for run in labelled if run.hash_state == "mismatch")
    found = facts.agreement
    with_history = [one for one in found if one.history_equal is not None]
    fields = Counter(name for one in found for name in one.issue_differs)
    differing = tuple(one.name for one in with_history if not one.history_equal)
    return AgreementAnswer(
        hashes={state: hashes[state] for state in ("verified", "mismatch", "absent")},
        mismatched=mismatched[:_SHOWN],
        inputs=dict(sorted(Counter(run.input_state for run in labelled).items())),
        compared=len(with_history),
        histories_equal=len(with_history) - len(differing),
        contents_equal=sum(one.contents_equal for one in with_history),
        issues_compared=sum(one.issue_compared for one in found),
        issues_equal=sum(one.issue_compared and not one.issue_differs for one in found),
        issue_fields=dict(fields.most_common()),
        missing=sum(len(one.missing) for one in found),
        extra=sum(len(one.extra) for one in found),
        differing=differing[:_SHOWN],
        findings=tuple(_findings(facts, mismatched, differing, fields, len(with_history))),
    )


def _findings(
    facts: AuditFacts,
    mismatched: tuple[str, ...],
    differing: tuple[str, ...],
    fields: Counter[str],
    compared: int,
) -> Iterator[Finding]:
    if mismatched:
        do = "leave out the runs whose recorded input was altered: `collectord runs --hash mismatch`"
        why = f"{count(len(mismatched), 'input')} without the hash recorded with it: {listing(mismatched, 3)}"
        yield Finding(Kind.DISAGREEMENT, "agreement", do, why)
    if differing:
        why = (
            f"what the kernel recorded is right as it is; {len(differing)} of {compared} recorded histories "
        )
        why += f"hold other runs than one from the index would, such as {listing(differing, 3)}"
        do = "where a planner will be served histories from this index, train on `export --histories rebuilt`"
        yield Finding(Kind.NOTE, "agreement", do, why)
    if fields:
        why = listing(f"{name} in {count(number, 'run')}" for name, number in fields.most_common())
        do = "set issue fields before an issue becomes ready: later edits reach the backlog, not the rows"
        compared_issues = sum(one.issue_compared for one in facts.agreement)
        share = percent(sum(bool(one.issue_differs) for one in facts.agreement) / compared_issues)
        yield Finding(Kind.NOTE, "agreement", do, f"{share} differ from Beads as it was known: {why}")


MOST_COMPARED = 200


def compare_inputs(
    reader: IndexReader, repo: Path, since_ms: int, cached: Path | None = None
) -> tuple[Agreement, ...]:
    """The newest recorded inputs of runs since a time, each against its rebuilt one.

    Histories are rebuilt as an export of the dispatch profile would; issue fields are compared with the
    Beads record that was known when the run was dispatched, where one was. What was found is kept in the file
    `cached`, as every run has to be looked at for it.
    """
    universe = load_universe(repo, None)
    if cached is None:
        return _compare(reader, since_ms, universe)
    key = _key(reader, since_ms, universe)
    try:
        return tuple(map(_agreement_from, load_cached(cached, key)["compared"]))
    except UNUSABLE:
        compared = _compare(reader, since_ms, universe)
        save_cached(cached, key, {"compared": [asdict(one) for one in compared]})
        return compared


def _key(reader: IndexReader, since_ms: int, universe: Universe) -> str:
    """A digest of all that the comparison follows from; which runs are the newest follows from how many."""
    numbers = count_recorded(reader.connection, since_ms), count_ends(reader.connection)
    return epoch_inputs_digest(reader.connection, repr(numbers), repr(universe), code_stamp())


def _agreement_from(values: Mapping[str, Any]) -> Agreement:
    """From JSON, which has lists for tuples."""
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return Agreement(**given)


def _compare(reader: IndexReader, since_ms: int, universe: Universe) -> tuple[Agreement, ...]:
    # Worlds stand in no history of an export without them.
    found = plain_runs(reader)
    newest = _newest(found, since_ms)
    chosen = {run.name for run in newest}
    manifests = _manifests(reader, newest)
    # An input that counts as absent is rebuilt; that of the others is not even looked at.
    given = [replace(run, input_state=InputState.ABSENT) if run.name in chosen else run for run in found]
    ids = {issue_id for run in newest for issue_id in _issue_ids(run, manifests[run.name])}
    issues, ends = issue_history(reader.connection, ids), timeouts(reader.connection)
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
