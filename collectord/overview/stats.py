"""Counts over run summaries, the four keys of `cyntra planner stats --json`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from collectord.index.reader import IndexReader
from collectord.model import WORLD
from collectord.sources.universe import default_universe_id


def stats_of(reader: IndexReader, repo: Path, *, include_world: bool) -> dict[str, Any]:
    """Over all summaries that the kernel's builder makes."""
    found = [run for run in reader.runs(builder=True) if include_world or run.kind != WORLD]
    return {
        "example_count": len(found),
        "by_job_type": dict(Counter(run.job_type for run in found)),
        "by_domain": dict(Counter(run.domain for run in found)),
        "default_universe_id": default_universe_id(repo),
    }
