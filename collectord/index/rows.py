"""Domain values as table rows and back: digests as keys, texts a database can hold, compressed bytes."""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Any, overload

from isal import isal_zlib

from collectord.errors import IndexDamaged
from collectord.kernel.jsonio import ascii_json
from collectord.model import CoreFile, FileState, IndexedRun, KeptRow, Known, Label, Reading, Run


def text_digest(text: str) -> str:
    """sha256 of an ASCII text."""
    return sha256(text.encode("ascii")).hexdigest()


MAX_INT = 2**63 - 1


@overload
def db_text(value: str) -> str: ...
@overload
def db_text(value: None) -> None: ...
def db_text(value: str | None) -> str | None:
    """The text with lone surrogates and NULs written as escapes; for looking at, not for hashing."""
    if value is None or value.isprintable():
        return value
    return value.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")


def db_int(value: int | None) -> int | None:
    """The integer, or None where it does not fit into 64 bits."""
    return int(value) if value is not None and -MAX_INT - 1 <= value <= MAX_INT else None


def db_real(value: float | None) -> float | None:
    """The number, or None for NaN, which SQLite would turn into NULL by itself."""
    return None if value is None or value != value else float(value)


CODEC = "zlib"
# zlib's own level 6 takes three times as long for a tenth less room, and ingest waits for it.
_LEVEL = 1


def pack(data: bytes) -> bytes:
    """Compressed bytes of one artifact or row, in zlib's format; which bytes is up to the machine."""
    return isal_zlib.compress(data, _LEVEL)


def unpack(digest: str, codec: str, data: bytes) -> bytes:
    """The artifact's bytes, checked against the digest that it is filed under."""
    try:
        raw = zlib.decompress(data) if codec == CODEC else b""
    except zlib.error as error:
        raise IndexDamaged(f"artifact {digest}: {error}; run `collectord db recover`") from error
    if sha256(raw).hexdigest() != digest:
        raise IndexDamaged(f"artifact {digest}: its bytes have another digest; run `collectord db recover`")
    return raw


DbRow = dict[str, Any]


def artifact_rows(files: Sequence[CoreFile]) -> list[DbRow]:
    """One row for each distinct file that was read, compressed; empty files included."""
    distinct = {file.sha256: file.data for file in files if file.state is FileState.READ}
    return [
        {"sha256": digest, "size": len(data), "codec": CODEC, "data": pack(data)}
        for digest, data in distinct.items()
    ]


def kept_rows(kept: Sequence[KeptRow]) -> list[DbRow]:
    """One row for each key, compressed."""
    distinct = {row.key: row.data for row in kept}
    return [{"key": key, "data": pack(data)} for key, data in distinct.items()]


def file_rows(revision_id: int, files: tuple[CoreFile, ...]) -> list[DbRow]:
    """One row for each file that was there."""
    return [
        {
            "revision_id": revision_id,
            "name": file.name,
            "state": str(file.state),
            "sha256": file.sha256,
            "mtime_ns": db_int(file.mtime_ns),
            "reason": file.reason,
        }
        for file in files
        if file.state is not FileState.MISSING
    ]


def revision_row(revision_id: int, archive_id: int, number: int, reading: Reading, now_ms: int) -> DbRow:
    """The row of a new revision."""
    return {
        "id": revision_id,
        "archive_id": archive_id,
        "number": number,
        "digest": reading.digest,
        "partial": reading.partial,
        "dir_mtime_ns": db_int(reading.dir_mtime_ns) or 0,
        "seen_ms": now_ms,
    }


def run_row(revision_id: int, run: Run) -> DbRow:
    """The row of a run; what is exact stands in the JSON columns, what is looked for in the typed ones."""
    from collectord.kernel.evidence import evidence_json, situation_json  # which no reader waits for

    return {
        "revision_id": revision_id,
        "run_id": db_text(run.run_id),
        "issue_id": db_text(run.issue_id),
        "job_type": db_text(run.job_type),
        "domain": run.domain,
        "status": run.status,
        "toolchain": db_text(run.toolchain),
        "model": db_text(run.model),
        "prompt_genome_id": db_text(run.prompt_genome_id),
        "started_ms": run.started_ms,
        "started_source": run.started_source,
        "finished_ms": None if run.finished_ms is None else min(run.finished_ms, MAX_INT),
        "duration_ms": db_int(run.duration_ms) or 0,
        "cost_usd": db_real(run.cost_usd),
        "tokens_used": db_int(run.tokens_used),
        "has_proof": int(run.has_proof),
        "has_rollout": int(run.has_rollout),
        "ends_in_event_log": int(run.ends_in_event_log),
        "input_state": run.input_state,
        "hash_state": run.hash_state,
        "encodable": int(run.encodable),
        "summary": ascii_json(run.summary),
        "builder_summary": None if run.builder_summary is None else ascii_json(run.builder_summary),
        "evidence": evidence_json(run.evidence),
        "situation": None if run.situation is None else situation_json(run.situation),
        "executed": run.executed,
        "issue_text": run.issue_text,
        "time_conflict": run.time_conflict,
        "artifact_facts": run.artifact_facts,
    }


def label_row(revision_id: int, label: Label) -> DbRow:
    """The row of a label."""
    swarms = label.recorded_swarms
    return {
        "revision_id": revision_id,
        "explicit": int(label.explicit),
        "swarm_id": db_text(label.swarm_id),
        "max_candidates": db_int(label.max_candidates),
        "timeout_seconds": db_int(label.timeout_seconds),
        "max_iterations": db_int(label.max_iterations),
        "recorded_swarms": None if swarms is None else ascii_json(list(swarms)),
    }


def known_from(kind: str, name: str, state: str, *rest: Any) -> Known:
    """What the index knows of a directory; of words that recur, and of names, there is one copy."""
    return Known(sys.intern(kind), sys.intern(name), sys.intern(state), *rest)


def indexed_run_from(row: Any, artifacts: dict[str, str]) -> IndexedRun:
    """A run of a current revision, from a joined row whose `shown` is the summary that was asked for."""
    summary = json.loads(row["shown"])
    return IndexedRun(
        kind=row["kind"],
        name=row["name"],
        digest=row["digest"],
        run_id=summary["run_id"],
        started_ms=summary["started_ms"],
        finished_ms=row["finished_ms"],
        complete_ms=row["complete_ms"],
        duration_ms=summary["runtime"]["duration_ms"],
        input_state=row["input_state"],
        hash_state=row["hash_state"],
        encodable=bool(row["encodable"]),
        ends_in_event_log=bool(row["ends_in_event_log"]),
        job_type=summary["job_type"],
        domain=summary["domain"],
        status=summary["outcome"]["status"],
        summary=row["shown"],
        label=label_from(
            row["explicit"],
            row["swarm_id"],
            row["max_candidates"],
            row["timeout_seconds"],
            row["max_iterations"],
            row["recorded_swarms"],
        ),
        artifacts=artifacts,
        time_conflict=row["time_conflict"],
    )


def label_from(
    explicit: int | None,
    swarm_id: str | None,
    max_candidates: int | None,
    timeout_seconds: int | None,
    max_iterations: int | None,
    recorded_swarms: str | None,
) -> Label | None:
    """The label in the columns of a row, None where there is none."""
    if explicit is None:
        return None
    offered = None if recorded_swarms is None else swarms_from(recorded_swarms)
    return Label(bool(explicit), swarm_id, max_candidates, timeout_seconds, max_iterations, offered)


@lru_cache(maxsize=256)  # the runs of one universe all offer the same
def swarms_from(text: str) -> tuple[str, ...]:
    """The recorded swarms of a label's column."""
    return tuple(json.loads(text))
