"""Everything a profile needs, read from the index and the repo: gather, then plan."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from collectord.export.builder_profile import plan_builder
from collectord.export.dispatch_profile import plan_dispatch
from collectord.export.manifests import Manifests
from collectord.export.options import BUILDER, ExportOptions
from collectord.export.planned import PlannedDataset
from collectord.index.events import timeouts
from collectord.index.issues import issue_history
from collectord.index.reader import IndexReader, Revisions
from collectord.sources.beads import read_beads
from collectord.sources.universe import load_universe


def plan_dataset(
    reader: IndexReader, repo: Path, options: ExportOptions, only: Revisions | None = None
) -> PlannedDataset:
    """The dataset of the index as it is, or of exactly the revisions in `only`.

    The builder profile joins the Beads file of today, as the kernel's builder does.
    """
    universe = load_universe(repo, options.universe)
    if options.profile == BUILDER:
        found = list(reader.runs(builder=True, only=only))
        universe_of = lru_cache(maxsize=256)(lambda name: load_universe(repo, name))
        return plan_builder(found, options, universe, read_beads(repo) or {}, universe_of)
    found = list(reader.runs(only=only))
    issues, ends = issue_history(reader.connection), timeouts(reader.connection)
    return plan_dispatch(found, options, universe, issues, ends, Manifests(reader))
