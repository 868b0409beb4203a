"""The two profiles: what the planner saw at dispatch, and the kernel's builder (CONTRACT.md 6, 7)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256

from collectord.dataset.credentials import Detector, issue_texts
from collectord.dataset.left_out import builder_left_out, copies_in, dispatch_left_out, is_verbatim
from collectord.dataset.row_plan import (
    BUILDER,
    COPY_OF,
    DISPATCH,
    FIRST_RULE,
    HISTORY_RULE,
    ExportOptions,
    LazyRow,
    PlannedDataset,
    RunKeys,
    judge,
    universe_digest,
)
from collectord.index.reader import IndexReader
from collectord.index.runs import KeptRows, Manifests
from collectord.kernel.dispatch import (
    completed_ms,
    finished_ms,
    visible_from_ms,
    with_workcell_end,
)
from collectord.kernel.events import WorkcellEnd
from collectord.kernel.jsonio import (
    JsonObject,
    Unparsable,
    ascii_json,
    canonical,
    drop_non_finite,
    parse_object,
)
from collectord.kernel.planner_input import (
    issue_input,
    manifest_issue_record,
    rebuilt_parts,
    recorded_input,
    row_tags,
)
from collectord.kernel.rows import (
    HistoryRun,
    RowPieces,
    history_run,
    rebuilt_row,
    row_key,
    verbatim_key,
    verbatim_row,
)
from collectord.kernel.similar import Candidate, Pool
from collectord.kernel.summary import manifest_issue_id
from collectord.kernel.universe import Universe
from collectord.kernel.values import format_ms, texts
from collectord.model import WORLD, IndexedRun, IssueRevision

PoolKey = tuple[str, Hashable, Hashable]


@dataclass(frozen=True, slots=True)
class Candidacy:
    """A run as a possible part of histories: its summary as JSON text, and from when on it is visible."""

    summary: str
    visible_from_ms: int


class Histories:
    """Answers rows in order of their time; runs become visible as that time passes.

    `candidates` are in the order in which ties are broken last; each row is shown `n` of them.
    """

    def __init__(self, candidates: Sequence[Candidacy], n: int) -> None:
        self._candidates, self._n = candidates, n
        self._order = sorted(range(len(candidates)), key=lambda i: candidates[i].visible_from_ms)
        self._next = 0
        self._pools: dict[PoolKey, Pool] = {}
        self._encoded: dict[int, tuple[HistoryRun, str]] = {}

    def similar(self, tags: Sequence[str], started_ms: int, key: PoolKey, leave_out: int | None) -> list[int]:
        """Places of the most similar candidates; call with `started_ms` never going back."""
        self._reveal(started_ms)
        pool = self._pools.get(key)
        return pool.nearest(frozenset(tags), started_ms, leave_out) if pool else []

    def _reveal(self, now_ms: int) -> None:
        while self._next < len(self._order):
            place = self._order[self._next]
            if self._candidates[place].visible_from_ms > now_ms:
                return
            self._add(place)
            self._next += 1

    def _add(self, place: int) -> None:
        summary = json.loads(self._candidates[place].summary)
        candidate = Candidate(-summary["started_ms"], summary["run_id"], place)
        tags = frozenset(texts(summary.get("tags")))
        for key in _keys_of_candidate(summary):
            self._pools.setdefault(key, Pool(self._n)).add(tags, candidate)
        # Nearly every run stands in some history.
        run = history_run(summary)
        self._encoded[place] = run, sha256(run.summary.encode("utf-8")).hexdigest()

    def encoded(self, place: int) -> tuple[HistoryRun, str]:
        """A candidate that is visible, encoded for a row, and the digest of it."""
        return self._encoded[place]


def _keys_of_candidate(summary: JsonObject) -> set[PoolKey]:
    """Every pool that a run belongs to: fab-world rows ask for their own world and objective only."""
    job_type, world, objective = pool_key(summary)
    return {(job_type, w, o) for w in (None, world) for o in (None, objective)}


def pool_key(summary: JsonObject) -> PoolKey:
    """The pool that a row draws from."""
    job_type = summary["job_type"]
    if job_type != "fab-world":
        return job_type, None, None
    return job_type, _name(summary.get("world_id")), _name(summary.get("objective_id"))


def _name(value: object) -> Hashable:
    # The kernel compares the values themselves: 1 equals true, and NaN equals nothing, itself included.
    if isinstance(value, list | dict):
        return (canonical(value),)
    # The parser gives one and the same NaN each time, and a dict would find it by identity.
    return object() if value != value else value


Issues = Mapping[str, JsonObject]


def plan_builder(
    found: Sequence[IndexedRun],
    options: ExportOptions,
    universe: Universe,
    issues: Issues,
    other_epoch: RunKeys = frozenset(),
) -> PlannedDataset:
    """Every summary is a row, fab-world ones only with `include_world`; Beads is joined as it is today.

    `found` is ordered by kind and name. Runs in `other_epoch` are no rows and still stand in histories.
    """
    runs = [run for run in found if run.kind != WORLD or options.include_world]
    runs = sorted(runs, key=lambda run: (run.started_ms, run.run_id))
    judged = [(run, judge(run, other_epoch, partial(builder_left_out, options=options))) for run in runs]
    rows = _BuilderRows([run for run in runs if run.encodable], options, universe, issues, other_epoch)
    return PlannedDataset(
        universe_id=universe.universe_id,
        runs=[run for run, reason in judged if reason is None],
        rejects=[(run, reason) for run, reason in judged if reason is not None],
        rows=rows.iterate,
    )


@dataclass(frozen=True)
class _BuilderRows:
    runs: list[IndexedRun]
    options: ExportOptions
    universe: Universe
    issues: Issues
    other_epoch: RunKeys

    def iterate(self) -> Iterator[LazyRow]:
        # A run is visible to rows that started later, not to those of the same millisecond.
        histories = Histories(
            [Candidacy(run.summary, run.started_ms + 1) for run in self.runs], self.options.n_similar
        )
        context = universe_digest(self.universe)
        for run in self.runs:
            if judge(run, self.other_epoch, partial(builder_left_out, options=self.options)) is None:
                yield self._row(run, json.loads(run.summary), histories, context)

    def _row(self, run: IndexedRun, summary: JsonObject, histories: Histories, context: str) -> LazyRow:
        issue_id = summary.get("issue_id") or run.run_id or "unknown"
        record = self.issues.get(issue_id)
        issue = issue_input(issue_id, record, summary.get("tags", []))
        places = histories.similar(row_tags({"issue": issue}), run.started_ms, pool_key(summary), None)
        history = [histories.encoded(place) for place in places]
        key = row_key(BUILDER, run.summary, context, record, [digest for _, digest in history])
        made = partial(_make, run, summary, issue, self.universe, [encoded for encoded, _ in history])
        return LazyRow(key, made)


def _make(
    run: IndexedRun, summary: JsonObject, issue: JsonObject, universe: Universe, history: list[HistoryRun]
) -> RowPieces:
    parts = rebuilt_parts({}, universe, issue, format_ms(run.started_ms), run.job_type)
    return rebuilt_row(run.run_id, run.started_ms, parts, history, summary["action_executed"])


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
    detector: Detector | None = None,
) -> PlannedDataset:
    """Every run with an explicit plan is a row, but for those in `other_epoch`; redacted with a `detector`.

    `rule` says which runs a history may show; only a dataset of an earlier one asks for another.
    `found` is ordered by kind and name. What is no row still stands in the histories of others.
    """
    given = [by_first_rule(run, manifests.reader) for run in found] if rule == FIRST_RULE else found
    complete = [_with_end(run, timeouts) for run in given]
    everything = sorted(complete, key=lambda run: (run.started_ms, run.run_id))
    copies = copies_in(everything) if rule >= HISTORY_RULE else {}
    ordered = [run for run in everything if (run.kind, run.name) not in copies]

    def reason_of(run: IndexedRun) -> str | None:
        original = copies.get((run.kind, run.name))
        return f"{COPY_OF} {original}" if original else dispatch_left_out(run, options, universe)

    judged = [(run, judge(run, other_epoch, reason_of)) for run in everything]
    selected = [run for run, reason in judged if reason is None]
    stored = KeptRows(manifests.reader)
    rows = _DispatchRows(ordered, selected, options, universe, issues, manifests, stored, rule, detector)
    return PlannedDataset(
        universe_id=universe.universe_id,
        runs=selected,
        rows=rows.iterate,
        input_hashes=Counter(run.hash_state for run in selected if is_verbatim(run, options)),
        time_conflicts=Counter(run.time_conflict for run in ordered if run.time_conflict is not None),
        rejects=[(run, reason) for run, reason in judged if reason is not None],
    )


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
class _DispatchRows:
    ordered: list[IndexedRun]
    selected: list[IndexedRun]
    options: ExportOptions
    universe: Universe
    issues: IssueHistory
    manifests: Manifests
    stored: KeptRows
    rule: int
    detector: Detector | None

    def iterate(self) -> Iterator[LazyRow]:
        """The rows in order of dispatch."""
        self.manifests.expect([run.artifacts["manifest.json"] for run in self.selected])
        keys = {(r.kind, r.name): _key(r) for r in self.selected if is_verbatim(r, self.options)}
        self.stored.expect(list(keys.values()) if self.detector is None else [])
        rebuilding = len(keys) < len(self.selected)
        shown = [run for run in self.ordered if run.encodable] if rebuilding else []
        shown = [run for run in shown if self.options.include_world or run.kind != WORLD]
        histories = Histories(
            [Candidacy(self._redacted(run.summary), self._visible_from_ms(run)) for run in shown],
            self.options.n_similar,
        )
        places = {(run.kind, run.name): place for place, run in enumerate(shown)}
        context = universe_digest(self.universe)
        for run in self.selected:
            if key := keys.get((run.kind, run.name)):
                yield self._verbatim(run, key)
            else:
                yield self._rebuilt(run, histories, places[run.kind, run.name], context)

    def _verbatim(self, run: IndexedRun, key: bytes) -> LazyRow:
        make = partial(_make_verbatim, run, self.manifests, self.detector)
        if self.detector is None:
            return LazyRow(key, make, self.stored.get)
        return LazyRow(row_key("redacted", self.detector.version, key.hex()), make)

    def _redacted(self, summary: str) -> str:
        return summary if self.detector is None else ascii_json(self.detector.redacted(json.loads(summary)))

    def _visible_from_ms(self, run: IndexedRun) -> int:
        if self.rule != FIRST_RULE:
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
        if self.detector is not None:
            row = row_key("redacted", self.detector.version, row.hex())
        encoded = [run_ for run_, _ in history]
        return LazyRow(row, partial(_make_rebuilt, run, parts, encoded, summary["action_executed"]))

    def _parts(
        self, run: IndexedRun, manifest: JsonObject, tags: list[str]
    ) -> tuple[JsonObject, JsonObject | None]:
        issue_id = manifest_issue_id(manifest) or run.run_id
        known = knowledge_at(self.issues.get(issue_id, ()), run.started_ms)
        record = drop_non_finite(known) if known is not None else manifest_issue_record(manifest)
        texts = [*issue_texts(manifest), *(str(value) for value in (record or {}).values())]
        if self.detector is not None:
            record, tags = self.detector.redacted(record), self.detector.redacted(tags)
        issue = issue_input(issue_id, record, tags)
        job_type = str(manifest.get("job_type") or "code")
        started = format_ms(run.started_ms)
        parts = rebuilt_parts(recorded_input(manifest), self.universe, issue, started, job_type)
        return parts if self.detector is None else self.detector.redacted_input(parts, texts), known


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


def _make_verbatim(run: IndexedRun, manifests: Manifests, detector: Detector | None) -> RowPieces:
    manifest = manifests.get(run.artifacts["manifest.json"])
    planner_input = recorded_input(manifest)
    if detector is not None:
        planner_input = detector.redacted_input(planner_input, issue_texts(manifest))
    action = json.loads(run.summary)["action_executed"]
    return verbatim_row(run.run_id, run.started_ms, planner_input, action)


def _make_rebuilt(
    run: IndexedRun, parts: JsonObject, history: Sequence[HistoryRun], action: JsonObject
) -> RowPieces:
    return rebuilt_row(run.run_id, run.started_ms, parts, history, action)
