"""What a manifest and a rollout hold under `planner`, as text.

Python's indenting encoder is slow, and a run's summary stands in eight others: it is encoded once.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from collectord.kernel.dispatch import input_hash
from collectord.kernel.tokens import extract_keywords
from tests.support.made_text import dump, iso, put_in
from tests.support.made_values import MadeRun


def planner_text(run: MadeRun, real: dict[str, Any], *, recorded: bool) -> str:
    """The planner's part of a run, filled into a real one; without `recorded` only the executed plan."""
    planner = dict(real)
    planner["executed_plan"] = {
        **planner["executed_plan"],
        "swarm_id_executed": run.swarm_id,
        "max_candidates_executed": run.width,
        "timeout_seconds_executed": run.route.timeout_s,
    }
    if not recorded:
        del planner["planner_input"], planner["planner_action"]
        return dump(planner)
    seen = _planner_input(run, planner["planner_input"])
    planner["planner_action"] = _planner_action(run, planner["planner_action"], input_hash(seen))
    seen["history"] = {"last_n_similar_runs": "@"}
    text = dump({**planner, "planner_input": seen})
    shown = ",\n".join(_summary_text(other) for other in run.history)
    listed = f"[\n{_indented(shown)}\n]" if shown else "[]"
    return put_in(text, listed, 3)


def _indented(text: str) -> str:
    return "  " + text.replace("\n", "\n  ")


def _planner_input(run: MadeRun, real: dict[str, Any]) -> dict[str, Any]:
    issue = run.issue
    shown = {
        "issue_id": issue.id,
        "dk_priority": issue.priority,
        "dk_risk": issue.risk,
        "dk_size": issue.size,
        "dk_tool_hint": None,
        "dk_attempts": issue.attempts,
        "tags": list(issue.tags),
        "title": issue.title,
        "keywords": extract_keywords(issue.title, issue.description),
    }
    hour = datetime.fromtimestamp(run.started_ms // 1000, UTC).strftime("%H")
    return {
        **real,
        "created_at": iso(run.started_ms),
        "issue": shown,
        "history": {"last_n_similar_runs": [_summary(other) for other in run.history]},
        "system_state": {**real["system_state"], "hour_bucket": hour},
    }


def _planner_action(run: MadeRun, real: dict[str, Any], digest: str) -> dict[str, Any]:
    minutes = run.route.timeout_s // 60
    bins = {"max_candidates_bin": run.width, "max_minutes_bin": minutes, "max_iterations_bin": "NA"}
    chosen = {"created_at": iso(run.started_ms), "swarm_id": run.swarm_id, "budgets": bins}
    return {**real, **chosen, "input_hash": digest}


@lru_cache(maxsize=1024)
def _summary_text(run: MadeRun) -> str:
    return dump(_summary(run))


def _summary(run: MadeRun) -> dict[str, Any]:
    """The run as the kernel itself sums it up, from the rollout, or from the proof where there is none."""
    codes = [run.failed_gate] if run.failed_gate else []
    tags = {"tags": list(run.issue.tags)} if run.issue.tags else {}
    return {
        "run_id": run.workcell_id,
        "started_ms": run.started_ms + 3,
        "job_type": "code",
        "domain": "code",
        "action_executed": run.action,
        "outcome": {
            "status": "success" if run.status == "success" else "failed",
            "fail_codes": codes,
            "gates": [],
        },
        "runtime": {"duration_ms": run.duration_ms - 3},
        **tags,
        "issue_id": run.issue.id,
    }
