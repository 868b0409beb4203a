"""Reads the index and the repo once into facts; what artifacts told is cached by revision digest."""

from __future__ import annotations

import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from collectord.audit.facts import (
    Action,
    Agreement,
    ArtifactFacts,
    AuditFacts,
    AuditRun,
    BacklogIssue,
    Bin,
    Epoch,
    Health,
    LabelVariety,
    OpenAlert,
    SnapshotFact,
    backlog_of,
)
from collectord.audit.layout import capped
from collectord.audit.outcomes import cause_of
from collectord.dataset.credentials import Detector, detector_version
from collectord.index.queries import needing_attention, totals
from collectord.index.reader import IndexReader
from collectord.index.runs import ended_without_archive, runs_for_audit
from collectord.kernel.beads import first_set
from collectord.kernel.jsonio import JsonObject, Unparsable, ascii_json, canonical, parse_object
from collectord.kernel.planner_input import CANDIDATES_BINS, ITERATIONS_BINS, MINUTES_BINS, recorded_input
from collectord.kernel.rows import nearest_bin
from collectord.kernel.values import as_object, is_int, member, text_or_none, texts
from collectord.model import Label
from collectord.repo.files import read_beads, read_deps, read_dropped, read_dropped_edges
from collectord.system.durable import atomic_write

# Raise it whenever the same bytes would tell something else: what was kept is then read again.
FACTS_VERSION = 1
_KEY = 16
_MOST_CODES = 8
# A command that always passes: a gate of it says nothing.
_EMPTY_GATE = re.compile(r"true|:|exit 0|/bin/true|echo\b[^;&|]*")
# What tells one run of an issue from the next: left out of K1, so that equal situations meet.
_OF_THE_ISSUE = frozenset({"issue_id", "dk_attempts"})
_OF_THE_INPUT = frozenset({"created_at", "history"})
_OF_THE_STATE = frozenset({"hour_bucket"})


def tell(manifest: JsonObject, proof: JsonObject) -> ArtifactFacts:
    """What a manifest and a proof tell; absent ones are empty objects."""
    issue = member(manifest, "issue")
    given = recorded_input(manifest)
    shown = as_object(given.get("issue")) or as_object(issue)
    plan = member(manifest, "planner", "executed_plan")
    codes = _fail_codes(proof)
    cause = cause_of(proof, codes)
    return ArtifactFacts(
        risk=text_or_none(first_set(shown, "dk_risk", "risk")),
        size=text_or_none(first_set(shown, "dk_size", "size")),
        hint=text_or_none(first_set(shown, "dk_tool_hint", "tool_hint")),
        tags=tuple(texts(shown.get("tags"))),
        k0=_k0(manifest),
        k1=_digest(_situation(given)) if given else None,
        iterations=_bin(member(plan, "max_iterations_executed"), ITERATIONS_BINS),
        requested=requested(manifest),
        fallback=_fallback(plan),
        timeout_overridden=member(manifest, "planner", "timeout_seconds_override") is not None,
        control=text_or_none(member(manifest, "control", "mode")),
        fail_codes=tuple(capped(code, 60) for code in codes[:_MOST_CODES]),
        failed_gates=_failed_gates(proof),
        gates=len(as_object(manifest.get("quality_gates"))),
        empty_gates=_empty_gates(manifest),
        cause=cause.cause if cause else None,
        evidence=cause.evidence if cause else None,
        diff_lines=_diff_lines(proof),
        has_manifest=bool(manifest),
    )


def _k0(manifest: JsonObject) -> str | None:
    said = member(manifest, "planner", "planner_action", "input_hash")
    return said[:_KEY] if isinstance(said, str) and said else None


def _situation(given: JsonObject) -> JsonObject:
    """The recorded input without id, history, attempts and times."""
    cached_facts = {key: value for key, value in given.items() if key not in _OF_THE_INPUT}
    cached_facts["issue"] = {k: v for k, v in as_object(given.get("issue")).items() if k not in _OF_THE_ISSUE}
    state = as_object(given.get("system_state"))
    cached_facts["system_state"] = {k: v for k, v in state.items() if k not in _OF_THE_STATE}
    return cached_facts


def _digest(value: JsonObject) -> str:
    return sha256(canonical(value).encode("utf-8", "surrogatepass")).hexdigest()[:_KEY]


def action_of(label: Label | None) -> Action | None:
    """The label of an explicit plan in the policy's bins."""
    if label is None or not label.explicit or label.swarm_id is None:
        return None
    return _action(label.swarm_id, label.max_candidates, label.timeout_seconds)


@lru_cache(maxsize=4096)  # plans are few and runs are many, and one value is compared faster than two
def _action(swarm: str, candidates: int | None, seconds: int | None) -> Action:
    minutes = None if seconds is None else seconds // 60
    return Action(swarm, nearest_bin(candidates, CANDIDATES_BINS), nearest_bin(minutes, MINUTES_BINS))


def requested(manifest: JsonObject) -> Action | None:
    """What the planner asked for; None where it recorded no action of the right shape."""
    action = member(manifest, "planner", "planner_action")
    swarm = text_or_none(member(action, "swarm_id"))
    bins = as_object(member(action, "budgets"))
    if swarm is None:
        return None
    return Action(swarm, _said(bins.get("max_candidates_bin")), _said(bins.get("max_minutes_bin")))


def _said(value: object) -> Bin:
    return int(value) if is_int(value) else "NA"


def _bin(value: object, bins: Sequence[int]) -> Bin:
    return nearest_bin(int(value) if is_int(value) else None, bins)


def _fallback(plan: object) -> str | None:
    if not member(plan, "fallback_applied"):
        return None
    return capped(text_or_none(member(plan, "fallback_reason")) or "no reason given", 80)


def _fail_codes(proof: JsonObject) -> list[str]:
    """Of every gate, then the blocking failures, then a code that a tool added later."""
    verification = as_object(proof.get("verification"))
    gates = as_object(verification.get("gates")).values()
    codes = [code for gate in gates for code in texts(member(gate, "fail_codes"))]
    codes += texts(verification.get("blocking_failures"))
    added = (
        proof.get("failure_code"),
        member(proof, "metadata", "failure_code"),
        verification.get("failure_code"),
    )
    return list(dict.fromkeys([*codes, *texts(list(added))]))


def _failed_gates(proof: JsonObject) -> tuple[str, ...]:
    gates = as_object(member(proof, "verification", "gates"))
    return tuple(
        capped(name, 40) for name, gate in gates.items() if isinstance(gate, dict) and not gate.get("passed")
    )


def _empty_gates(manifest: JsonObject) -> tuple[str, ...]:
    gates = as_object(manifest.get("quality_gates"))
    commands = {name: gate.get("command") if isinstance(gate, dict) else gate for name, gate in gates.items()}
    return tuple(
        capped(name, 40)
        for name, command in commands.items()
        if isinstance(command, str) and _EMPTY_GATE.fullmatch(command.strip())
    )


def _diff_lines(proof: JsonObject) -> int | None:
    stats = member(proof, "patch", "diff_stats")
    numbers = [member(stats, key) for key in ("insertions", "deletions")]
    whole = [int(n) for n in numbers if is_int(n)]
    return sum(whole) if len(whole) == len(numbers) else None


FILE = "audit.json.z"


def cached_facts(folder: Path) -> dict[str, ArtifactFacts]:
    """What an earlier audit kept; nothing where it is missing, damaged or of another format."""
    try:
        document = json.loads(zlib.decompress((folder / FILE).read_bytes()))
        if document["version"] != FACTS_VERSION:
            return {}
        return {digest: _cached(values) for digest, values in document["facts"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, zlib.error):
        return {}


def cache_facts(folder: Path, recorded: Mapping[str, ArtifactFacts]) -> str | None:
    """Keep it for the next audit, in place of what was there; why it could not, which costs time alone."""
    document = {"version": FACTS_VERSION, "facts": {digest: _values(t) for digest, t in recorded.items()}}
    data = zlib.compress(ascii_json(document).encode("ascii"), 1)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        atomic_write(folder / FILE, data)
    except OSError as error:
        return f"{folder}: {error.strerror or error}"
    return None


def _values(recorded: ArtifactFacts) -> list[Any]:
    """What `dataclasses.astuple` would give; that copies deeply, which took longer than reading it all."""
    values = [getattr(recorded, name) for name in _FIELDS]
    asked = recorded.requested
    values[_REQUESTED] = (asked.swarm, asked.candidates, asked.minutes) if asked else None
    return values


def _cached(values: list[Any]) -> ArtifactFacts:
    for place in _TUPLES:
        values[place] = tuple(values[place])
    if values[_REQUESTED] is not None:
        values[_REQUESTED] = _action_from(*values[_REQUESTED])
    return ArtifactFacts(*values)


# A collection asks for few actions: one value stands for all that are equal.
_action_from = lru_cache(maxsize=1024)(Action)
_FIELDS = list(ArtifactFacts.__dataclass_fields__)
_REQUESTED = _FIELDS.index("requested")
_TUPLES = tuple(_FIELDS.index(name) for name in ("tags", "fail_codes", "failed_gates", "empty_gates"))


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
    snapshots: tuple[Mapping[str, Any], ...] = ()
    unrun_since_ms: int | None = None


def gather(
    reader: IndexReader, repo: Path, cache: Path | None, *, now_ms: int, window_ms: int, beside: AuditContext
) -> AuditFacts:
    """Everything the audit looks at; `cache` is a folder where what artifacts told is kept."""
    rows = runs_for_audit(reader)
    recorded, not_cached = _recorded(reader, rows, cache)
    runs = tuple(
        _run(row, recorded[row["digest"]], beside.epoch_of) for row in rows if row["started_ms"] <= now_ms
    )
    backlog = backlog_of(read_beads(repo) or {}, read_deps(repo))
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
            not_cached=not_cached,
            time_conflicts=_time_conflicts(rows),
            lines_dropped={
                ".beads/issues.jsonl": read_dropped(repo),
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


def _time_conflicts(rows: Sequence[DbRow]) -> dict[str, int]:
    found = Counter(row["time_conflict"] for row in rows if row["time_conflict"] is not None)
    return dict(sorted(found.items()))


def _recorded(
    reader: IndexReader, rows: Sequence[DbRow], cache: Path | None
) -> tuple[dict[str, ArtifactFacts], str | None]:
    """(what the artifacts of each revision tell, why it could not be kept)."""
    before = cached_facts(cache) if cache else {}
    wanted = [row for row in rows if row["digest"] not in before]
    found = {row["digest"]: before[row["digest"]] for row in rows if row["digest"] in before}
    for row, manifest, proof in _documents(reader, wanted):
        found[row["digest"]] = tell(manifest, proof)
    changed = bool(wanted) or len(found) != len(before)
    return found, cache_facts(cache, found) if cache and changed else None


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


def _run(row: DbRow, recorded: ArtifactFacts, epoch_of: Mapping[str, int]) -> AuditRun:
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
