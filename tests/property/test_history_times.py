"""No history of a rebuilt row shows a run that had not started and ended before the row was dispatched."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collectord.config import load
from collectord.dataset.exporter import export
from collectord.intake.ingest import ingest
from tests.support.examples import examples

BASE = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECONDS = st.sampled_from([0, 0, 1, 60, 420, 1200, 3600, -420, -7200])


def _after(at: datetime, seconds: int) -> datetime:
    return at + timedelta(seconds=seconds)


@st.composite
def runs(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Runs whose sources say anything: clocks that step, zones, equal milliseconds, no ends, reruns."""
    found = []
    for number in range(draw(st.integers(2, 8))):
        started = BASE + timedelta(seconds=draw(st.sampled_from([0, 0, 1, 60, 420, 421, 1200, 7200])))
        zone = timezone(timedelta(hours=draw(st.sampled_from([0, 0, 2, -5]))))
        ended = draw(st.one_of(st.none(), SECONDS.map(partial(_after, started))))
        stamp = None if ended is None else ended.astimezone(zone).isoformat()
        if stamp is not None and draw(st.booleans()):
            stamp = stamp[:19] + draw(st.sampled_from(["", "Z"]))  # a zone that was lost, or made up
        found.append(
            {
                "name": f"wc-{number}",
                "issue": str(draw(st.integers(1, 3))),
                "started": started.isoformat(),
                "ended": stamp,
                "duration_ms": draw(st.sampled_from([None, 0, 1, 60_000, 1_200_000])),
            }
        )
    return found


def _write(archives: Path, run: dict[str, Any]) -> None:
    folder = archives / run["name"]
    folder.mkdir(parents=True)
    planner = {
        "planner_input": {"created_at": run["started"]},
        "executed_plan": {"swarm_id_executed": "serial_handoff", "timeout_seconds_executed": 60},
    }
    issue = {"id": run["issue"], "title": "t", "tags": ["a"]}
    manifest = {"workcell_id": run["name"], "job_type": "code", "issue": issue, "planner": planner}
    metadata = {"completed_at": run["ended"], "duration_ms": run["duration_ms"]}
    proof = {"workcell_id": run["name"], "status": "success", "metadata": metadata}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "proof.json").write_text(json.dumps(proof))


def _exported(repo: Path, order: list[dict[str, Any]]) -> list[dict[str, Any]]:
    chosen = {"settle.min_age": 0}
    made = load(repo=repo, config=None, overrides=chosen, environ={"HOME": "/nonexistent"}, cwd=repo)
    for run in order:
        ingest(made, names=frozenset({run["name"]}))
    from collectord.dataset.row_plan import ExportOptions

    out = export(made, ExportOptions(), out=repo / "out").path
    assert out is not None
    return [json.loads(line) for line in (out / "dataset.jsonl").read_text().splitlines()]


def _ms(text: str | None) -> int | None:
    if text is None:
        return None
    at = datetime.fromisoformat(text)
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(runs(), st.randoms(use_true_random=False))
def test_no_history_foresees_a_run_and_the_order_of_arrival_decides_nothing(
    made: list[dict[str, Any]], dice: random.Random
) -> None:
    with TemporaryDirectory() as one, TemporaryDirectory() as two:
        for folder in (one, two):
            for run in made:
                _write(Path(folder) / ".cyntra/archives", run)
        rows = _exported(Path(one), made)
        assert rows == _exported(Path(two), dice.sample(made, len(made)))
    by_id = {run["name"]: run for run in made}
    assert len(rows) == len(made)
    for row in rows:
        for shown in row["planner_input"]["history"]["last_n_similar_runs"]:
            run = by_id[shown["run_id"]]
            started = _ms(run["started"])
            assert started is not None
            assert started < row["started_ms"]
            assert (_ms(run["ended"]) or 0) <= row["started_ms"]
            assert started + (run["duration_ms"] or 0) <= row["started_ms"]
