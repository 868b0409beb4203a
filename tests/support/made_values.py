"""Values of a made-up kernel: its issues and its runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

TIMEOUT_S = {"claude": 3600, "codex": 3600, "opencode": 2700}
MODELS = {"claude": "claude-opus-4-5-20251101", "codex": "gpt-5.2", "opencode": "openai/gpt-5-nano"}


def stamp_of(ms: int) -> str:
    """A time as it stands in workcell ids."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")


@dataclass(frozen=True, slots=True)
class Route:
    """What the kernel's configuration makes of one issue; `gates` are name → command."""

    toolchain: str
    width: int
    model: str
    timeout_s: int
    gates: tuple[tuple[str, str], ...] = (("test", "true"), ("typecheck", "true"), ("lint", "true"))


@dataclass(frozen=True, slots=True)
class Issue:
    """What Beads holds of an issue; `attempts` are its failures so far."""

    id: str
    title: str
    description: str
    tags: tuple[str, ...]
    priority: str
    risk: str
    size: str
    created_ms: int
    attempts: int = 0
    status: str = "open"
    updated_ms: int = 0


@dataclass(frozen=True, slots=True)
class MadeRun:
    """One run; `status` is success, failed, crashed (no gates, no rollout) or timeout (no proof either)."""

    number: int
    workcell_id: str
    stamp: str
    issue: Issue
    started_ms: int
    duration_ms: int
    status: str
    route: Route
    failed_gate: str | None
    history: tuple[MadeRun, ...] = field(repr=False)

    @property
    def toolchain(self) -> str:
        """The toolchain that ran."""
        return self.route.toolchain

    @property
    def width(self) -> int:
        """How many candidates ran."""
        return self.route.width

    @property
    def finished_ms(self) -> int:
        """When it ended."""
        return self.started_ms + self.duration_ms

    @property
    def swarm_id(self) -> str:
        """The executed swarm."""
        return "speculate_vote" if self.width > 1 else "serial_handoff"

    @property
    def action(self) -> dict[str, Any]:
        """The executed action as summaries show it."""
        minutes = self.route.timeout_s // 60
        width = {"swarm_id": self.swarm_id, "max_candidates": self.width}
        return {**width, "max_minutes": minutes, "max_iterations": None}
