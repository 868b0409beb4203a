"""What the index holds and how it is."""

from __future__ import annotations

from typing import Any

from collectord.fs import Holder
from collectord.index.heartbeat import last_beat
from collectord.index.reader import IndexReader
from collectord.index.schema import HEAD
from collectord.index.snapshots import known_snapshots

STATES = ("indexed", "partial", "quarantined", "ignored", "gone")


def without_index(repo: str, path: str) -> dict[str, Any]:
    """The status before the first ingest."""
    return {
        "schema": "collectord.status.v1",
        "repo": repo,
        "index": {"path": path, "exists": False, "bytes": 0, "schema": None},
    }


def status_of(reader: IndexReader, repo: str, holder: Holder | None) -> dict[str, Any]:
    """The status as one document; counts are of archives by their last outcome."""
    counts = reader.counts()
    last = reader.info("last_ingest_ms")
    snapshots = known_snapshots(reader.connection)
    beat = last_beat(reader.connection)
    return {
        **without_index(repo, str(reader.path)),
        "index": {
            "path": str(reader.path),
            "exists": True,
            "bytes": reader.path.stat().st_size,
            "schema": HEAD,
        },
        "archives": {state: counts.get(state, 0) for state in STATES},
        "runs": reader.count_runs(),
        "plans": reader.count_plans(),
        "issues": reader.count_issues(),
        "last_ingest_ms": int(last) if last else None,
        "lock": dict(holder) if holder is not None else None,
        "daemon": {"beat_ms": beat.beat_ms, "stopped_ms": beat.stopped_ms} if beat else None,
        "snapshot": snapshots[0] if snapshots else None,
    }
