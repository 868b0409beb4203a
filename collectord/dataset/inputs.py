"""Everything a profile needs, read from the index and the repo: gather, then plan."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

from collectord.dataset.credentials import Detector
from collectord.dataset.left_out import is_verbatim
from collectord.dataset.profiles import plan_builder, plan_dispatch
from collectord.dataset.row_plan import BUILDER, HISTORY_RULE, ExportOptions, PlannedDataset, RunKeys
from collectord.index.reader import IndexReader, Revisions
from collectord.index.repo_records import issue_history, timeouts
from collectord.index.runs import Manifests
from collectord.kernel.jsonio import JsonObject, ascii_json
from collectord.kernel.summary import with_population
from collectord.kernel.universe import Universe
from collectord.model import WORLD, IndexedRun
from collectord.repo.files import load_universe, read_beads


@dataclass(frozen=True, slots=True)
class RepoFiles:
    """What an export takes from the repo itself; `beads` (by id) is None unless the profile asks for it."""

    universe: Universe
    beads: dict[str, JsonObject] | None


def read_repo(repo: Path, options: ExportOptions) -> RepoFiles:
    """One reading of the repo's files: the kernel rewrites Beads in place, so a second may differ."""
    beads = read_beads(repo) if options.profile == BUILDER else None
    return RepoFiles(load_universe(repo, options.universe), beads)


def plan_dataset(
    reader: IndexReader,
    repo: Path,
    options: ExportOptions,
    only: Revisions | None = None,
    other_epoch: RunKeys = frozenset(),
    files: RepoFiles | None = None,
    rule: int = HISTORY_RULE,
) -> PlannedDataset:
    """The dataset of the index as it is, or of exactly the revisions in `only`.

    Runs in `other_epoch` are looked at and become no rows. The builder profile joins the Beads file of
    today, as the kernel's builder does; `files` is a reading of the repo that was already made. `rule` says
    which runs a history may show.
    """
    files = files or read_repo(repo, options)
    universe_of = lru_cache(maxsize=256)(partial(_universe_of_world, repo))
    runs = reader.runs(builder=options.profile == BUILDER, only=only)
    found = [_with_population(run, universe_of) if options.include_world else run for run in runs]
    if options.profile == BUILDER:
        return plan_builder(found, options, files.universe, files.beads or {}, other_epoch)
    # Only a row whose input is built again asks what was known of its issue.
    rebuilding = not all(is_verbatim(run, options) for run in found)
    issues = issue_history(reader.connection) if rebuilding else {}
    ends = timeouts(reader.connection)
    detector = Detector() if options.redact else None
    manifests = Manifests(reader)
    return plan_dispatch(
        found, options, files.universe, issues, ends, manifests, other_epoch, rule, detector=detector
    )


def _universe_of_world(repo: Path, name: str) -> Universe:
    # A world run without a universe is in none; only a person's silence means the repo's own.
    return load_universe(repo, name) if name else Universe(name)


def _with_population(run: IndexedRun, universe_of: Callable[[str], Universe]) -> IndexedRun:
    """A world run with the width that its universe gives its swarm; the universe may come after the run."""
    if run.kind != WORLD:
        return run
    summary = json.loads(run.summary)
    universe = universe_of(summary["universe_id"])
    return replace(run, summary=ascii_json(with_population(summary, universe.populations)))
