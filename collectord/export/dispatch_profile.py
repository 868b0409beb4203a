"""The `dispatch` profile: what the planner saw at dispatch, and nothing later (CONTRACT.md section 7)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from collectord.cyntra.dispatch import (
    InputState,
    completed_ms,
    finished_ms,
    visible_from_ms,
    with_workcell_end,
)
from collectord.cyntra.events import WorkcellEnd
from collectord.cyntra.jsonio import JsonObject, Unparsable, ascii_json, drop_non_finite, parse_object
from collectord.cyntra.planner_input import (
    RECORDED_N_SIMILAR,
    issue_input,
    manifest_issue_record,
    rebuilt_parts,
    recorded_input,
    row_tags,
)
from collectord.cyntra.rows import HistoryRun, RowPieces, rebuilt_row, row_key, verbatim_key, verbatim_row
from collectord.cyntra.summary import manifest_issue_id
from collectord.cyntra.times import format_ms
from collectord.cyntra.universe import Universe
from collectord.export.history import Candidacy, Histories, pool_key
from collectord.export.manifests import KeptRows, Manifests
from collectord.export.row_plan import (
    DISPATCH,
    FAB_WORLD,
    HISTORY_RULE,
    NO_PLAN,
    NOT_ENCODABLE,
    OTHER_SWARM,
    ExportOptions,
    LazyRow,
    PlannedDataset,
    RunKeys,
    judge,
    universe_digest,
)
from collectord.index.reader import IndexReader
from collectord.model import WORLD, IndexedRun, IssueRevision

IssueHistory = Mapping[str, Sequence[IssueRevision]]


def plan_dispatch(
    found: Sequence[IndexedRun],
    options: ExportOptions,
    universe: Universe,
    issues: IssueHistory,
    timeouts: Mapping[str, WorkcellEnd],
    manifests: Manifests,
    other_epoch: RunKeys = frozenset(),
    rule: int = HISTORY_RULE,
) -> PlannedDataset:
    """Every run with an explicit plan is a row, but for those in `other_epoch`.

    `rule` says which runs a history may show; only a dataset of an earlier one asks for another.
    `found` is ordered by kind and name. What is no row still stands in the histories of others.
    """
    given = found if rule == HISTORY_RULE else [by_first_rule(run, manifests.reader) for run in found]
    complete = [_with_end(run, timeouts) for run in given]
    ordered = sorted(complete, key=lambda run: (run.started_ms, run.run_id))
    reason_of = partial(reason_left_out, options=options, universe=universe)
    judged = [(run, judge(run, other_epoch, reason_of)) for run in ordered]
    selected = [run for run, reason in judged if reason is None]
    kept = KeptRows(manifests.reader)
    rows = _Rows(ordered, selected, options, universe, issues, manifests, kept, rule)
    return PlannedDataset(
        universe_id=universe.universe_id,
        runs=selected,
        rows=rows.iterate,
        input_hashes=Counter(run.hash_state for run in selected if is_verbatim(run, options)),
        time_conflicts=Counter(run.time_conflict for run in ordered if run.time_conflict is not None),
        rejects=[(run, reason) for run, reason in judged if reason is not None],
    )


def reason_left_out(run: IndexedRun, options: ExportOptions, universe: Universe) -> str | None:
    """Why a run is no row of a dispatch dataset, or None."""
    if not options.include_world and (run.kind == WORLD or run.job_type == "fab-world"):
        return FAB_WORLD
    if run.label is None or not run.label.explicit:
        return NO_PLAN
    if not run.encodable:
        return NOT_ENCODABLE
    recorded = run.label.recorded_swarms
    if recorded is None:
        # An input that is taken as it is, without an action space, offers no swarm at all.
        recorded = () if is_verbatim(run, options) else universe.swarm_ids
    return None if run.label.swarm_id in recorded else OTHER_SWARM


def is_verbatim(run: IndexedRun, options: ExportOptions) -> bool:
    """Whether a row takes the recorded input as it is."""
    return options.n_similar == RECORDED_N_SIMILAR and run.input_state == InputState.VERBATIM


def _with_end(run: IndexedRun, timeouts: Mapping[str, WorkcellEnd]) -> IndexedRun:
    """A run that left neither proof nor rollout, completed by what the event log says of it."""
    end = timeouts.get(run.name) if run.ends_in_event_log else None
    if end is None:
        return run
    summary = with_workcell_end(json.loads(run.summary), timed_out=True, duration_ms=end.duration_ms)
    finished = finished_ms({}, run.started_ms, end.duration_ms)
    status, text = summary["outcome"]["status"], ascii_json(summary)
    return replace(run, summary=text, status=status, finished_ms=finished, duration_ms=end.duration_ms)


def knowledge_at(revisions: Sequence[IssueRevision], at_ms: int) -> JsonObject | None:
    """The Beads record as collectord knew it at a time: the latest seen by then, else the earliest."""
    seen = [revision for revision in revisions if revision.seen_ms <= at_ms]
    chosen = seen[-1] if seen else (revisions[0] if revisions else None)
    return chosen.record if chosen else None


@dataclass(frozen=True)
class _Rows:
    ordered: list[IndexedRun]
    selected: list[IndexedRun]
    options: ExportOptions
    universe: Universe
    issues: IssueHistory
    manifests: Manifests
    kept: KeptRows
    rule: int

    def iterate(self) -> Iterator[LazyRow]:
        """The rows in order of dispatch."""
        self.manifests.expect([run.artifacts["manifest.json"] for run in self.selected])
        keys = {(r.kind, r.name): _key(r) for r in self.selected if is_verbatim(r, self.options)}
        self.kept.expect(list(keys.values()))
        rebuilding = len(keys) < len(self.selected)
        shown = [run for run in self.ordered if run.encodable] if rebuilding else []
        shown = [run for run in shown if self.options.include_world or run.kind != WORLD]
        histories = Histories(
            [Candidacy(run.summary, self._visible_from_ms(run)) for run in shown], self.options.n_similar
        )
        places = {(run.kind, run.name): place for place, run in enumerate(shown)}
        context = universe_digest(self.universe)
        for run in self.selected:
            if key := keys.get((run.kind, run.name)):
                yield LazyRow(key, partial(_make_verbatim, run, self.manifests), self.kept.get)
            else:
                yield self._rebuilt(run, histories, places[run.kind, run.name], context)

    def _visible_from_ms(self, run: IndexedRun) -> int:
        if self.rule == HISTORY_RULE:
            return visible_from_ms(run.started_ms, run.finished_ms, run.complete_ms)
        return run.complete_ms if run.finished_ms is None else run.finished_ms

    def _rebuilt(self, run: IndexedRun, histories: Histories, place: int, context: str) -> LazyRow:
        manifest = self.manifests.get(run.artifacts["manifest.json"])
        summary = json.loads(run.summary)
        parts, record = self._parts(run, manifest, summary.get("tags", []))
        found = histories.similar(row_tags(parts), run.started_ms, pool_key(summary), place)
        history = [histories.encoded(other) for other in found]
        digests = [digest for _, digest in history]
        digest = run.artifacts["manifest.json"]
        row = row_key(DISPATCH, "rebuilt", digest, run.run_id, run.started_ms, context, record, digests)
        encoded = [run_ for run_, _ in history]
        return LazyRow(row, partial(_make_rebuilt, run, parts, encoded, summary["action_executed"]))

    def _parts(
        self, run: IndexedRun, manifest: JsonObject, tags: list[str]
    ) -> tuple[JsonObject, JsonObject | None]:
        issue_id = manifest_issue_id(manifest) or run.run_id
        known = knowledge_at(self.issues.get(issue_id, ()), run.started_ms)
        record = drop_non_finite(known) if known is not None else manifest_issue_record(manifest)
        issue = issue_input(issue_id, record, tags)
        job_type = str(manifest.get("job_type") or "code")
        started = format_ms(run.started_ms)
        return rebuilt_parts(recorded_input(manifest), self.universe, issue, started, job_type), known


def _key(run: IndexedRun) -> bytes:
    return verbatim_key(run.artifacts["manifest.json"], run.run_id, run.started_ms)


def by_first_rule(run: IndexedRun, reader: IndexReader) -> IndexedRun:
    """A run as the first rule had it: finished when its proof says, whatever its start and its duration."""
    digest = run.artifacts.get("proof.json")
    try:
        proof = {} if digest is None else parse_object(reader.artifact(digest))
    except Unparsable:
        proof = {}
    finished = completed_ms(proof)
    if finished is None and run.duration_ms > 0:
        finished = run.started_ms + run.duration_ms
    return replace(run, finished_ms=finished, time_conflict=None)


def _make_verbatim(run: IndexedRun, manifests: Manifests) -> RowPieces:
    planner_input = recorded_input(manifests.get(run.artifacts["manifest.json"]))
    action = json.loads(run.summary)["action_executed"]
    return verbatim_row(run.run_id, run.started_ms, planner_input, action)


def _make_rebuilt(
    run: IndexedRun, parts: JsonObject, history: Sequence[HistoryRun], action: JsonObject
) -> RowPieces:
    return rebuilt_row(run.run_id, run.started_ms, parts, history, action)
