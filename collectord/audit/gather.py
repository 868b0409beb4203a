"""Reads the index and the repo once into facts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from sqlite3 import Row
from typing import Any

from collectord.audit.facts import (
    Action,
    Agreement,
    AuditFacts,
    AuditRun,
    BacklogIssue,
    Epoch,
    Health,
    LabelVariety,
    OpenAlert,
    SnapshotFact,
    backlog_of,
)
from collectord.dataset.credentials import Detector, detector_version
from collectord.dataset.left_out import MaybeCopy, copies_among
from collectord.index.queries import needing_attention, totals
from collectord.index.reader import IndexReader
from collectord.index.runs import artifact_facts_of_revision, ended_without_archive, runs_for_audit
from collectord.kernel.artifact_facts import ArtifactFacts, artifact_facts_from
from collectord.kernel.planner_input import CANDIDATES_BINS, MINUTES_BINS
from collectord.kernel.rows import nearest_bin
from collectord.model import ARCHIVE, Label
from collectord.repo.files import read_beads_and_dropped, read_deps, read_dropped_edges


def action_of(label: Label | None) -> Action | None:
    """The label of an explicit plan in the policy's bins."""
    if label is None or not label.explicit or label.swarm_id is None:
        return None
    return _action(label.swarm_id, label.max_candidates, label.timeout_seconds)


@lru_cache(maxsize=4096)  # plans are few and runs are many, and one value is compared faster than two
def _action(swarm: str, candidates: int | None, seconds: int | None) -> Action:
    minutes = None if seconds is None else seconds // 60
    return Action(swarm, nearest_bin(candidates, CANDIDATES_BINS), nearest_bin(minutes, MINUTES_BINS))


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
    snapshots: tuple[Mapping[str, Any], ...] = ()
    unrun_since_ms: int | None = None


def gather(
    reader: IndexReader, repo: Path, *, now_ms: int, window_ms: int, beside: AuditContext
) -> AuditFacts:
    """Everything the audit looks at."""
    everything = runs_for_audit(reader)
    copies = _copies(everything)
    rows = [row for row in everything if row["name"] not in copies]
    runs = tuple(
        _run(row, _recorded(reader, row), beside.epoch_of) for row in rows if row["started_ms"] <= now_ms
    )
    issues, dropped = read_beads_and_dropped(repo)
    backlog = backlog_of(issues or {}, read_deps(repo))
    return AuditFacts(
        repo=str(repo),
        now_ms=now_ms,
        window_ms=window_ms,
        runs=runs,
        backlog=backlog,
        credentials=_credentials(backlog),
        epochs=beside.epochs,
        agreement=beside.agreement,
        health=replace(
            _health(reader, beside),
            copies=copies,
            time_conflicts=_time_conflicts(rows),
            lines_dropped={
                ".beads/issues.jsonl": dropped,
                ".beads/deps.jsonl": read_dropped_edges(repo),
            },
        ),
        policy_unknown=beside.policy_unknown,
        concurrent=beside.concurrent,
        varieties=beside.varieties,
        unrun_since_ms=beside.unrun_since_ms,
    )


def _credentials(backlog: Iterable[BacklogIssue]) -> dict[str, tuple[str, ...]]:
    if detector_version() is None:
        return {}
    kinds_in = Detector().kinds_in
    found = {one.issue_id: kinds_in([one.title, one.description, *one.tags]) for one in backlog}
    return {issue: tuple(sorted(kinds)) for issue, kinds in found.items() if kinds}


def _time_conflicts(rows: Sequence[Row]) -> dict[str, int]:
    found = Counter(row["time_conflict"] for row in rows if row["time_conflict"] is not None)
    return dict(sorted(found.items()))


def _copies(rows: Sequence[Row]) -> dict[str, str]:
    """Names of archives that copy another one, and of that one: they are no rows of an export either."""
    found = copies_among(
        MaybeCopy(ARCHIVE, row["name"], row["run_id"], row["digest"], row["complete_ms"]) for row in rows
    )
    return {name: original for (_, name), original in sorted(found.items())}


def _recorded(reader: IndexReader, row: Row) -> ArtifactFacts:
    """What the artifacts of a run tell; looked up in them where the index has none."""
    return artifact_facts_from(row["artifact_facts"]) or artifact_facts_of_revision(
        reader, row["revision_id"]
    )


def _run(row: Row, recorded: ArtifactFacts, epoch_of: Mapping[str, int]) -> AuditRun:
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
        recorded=recorded,
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
        snapshot=_snapshot(beside),
    )


def _snapshot(beside: AuditContext) -> SnapshotFact | None:
    if not beside.snapshots:
        return None
    newest = beside.snapshots[0]
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
