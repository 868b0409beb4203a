"""The `builder` profile: byte for byte what the kernel's dataset builder writes (CONTRACT.md section 6)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from collectord.cyntra.jsonio import JsonObject
from collectord.cyntra.planner_input import issue_input, rebuilt_parts, row_tags
from collectord.cyntra.rows import HistoryRun, RowPieces, rebuilt_row, row_key
from collectord.cyntra.times import format_ms
from collectord.cyntra.universe import Universe
from collectord.export.history import Candidacy, Histories, pool_key
from collectord.export.row_plan import (
    BUILDER,
    FAB_WORLD,
    NOT_ENCODABLE,
    ExportOptions,
    LazyRow,
    PlannedDataset,
    RunKeys,
    judge,
    universe_digest,
)
from collectord.model import WORLD, IndexedRun

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
    judged = [(run, judge(run, other_epoch, partial(reason_left_out, options=options))) for run in runs]
    rows = _Rows([run for run in runs if run.encodable], options, universe, issues, other_epoch)
    return PlannedDataset(
        universe_id=universe.universe_id,
        runs=[run for run, reason in judged if reason is None],
        rejects=[(run, reason) for run, reason in judged if reason is not None],
        rows=rows.iterate,
    )


def reason_left_out(run: IndexedRun, options: ExportOptions) -> str | None:
    """Why a run is no row of a builder dataset, or None."""
    if run.job_type == "fab-world" and not options.include_world:
        return FAB_WORLD
    return None if run.encodable else NOT_ENCODABLE


@dataclass(frozen=True)
class _Rows:
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
            if judge(run, self.other_epoch, partial(reason_left_out, options=self.options)) is None:
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
