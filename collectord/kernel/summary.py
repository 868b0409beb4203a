"""Run summaries: what one archive or world run looks like in the history of another (CONTRACT.md 6.1, 7)."""

from __future__ import annotations

from collections.abc import Mapping

from collectord.kernel.jsonio import JsonObject
from collectord.kernel.values import (
    as_object,
    finite,
    is_int,
    is_number,
    member,
    mtime_ms,
    parse_ms,
    text_or_none,
    texts,
    to_float,
    to_int,
    unique,
)

ROLLOUT_SCHEMA = "cyntra.rollout.v1"
SERIAL = "serial_handoff"
SPECULATE = "speculate_vote"


def archive_summary(
    name: str, manifest: JsonObject, proof: JsonObject, rollout: JsonObject, dir_mtime_ns: int
) -> JsonObject | None:
    """The summary that the kernel's own builder makes of an archive, or None where it makes none.

    An absent or unreadable file is given as an empty object.
    """
    if rollout:
        if rollout.get("schema_version") != ROLLOUT_SCHEMA:
            return None
        started = parse_ms(member(rollout, "metadata", "started_at"))
        return rollout_summary(
            name, manifest, rollout, mtime_ms(dir_mtime_ns) if started is None else started
        )
    if proof:
        meta = as_object(proof.get("metadata"))
        started = parse_ms(_text(meta.get("started_at")))
        if started is None:
            started = parse_ms(_text(meta.get("completed_at")))
        return proof_summary(name, manifest, proof, mtime_ms(dir_mtime_ns) if started is None else started)
    return None


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def rollout_summary(name: str, manifest: JsonObject, rollout: JsonObject, started_ms: int) -> JsonObject:
    """First case of CONTRACT.md 6.1: from rollout.json, which has no per-gate results."""
    verification = as_object(member(rollout, "outcomes", "verification"))
    scores = as_object(rollout.get("scores"))
    summary = _summary(
        run_id=str(rollout.get("workcell_id") or name),
        started_ms=started_ms,
        job_type=str(rollout.get("job_type") or "code"),
        manifest=manifest,
        status="success" if verification.get("all_passed") else "failed",
        fail_codes=texts(verification.get("blocking_failures")),
        gates=[],
        duration_ms=int(scores["duration_ms"]) if is_int(scores.get("duration_ms")) else 0,
        issue_id=text_or_none(rollout.get("issue_id")),
    )
    _add_cost(summary, scores.get("cost_usd"))
    return summary


def proof_summary(name: str, manifest: JsonObject, proof: JsonObject, started_ms: int) -> JsonObject:
    """Second case of CONTRACT.md 6.1: from proof.json."""
    meta = as_object(proof.get("metadata"))
    verification = as_object(proof.get("verification"))
    summary = _summary(
        run_id=str(proof.get("workcell_id") or manifest.get("workcell_id") or name),
        started_ms=started_ms,
        job_type=str(manifest.get("job_type") or "code"),
        manifest=manifest,
        status=_proof_status(proof, verification),
        fail_codes=_proof_fail_codes(verification),
        gates=_gates(verification),
        duration_ms=to_int(meta.get("duration_ms")),
        issue_id=manifest_issue_id(manifest),
    )
    _add_cost(summary, meta.get("cost_usd"))
    if is_int(meta.get("tokens_used")):
        summary["tokens_in"] = meta["tokens_used"]
        summary["tokens_out"] = None
    return summary


def no_proof_summary(
    name: str, manifest: JsonObject, started_ms: int, *, timed_out: bool, duration_ms: int
) -> JsonObject:
    """Third case of CONTRACT.md section 7: neither proof nor rollout; the event log says how it ended."""
    return _summary(
        run_id=str(manifest.get("workcell_id") or name),
        started_ms=started_ms,
        job_type=str(manifest.get("job_type") or "code"),
        manifest=manifest,
        status="timeout" if timed_out else "failed",
        fail_codes=["no_proof"],
        gates=[],
        duration_ms=duration_ms,
        issue_id=manifest_issue_id(manifest),
    )


def without_non_finite(summary: JsonObject) -> JsonObject:
    """The summary with non-finite numbers counted as missing (CONTRACT.md section 7)."""
    clean = dict(summary)
    if "cost_usd_est" in clean and finite(clean["cost_usd_est"]) is None:
        del clean["cost_usd_est"]
    outcome = clean["outcome"]
    gates = [{**gate, "score": finite(gate["score"])} for gate in outcome["gates"]]
    return {**clean, "outcome": {**outcome, "gates": gates}}


def manifest_issue_id(manifest: JsonObject) -> str | None:
    """manifest.issue.id if it is a string that is not empty."""
    return text_or_none(member(manifest, "issue", "id"))


def domain_of(job_type: str, tags: list[str]) -> str:
    """`fab_world`, `fab_asset` or `code` (CONTRACT.md 6.1)."""
    if job_type == "fab-world":
        return "fab_world"
    return "fab_asset" if any(tag.startswith("asset:") for tag in tags) else "code"


def action_executed(manifest: JsonObject) -> JsonObject:
    """What was executed, from the recorded plan or, without one, from the speculation flags."""
    plan = member(manifest, "planner", "executed_plan")
    if isinstance(plan, dict) and plan:
        swarm = plan.get("swarm_id_executed")
        return {
            "swarm_id": None if swarm is None else str(swarm),
            "max_candidates": _int_or_none(plan.get("max_candidates_executed")),
            "max_minutes": _minutes(plan.get("timeout_seconds_executed")),
            "max_iterations": _int_or_none(plan.get("max_iterations_executed")),
        }
    speculate = bool(manifest.get("speculate_mode"))
    width = member(manifest, "control", "speculate_parallelism")
    return {
        "swarm_id": SPECULATE if speculate else SERIAL,
        "max_candidates": (width if is_int(width) and width > 0 else None) if speculate else 1,
        "max_minutes": None,
        "max_iterations": None,
    }


def _summary(
    *,
    run_id: str,
    started_ms: int,
    job_type: str,
    manifest: JsonObject,
    status: str,
    fail_codes: list[str],
    gates: list[JsonObject],
    duration_ms: int,
    issue_id: str | None,
) -> JsonObject:
    tags = texts(member(manifest, "issue", "tags"))
    summary: JsonObject = {
        "run_id": run_id,
        "started_ms": started_ms,
        "job_type": job_type,
        "domain": domain_of(job_type, tags),
        "action_executed": action_executed(manifest),
        "outcome": {"status": status, "fail_codes": fail_codes, "gates": gates},
        "runtime": {"duration_ms": duration_ms},
    }
    if tags:
        summary["tags"] = tags
    if issue_id is not None:
        summary["issue_id"] = issue_id
    return summary


def _add_cost(summary: JsonObject, cost: object) -> None:
    if is_number(cost) and (value := to_float(cost)) is not None:
        summary["cost_usd_est"] = value


def _int_or_none(value: object) -> int | None:
    return int(value) if is_int(value) else None


def _minutes(seconds: object) -> int | None:
    try:
        return int(seconds / 60) if is_int(seconds) else None
    except OverflowError:
        return None


def _proof_status(proof: JsonObject, verification: JsonObject) -> str:
    status = str(proof.get("status") or "").lower()
    if status == "timeout":
        return "timeout"
    return "success" if status in ("success", "partial") and verification.get("all_passed") else "failed"


def _gate_objects(verification: JsonObject) -> list[tuple[str, JsonObject]]:
    gates = as_object(verification.get("gates"))
    return [(name, gate) for name, gate in gates.items() if isinstance(gate, dict)]


def _gates(verification: JsonObject) -> list[JsonObject]:
    return [
        {"name": name, "passed": bool(gate.get("passed")), "score": to_float(gate.get("score"))}
        for name, gate in _gate_objects(verification)
    ]


def _proof_fail_codes(verification: JsonObject) -> list[str]:
    codes = [code for _, gate in _gate_objects(verification) for code in texts(gate.get("fail_codes"))]
    return unique(codes + texts(verification.get("blocking_failures")))


def world_summary(
    name: str, manifest: JsonObject, context: JsonObject | None, dir_mtime_ns: int
) -> JsonObject | None:
    """A fab-world run under `.cyntra/runs/` (CONTRACT.md 6.1, world runs), or None where it is none.

    `max_candidates` stays null here: it comes from the universe (`with_population`).
    """
    if not manifest or context is None:
        return None
    started = parse_ms(manifest.get("created_at"))
    stages = _stages(manifest)
    failed = [stage for stage in stages if stage.get("status") != "success"]
    universe = context.get("universe_id")
    return {
        "run_id": str(manifest.get("run_id") or name),
        "started_ms": mtime_ms(dir_mtime_ns) if started is None else started,
        "job_type": "fab-world",
        "domain": "fab_world",
        "action_executed": {
            "swarm_id": context.get("swarm_id"),
            "max_candidates": None,
            "max_minutes": None,
            "max_iterations": None,
        },
        "outcome": {
            "status": "failed" if failed else "success",
            "fail_codes": [f"stage_failed:{s['id']}" for s in failed if text_or_none(s.get("id"))],
            "gates": [],
        },
        "runtime": {
            "duration_ms": sum(int(s["duration_ms"]) for s in stages if is_int(s.get("duration_ms")))
        },
        "universe_id": "" if universe is None else str(universe),
        "world_id": context.get("world_id"),
        "objective_id": context.get("objective_id"),
    }


def with_population(summary: JsonObject, populations: Mapping[str, int]) -> JsonObject:
    """A world run's summary with `max_candidates` from its swarm's population size, where that is known."""
    action = summary["action_executed"]
    swarm = action["swarm_id"]
    size = populations.get(swarm) if isinstance(swarm, str) else None
    return {**summary, "action_executed": {**action, "max_candidates": size}}


def _stages(manifest: JsonObject) -> list[JsonObject]:
    stages = manifest.get("stages")
    return [stage for stage in stages if isinstance(stage, dict)] if isinstance(stages, list) else []
