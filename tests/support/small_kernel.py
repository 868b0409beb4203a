"""A kernel of one toolchain that reads its configuration at its start and archives runs in the real time."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import yaml

_NUMBERS = count(1)


class SmallKernel:
    """Runs dispatched now (or at a given time) with what `.cyntra/config.yaml` said when it was started."""

    def __init__(self, repo: Path, minutes: int | None = None) -> None:
        """With `minutes` it has another time limit than the configuration says now."""
        self.repo = repo
        loaded = yaml.safe_load((repo / ".cyntra/config.yaml").read_text())
        codex = loaded["toolchains"]["codex"]
        self.model, self.timeout = codex["model"], (minutes or codex["timeout_minutes"]) * 60
        (repo / ".workcells").mkdir(exist_ok=True)
        (repo / ".cyntra/archives").mkdir(parents=True, exist_ok=True)

    def runs(self, number: int) -> list[str]:
        """So many runs, one after the other."""
        return [self.run() for _ in range(number)]

    def run(self, at: datetime | None = None) -> str:
        """One run from dispatch to archive; returns its name."""
        with self.in_flight(at) as name:
            pass
        return name

    @contextmanager
    def in_flight(self, at: datetime | None = None) -> Iterator[str]:
        """A run that is archived at the end of the block."""
        started = at or datetime.now(UTC)
        number = next(_NUMBERS)
        stamp = f"{started:%Y%m%dT%H%M%SZ}"
        name = f"wc-{number}-{stamp}-{number:06x}"
        marker = {"id": name, "issue_id": str(number), "created": stamp}
        flight = self.repo / ".workcells" / name
        flight.mkdir()
        (flight / ".workcell").write_text(json.dumps(marker))
        yield name
        self._archive(name, number, started, marker)
        shutil.rmtree(flight)

    def _archive(self, name: str, number: int, started: datetime, marker: dict[str, Any]) -> None:
        folder = self.repo / ".cyntra/archives" / name
        folder.mkdir()
        (folder / "proof.json").write_text(json.dumps(_proof(name, started)))
        (folder / "manifest.json").write_text(json.dumps(self._manifest(name, number, started)))
        (folder / ".workcell").write_text(json.dumps(marker))
        if started < datetime(2026, 1, 1, tzinfo=UTC):
            os.utime(folder, (started.timestamp(),) * 2)

    def _manifest(self, name: str, number: int, started: datetime) -> dict[str, Any]:
        return {
            "schema_version": "1.0.0",
            "workcell_id": name,
            "job_type": "code",
            "toolchain": "codex",
            "toolchain_config": {"model": self.model},
            "issue": {
                "id": str(number),
                "title": f"issue {number}",
                "tags": [f"t{number}"],
                "dk_risk": "low",
            },
            "control": {"mode": "disabled"},
            "planner": {
                "planner_input": {
                    "created_at": started.isoformat().replace("+00:00", "Z"),
                    "schema_version": "x",
                },
                "executed_plan": {
                    "swarm_id_executed": "serial_handoff",
                    "max_candidates_executed": 1,
                    "timeout_seconds_executed": self.timeout,
                },
                "timeout_seconds_override": None,
            },
        }


def _proof(name: str, started: datetime) -> dict[str, Any]:
    times = {"started_at": started.isoformat(), "completed_at": started.isoformat(), "duration_ms": 1}
    return {"workcell_id": name, "status": "success", "metadata": times, "verification": {"all_passed": True}}


def stale_workcell(repo: Path) -> None:
    """`wc-stale`, a workcell in which nothing has changed for years."""
    workcell = repo / ".workcells/wc-stale"
    workcell.mkdir(parents=True)
    os.utime(workcell, (1_600_000_000, 1_600_000_000))
