"""Makes Cyntra repos of the real shape and any size, the same for the same seed."""

from __future__ import annotations

import copy
import json
import os
import random
import tarfile
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from collectord.cyntra.dispatch import input_hash
from collectord.cyntra.keywords import extract_keywords

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
START_MS = 1_750_000_000_000
GAP_MS = 300_000
AREAS = [
    f"area:{name}{n}"
    for n in range(5)
    for name in ["cache", "router", "schema", "kernel", "gate", "bench", "ledger", "watcher"]
]
RISKS = {"low": (1, 60), "medium": (1, 45), "high": (2, 60), "critical": (3, 60)}


def _model() -> dict[str, Any]:
    """The core files of one real archive, to be filled with other values."""
    found: dict[str, Any] = {}
    with tarfile.open(GOLDEN / "kernel-run.tar.gz") as tar:
        names = sorted(m.name for m in tar.getmembers() if m.name.endswith("/manifest.json"))
        folder = str(Path(names[-1]).parent)
        for name in ("manifest.json", "proof.json", "rollout.json", ".workcell"):
            member = tar.extractfile(f"{folder}/{name}")
            assert member is not None
            found[name] = json.loads(member.read())
    return found


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _stamp(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")


class Maker:
    """Writes archives one after the other; `recorded` is whether manifests hold the planner's input."""

    def __init__(self, repo: Path, *, seed: int = 1, recorded: bool = True) -> None:
        self._archives = repo / ".cyntra/archives"
        self._archives.mkdir(parents=True, exist_ok=True)
        self._dice = random.Random(seed)
        self._recorded = recorded
        self._recent: deque[dict[str, Any]] = deque(maxlen=8)
        self._model = _model()
        self._number = 0

    def add(self, count: int) -> list[str]:
        """Write so many more archives; returns their names."""
        return [self._one() for _ in range(count)]

    def _one(self) -> str:
        dice, number = self._dice, self._number
        self._number += 1
        started = START_MS + number * GAP_MS
        issue_id = str(dice.randrange(1 + number // 2 + 10))
        risk = dice.choice(list(RISKS))
        width, minutes = RISKS[risk]
        name = f"wc-{issue_id}-{_stamp(started)}" + (
            f"-spec-{dice.randrange(16**6):06x}" if width > 1 else ""
        )
        tags = dice.sample(AREAS, k=min(dice.randrange(5), 4))
        ended = "timeout" if dice.random() < 0.05 else "failed" if dice.random() < 0.15 else "success"
        title = " ".join(
            dice.sample(
                [
                    "cache",
                    "router",
                    "schema",
                    "kernel",
                    "gate",
                    "bench",
                    "ledger",
                    "watcher",
                    "retry",
                    "index",
                ],
                4,
            )
        )
        summary = self._summary(name, issue_id, started, width, minutes, tags, ended)
        self._write(name, self._files(name, issue_id, started, risk, title, summary), started)
        self._recent.append(summary)
        return name

    def _summary(
        self, name: str, issue_id: str, started: int, width: int, minutes: int, tags: list[str], ended: str
    ) -> dict[str, Any]:
        swarm = "speculate_vote" if width > 1 else "serial_handoff"
        action = {"swarm_id": swarm, "max_candidates": width, "max_minutes": minutes, "max_iterations": None}
        summary = {
            "run_id": name,
            "started_ms": started,
            "job_type": "code",
            "domain": "code",
            "action_executed": action,
            "outcome": {"status": ended, "fail_codes": [], "gates": []},
            "runtime": {"duration_ms": self._dice.randrange(GAP_MS)},
            "issue_id": issue_id,
        }
        return {**summary, "tags": tags} if tags else summary

    def _files(
        self, name: str, issue_id: str, started: int, risk: str, title: str, summary: dict[str, Any]
    ) -> dict[str, Any]:
        files: dict[str, Any] = copy.deepcopy(self._model)
        action, tags, ended = (
            summary["action_executed"],
            summary.get("tags", []),
            summary["outcome"]["status"],
        )
        manifest, proof = files["manifest.json"], files["proof.json"]
        manifest.update(workcell_id=name, speculate_mode=action["max_candidates"] > 1)
        manifest["issue"].update(id=issue_id, title=title, tags=tags)
        planner = manifest["planner"]
        recorded = planner["planner_input"]
        recorded["created_at"] = _iso(started)
        recorded["issue"].update(issue_id=issue_id, dk_risk=risk, title=title, tags=tags)
        recorded["issue"]["keywords"] = extract_keywords(title, manifest["issue"]["description"])
        recorded["history"]["last_n_similar_runs"] = list(reversed(self._recent))
        planner["planner_action"]["input_hash"] = input_hash(recorded)
        planner["executed_plan"].update(
            swarm_id_executed=action["swarm_id"],
            max_candidates_executed=action["max_candidates"],
            timeout_seconds_executed=action["max_minutes"] * 60,
        )
        if not self._recorded:
            del planner["planner_input"], planner["planner_action"]
        files["rollout.json"].update(workcell_id=name, issue_id=issue_id, planner=planner)
        proof.update(workcell_id=name, issue_id=issue_id, status=ended)
        proof["verification"]["all_passed"] = ended == "success"
        duration = summary["runtime"]["duration_ms"]
        proof["metadata"].update(
            started_at=_iso(started), completed_at=_iso(started + duration), duration_ms=duration
        )
        files[".workcell"].update(id=name, issue_id=issue_id, created=_stamp(started))
        if ended == "timeout":
            del files["proof.json"], files["rollout.json"]
        return files

    def _write(self, name: str, files: dict[str, Any], started: int) -> None:
        folder = self._archives / name
        (folder / "logs").mkdir(parents=True)
        (folder / "logs/agent.log").write_text("ran\n")
        for file, document in files.items():
            (folder / file).write_text(json.dumps(document, indent=2))
        (folder / "telemetry.jsonl").write_text('{"type": "started"}\n')
        os.utime(folder, (started / 1000 + 60, started / 1000 + 60))
