"""What the index holds and how it is, whether the daemon lives, and counts as the kernel's planner does."""

from __future__ import annotations

import json
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Any

from collectord.fs import Holder
from collectord.index import queries
from collectord.index.alerts import open_alerts
from collectord.index.environments import known_fingerprint, last_look_ms
from collectord.index.reader import IndexReader
from collectord.index.schema import HEAD
from collectord.index.sign_of_life import Heartbeat, last_beat
from collectord.index.snapshots import known_snapshots
from collectord.model import WORLD, OutcomeKind
from collectord.sources.universe import default_universe_id

DAEMON = "collectord run"
INTERVALS = 3
_DEFAULT_INTERVAL_MS = 10_000


class Life(StrEnum):
    """SILENT holds the lock and has not given a sign for too long; DEAD went without a word."""

    NEVER = "never"
    STARTING = "starting"
    ALIVE = "alive"
    SILENT = "silent"
    STOPPED = "stopped"
    DEAD = "dead"


def life_of(beat: Heartbeat | None, holder: Holder | None, now_ms: int) -> Life:
    """How the daemon lives, by its last sign of life and by who holds the state lock now.

    Fresh is a sign of at most three of its intervals ago, or as far in the future after a step of the clock.
    """
    runs = holder is not None and holder.get("command", DAEMON) == DAEMON
    if beat is None:
        return Life.STARTING if runs else Life.NEVER
    if holder is None or not runs:
        return Life.DEAD if beat.stopped_ms is None else Life.STOPPED
    if beat.stopped_ms is not None or holder.get("pid", beat.pid) != beat.pid:
        return Life.STARTING
    return Life.ALIVE if abs(now_ms - beat.beat_ms) <= INTERVALS * _interval_ms(beat) else Life.SILENT


def _interval_ms(beat: Heartbeat) -> int:
    interval = beat.state.get("interval_ms")
    return interval if isinstance(interval, int) else _DEFAULT_INTERVAL_MS


SCHEMA = "collectord.status.v1"
STATES = (
    OutcomeKind.INDEXED,
    OutcomeKind.PARTIAL,
    OutcomeKind.QUARANTINED,
    OutcomeKind.IGNORED,
    "gone",
)


def without_index(repo: str, path: str) -> dict[str, Any]:
    """The status before the first ingest."""
    index = {"path": path, "exists": False, "bytes": 0, "schema": None}
    return {"schema": SCHEMA, "repo": repo, "index": index}


def status_of(reader: IndexReader, repo: str, holder: Holder | None, now_ms: int) -> dict[str, Any]:
    """The status as one document; counts are of archives by their last outcome.

    `attention` lists the archives that are partial or in quarantine, `vanished` counts those that were
    pruned before they were read, `lock` is who writes now; it is an empty object where the writer has not
    given its name. `daemon` is how the daemon lives, and what it said of itself at its last heartbeat.
    `time_conflicts` counts runs whose times contradict each other, by how they do.
    `environment` is what stands as of the last look, with the open alerts by event.
    """
    found = queries.totals(reader)
    last = reader.info("last_ingest_ms")
    return {
        "schema": SCHEMA,
        "repo": repo,
        "index": {"path": str(reader.path), "exists": True, "bytes": _bytes(reader.path), "schema": HEAD},
        "archives": {str(state): found.archives.get(state, 0) for state in STATES},
        "attention": queries.needing_attention(reader),
        "runs": found.runs,
        "plans": found.plans,
        "issues": found.issues,
        "time_conflicts": found.time_conflicts,
        "last_ingest_ms": int(last) if last else None,
        "lock": dict(holder) if holder is not None else None,
        "vanished": int(reader.info("vanished") or 0),
        "daemon": _daemon(last_beat(reader.connection), holder, now_ms),
        "environment": {
            "fingerprint": known_fingerprint(reader.connection),
            "looked_ms": last_look_ms(reader.connection),
            "alerts": open_alerts(reader.connection),
        },
        "snapshot": _newest_snapshot(reader),
    }


def _daemon(beat: Heartbeat | None, holder: Holder | None, now_ms: int) -> dict[str, Any]:
    life = life_of(beat, holder, now_ms)
    if beat is None:
        return {"life": life}
    own = {"pid": beat.pid, "started_ms": beat.started_ms, "beat_ms": beat.beat_ms}
    return {**beat.state, "life": life, **own, "stopped_ms": beat.stopped_ms, "age_ms": now_ms - beat.beat_ms}


def _bytes(path: Path) -> int:
    """Of the index and its log."""
    files = (path, path.with_name(f"{path.name}-wal"))
    return sum(file.stat().st_size for file in files if file.exists())


def _newest_snapshot(reader: IndexReader) -> dict[str, Any] | None:
    known = known_snapshots(reader.connection)
    if not known:
        return None
    newest = known[0]
    path, options = str(newest["path"]), str(newest["options"])
    return {**newest, "options": json.loads(options), "exists": Path(path).is_dir()}


def stats_of(reader: IndexReader, repo: Path, *, include_world: bool) -> dict[str, Any]:
    """Over all summaries that the kernel's builder makes."""
    found = [run for run in reader.runs(builder=True) if include_world or run.kind != WORLD]
    return {
        "example_count": len(found),
        "by_job_type": dict(Counter(run.job_type for run in found)),
        "by_domain": dict(Counter(run.domain for run in found)),
        "default_universe_id": default_universe_id(repo),
    }
