"""Reads the index and the repo once into facts; all else in this room is pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from collectord.audit.backlog_records import backlog_of
from collectord.audit.cache import keep, kept
from collectord.audit.facts import (
    Agreement,
    AuditFacts,
    AuditRun,
    Epoch,
    Health,
    LabelVariety,
    OpenAlert,
    SnapshotFact,
    Told,
)
from collectord.audit.run_facts import action_of, tell
from collectord.cyntra.jsonio import JsonObject, Unparsable, parse_object
from collectord.index.audit_rows import ended_without_archive, told_runs
from collectord.index.queries import needing_attention, totals
from collectord.index.reader import IndexReader
from collectord.index.snapshots import known_snapshots
from collectord.model import Label
from collectord.sources.beads import read_beads, read_deps

DbRow = dict[str, Any]
_WINDOW = 256


@dataclass(frozen=True, slots=True)
class AuditContext:
    """What other rooms know: epochs and which runs are in them, alerts, inputs that were built again."""

    epochs: tuple[Epoch, ...] = ()
    epoch_of: Mapping[str, int] = field(default_factory=dict)
    alerts: tuple[OpenAlert, ...] = ()
    agreement: tuple[Agreement, ...] = ()
    rebuilt: tuple[bool, tuple[str, ...]] | None = None
    concurrent: int | None = None
    policy_unknown: str | None = None
    varieties: tuple[LabelVariety, ...] = ()


def gather(
    reader: IndexReader, repo: Path, cache: Path | None, *, now_ms: int, window_ms: int, beside: AuditContext
) -> AuditFacts:
    """Everything the audit looks at; `cache` is a folder where what artifacts told is kept."""
    rows = told_runs(reader)
    told, not_kept = _told(reader, rows, cache)
    runs = tuple(
        _run(row, told[row["digest"]], beside.epoch_of) for row in rows if row["started_ms"] <= now_ms
    )
    return AuditFacts(
        repo=str(repo),
        now_ms=now_ms,
        window_ms=window_ms,
        runs=runs,
        backlog=backlog_of(read_beads(repo) or {}, read_deps(repo)),
        epochs=beside.epochs,
        agreement=beside.agreement,
        health=replace(_health(reader, beside), not_kept=not_kept, time_conflicts=_time_conflicts(rows)),
        policy_unknown=beside.policy_unknown,
        concurrent=beside.concurrent,
        varieties=beside.varieties,
    )


def _time_conflicts(rows: Sequence[DbRow]) -> dict[str, int]:
    found = Counter(row["time_conflict"] for row in rows if row["time_conflict"] is not None)
    return dict(sorted(found.items()))


def _told(
    reader: IndexReader, rows: Sequence[DbRow], cache: Path | None
) -> tuple[dict[str, Told], str | None]:
    """(what the artifacts of each revision tell, why it could not be kept)."""
    before = kept(cache) if cache else {}
    wanted = [row for row in rows if row["digest"] not in before]
    found = {row["digest"]: before[row["digest"]] for row in rows if row["digest"] in before}
    for row, manifest, proof in _documents(reader, wanted):
        found[row["digest"]] = tell(manifest, proof)
    changed = bool(wanted) or len(found) != len(before)
    return found, keep(cache, found) if cache and changed else None


def _documents(reader: IndexReader, rows: Sequence[DbRow]) -> Iterator[tuple[DbRow, JsonObject, JsonObject]]:
    """Manifest and proof of each row, fetched a few at a time; an absent one is an empty object."""
    for start in range(0, len(rows), _WINDOW):
        some = rows[start : start + _WINDOW]
        digests = {row[name] for row in some for name in ("manifest", "proof")} - {None}
        data = reader.artifacts(sorted(digests))
        for row in some:
            yield row, _parsed(data.get(row["manifest"])), _parsed(data.get(row["proof"]))


def _parsed(data: bytes | None) -> JsonObject:
    try:
        return parse_object(data) if data else {}
    except Unparsable:
        return {}


def _run(row: DbRow, told: Told, epoch_of: Mapping[str, int]) -> AuditRun:
    plan = (row["swarm_id"], row["max_candidates"], row["timeout_seconds"])
    label = Label(bool(row["explicit"]), *plan, None, None)
    return AuditRun(
        name=row["name"],
        run_id=row["run_id"],
        issue_id=row["issue_id"],
        started_ms=row["started_ms"],
        finished_ms=row["finished_ms"],
        seen_ms=row["complete_ms"] or row["seen_ms"],
        job_type=row["job_type"],
        status=row["status"],
        toolchain=row["toolchain"],
        model=row["model"],
        genome=row["prompt_genome_id"],
        cost_usd=row["cost_usd"],
        duration_ms=row["duration_ms"] or 0,
        has_proof=bool(row["has_proof"]),
        hash_state=row["hash_state"],
        input_state=row["input_state"],
        label=action_of(label),
        told=told,
        epoch=epoch_of.get(row["name"], 1),
    )


def _health(reader: IndexReader, beside: AuditContext) -> Health:
    last = reader.info("last_ingest_ms")
    return Health(
        archives=dict(totals(reader).archives),
        reasons=tuple((r["name"], str(r["state"]), r["reason"] or "") for r in needing_attention(reader)),
        unseen=tuple(ended_without_archive(reader)),
        last_ingest_ms=int(last) if last else None,
        alerts=beside.alerts,
        snapshot=_snapshot(reader, beside),
    )


def _snapshot(reader: IndexReader, beside: AuditContext) -> SnapshotFact | None:
    known = known_snapshots(reader.connection)
    if not known:
        return None
    newest = known[0]
    path = str(newest["path"])
    rebuilt, findings = beside.rebuilt if beside.rebuilt else (None, ())
    return SnapshotFact(
        path=path,
        dataset_hash=str(newest["dataset_hash"]),
        rows=int(str(newest["example_count"])),
        published_ms=int(str(newest["published_ms"])),
        exists=Path(path).is_dir(),
        rebuilt=rebuilt,
        findings=findings,
    )
