"""Which runs are no rows, and why: what is no example, and copies of others. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from typing import NamedTuple

from collectord.dataset.row_plan import (
    FAB_WORLD,
    NO_PLAN,
    NOT_ENCODABLE,
    OTHER_SWARM,
    RECORDED,
    ExportOptions,
)
from collectord.kernel.dispatch import InputState
from collectord.kernel.planner_input import RECORDED_N_SIMILAR
from collectord.kernel.universe import Universe
from collectord.model import WORLD, IndexedRun


def builder_left_out(run: IndexedRun, options: ExportOptions) -> str | None:
    """Why a run is no row of a builder dataset, or None."""
    if run.job_type == "fab-world" and not options.include_world:
        return FAB_WORLD
    return None if run.encodable else NOT_ENCODABLE


def copies_in(runs: Iterable[IndexedRun]) -> dict[tuple[str, str], str]:
    """(kind, name) of each directory that copies another one, and the name of that one.

    Copies have one run id and the same core files. The one that bears the id of the run is the original, else
    the one that was complete first. Two different runs that share an id are no copies.
    """
    listed = list(runs)
    times = Counter([run.run_id for run in listed])  # nearly all ids are of one run
    return copies_among(
        MaybeCopy(run.kind, run.name, run.run_id, frozenset(run.artifacts.items()), run.complete_ms)
        for run in listed
        if times[run.run_id] > 1
    )


class MaybeCopy(NamedTuple):
    """A directory with the id of its run and its core files, as far as copies are told by them."""

    kind: str
    name: str
    run_id: str
    content: Hashable
    complete_ms: int | None


def copies_among(found: Iterable[MaybeCopy]) -> dict[tuple[str, str], str]:
    """As `copies_in`, for who has no more of the runs."""
    groups: dict[Hashable, list[MaybeCopy]] = {}
    for one in found:
        groups.setdefault((one.kind, one.run_id, one.content), []).append(one)
    copies = {}
    for group in (group for group in groups.values() if len(group) > 1):
        first, *others = sorted(
            group, key=lambda one: (one.name != one.run_id, one.complete_ms or 0, one.name)
        )
        copies.update({(one.kind, one.name): first.name for one in others})
    return copies


def dispatch_left_out(run: IndexedRun, options: ExportOptions, universe: Universe) -> str | None:
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
    as_recorded = options.histories == RECORDED and options.n_similar == RECORDED_N_SIMILAR
    return as_recorded and run.input_state == InputState.VERBATIM
