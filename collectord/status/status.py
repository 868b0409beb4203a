"""What the index holds and how it is, whether the daemon and the kernel live."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collectord.index.opening import now_ms
from collectord.repo.files import in_flight
from collectord.repo.kernel_processes import KernelFinder

if TYPE_CHECKING:
    from collectord.config import Settings

import json
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from collectord.dataset.publish import published
from collectord.index import queries
from collectord.index.alerts import unacknowledged_counts
from collectord.index.environments import kernel_states, known_fingerprint, last_look_ms
from collectord.index.info import CURRENT_EPOCH, DISK_USAGE, DROPPED_LINES
from collectord.index.opening import reader_for
from collectord.index.reader import IndexReader
from collectord.index.schema import HEAD
from collectord.index.sign_of_life import Heartbeat, last_beat
from collectord.model import WORLD, KernelSession, OutcomeKind
from collectord.repo.files import default_universe_id
from collectord.repo.kernel_processes import KernelLook
from collectord.system.lock import Holder, holder

if TYPE_CHECKING:
    from collectord.config import Settings


# As in `index.kernels`: the start of one process can come out a little differently.
SAME_START_MS = 2000


def kernel_document(look: KernelLook, known: Sequence[Mapping[str, Any]], in_flight: int) -> dict[str, Any]:
    """`running` are the kernels that a look saw now, with what the index knows of their configuration
    (`known`: null fields where it does not yet); `hidden` those whose folder may not be read; `in_flight`
    counts workcells that are running."""
    return {
        "running": [_running(session, known) for session in look.kernels],
        "hidden": [{"pid": kernel.pid, "user": kernel.user} for kernel in look.hidden],
        "in_flight": in_flight,
    }


def _running(session: KernelSession, known: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    shown = {
        "pid": session.pid,
        "started_ms": session.started_ms,
        "command": session.launch.command,
        "max_concurrent": session.max_concurrent,
        "environment": None,
        "files": None,
        "epoch": None,
        "wants_restart": None,
        "changed_ms": None,
    }
    mine = (state for state in known if _is_same(state, session))
    return {**shown, **next(mine, {}), "started_ms": session.started_ms}


def _is_same(state: Mapping[str, Any], session: KernelSession) -> bool:
    near = abs(int(state["started_ms"]) - session.started_ms) <= SAME_START_MS
    return bool(state["pid"] == session.pid and near)


def hidden_words(hidden: Sequence[Mapping[str, Any]]) -> str:
    """`process 7 of alice, process 9`."""
    return ", ".join(f"process {h['pid']}" + (f" of {h['user']}" if h["user"] else "") for h in hidden)


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


def status_of(
    reader: IndexReader, repo: str, benches: Path, holder: Holder | None, now_ms: int
) -> dict[str, Any]:
    """The status as one document; counts are of archives by their last outcome.

    `attention` lists the archives that are partial or in quarantine, `vanished` counts those that were
    pruned before they were read, `lock` is who writes now; it is an empty object where the writer has not
    given its name. `daemon` is how the daemon lives, and what it said of itself at its last heartbeat.
    `time_conflicts` counts runs whose times contradict each other, by how they do.
    `environment` is what stands as of the last look, with the open alerts by event.
    """
    found = queries.totals(reader)
    first, last = reader.info("first_ingest_ms"), reader.info("last_ingest_ms")
    return {
        "schema": SCHEMA,
        "repo": repo,
        "index": {"path": str(reader.path), "exists": True, "bytes": _bytes(reader.path), "schema": HEAD},
        "archives": {str(state): found.archives.get(state, 0) for state in STATES},
        "attention": queries.needing_attention(reader),
        "runs": found.runs,
        "plans": found.plans,
        "outcomes": found.outcomes,
        "issues": found.issues,
        "issue_lines_dropped": json.loads(reader.info(DROPPED_LINES) or "[]"),
        "time_conflicts": found.time_conflicts,
        "first_ingest_ms": int(first) if first else None,
        "last_ingest_ms": int(last) if last else None,
        "lock": dict(holder) if holder is not None else None,
        "vanished": int(reader.info("vanished") or 0),
        "daemon": _daemon(last_beat(reader.connection), holder, now_ms),
        "environment": {
            "fingerprint": known_fingerprint(reader.connection),
            "looked_ms": last_look_ms(reader.connection),
            "alerts": unacknowledged_counts(reader.connection),
            "epoch": json.loads(reader.info(CURRENT_EPOCH) or "{}") or None,
        },
        "snapshot": _newest_snapshot(reader, benches),
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


def _newest_snapshot(reader: IndexReader, benches: Path) -> dict[str, Any] | None:
    known = published(reader.connection, benches)
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


def status(settings: Settings, *, measure: bool = False) -> dict[str, Any]:
    """What the index holds, who writes to it, the newest snapshot, and how much disk is used.

    The latter as the daemon measured it last, or now with `measure`, which walks every archive.
    """
    if not settings.index_path.exists():
        return without_index(str(settings.repo), str(settings.index_path))
    with reader_for(settings) as reader:
        found = status_of(
            reader, str(settings.repo), settings.benches_dir, holder(settings.lock_path), now_ms()
        )
        found["disk"] = _measure(settings) if measure else json.loads(reader.info(DISK_USAGE) or "null")
        states = kernel_states(reader.connection)
    look = KernelFinder(settings.repo).look(now_ms())
    found["kernel"] = kernel_document(look, states, len(in_flight(settings.repo)))
    found["stale_workcells"] = list(stale_workcells(settings.repo, now_ms()))
    return found


def _measure(settings: Settings) -> dict[str, Any]:
    from collectord.status.disk_usage import measure

    return measure(settings)


def stats(settings: Settings, *, include_world: bool) -> dict[str, Any]:
    """Counts over run summaries."""
    with reader_for(settings) as reader:
        return stats_of(reader, settings.repo, include_world=include_world)


def stale_workcells(repo: Path, clock_ms: int, older_than_ms: int = 86_400_000) -> tuple[str, ...]:
    """Runs in flight whose directory nobody changed for a day: a kernel that died left them."""
    found = []
    with suppress(OSError), os.scandir(repo / ".workcells") as listing:
        for entry in listing:
            if not entry.is_dir(follow_symlinks=False):
                continue
            with suppress(OSError):
                own = entry.stat(follow_symlinks=False)
                if clock_ms - own.st_mtime_ns // 1_000_000 > older_than_ms:
                    found.append(entry.name)
    return tuple(sorted(found))
