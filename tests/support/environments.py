"""Runs and environments as values, for the decisions that need no files."""

from __future__ import annotations

from typing import Any

from collectord.cyntra.evidence import evidence_json
from collectord.environment.assign import Assigned, DispatchedRun, Explaining, assign
from collectord.environment.epochs import Cut, Folded, fold
from collectord.environment.expected import facts_of
from collectord.environment.timeline import timeline
from collectord.model import EnvironmentObservation, Evidence


def components(model: str = "m1", timeout: int = 3600, **more: Any) -> dict[str, Any]:
    """An environment of two toolchains; `model` and `timeout` are those of codex."""
    return {
        "toolchains": {
            "codex": {"enabled": True, "model": model, "timeout_seconds": timeout},
            "claude": {"enabled": True, "model": "opus", "timeout_seconds": 3600},
        },
        **more,
    }


def shows(toolchain: str = "codex", model: str = "m1", timeout: int | None = 3600, **more: Any) -> str:
    """Evidence as the index keeps it."""
    return evidence_json(Evidence(toolchain, model, timeout_seconds=timeout, domain="code", **more))


NOTHING = evidence_json(Evidence())


def run(at: int, evidence: str = NOTHING, name: str | None = None) -> DispatchedRun:
    """A run dispatched at that time."""
    name = name or f"wc-{at:06d}"
    return DispatchedRun("archive", name, name, at, evidence)


def seen(fingerprint: str, since: int, **more: Any) -> EnvironmentObservation:
    """A look of the daemon that found another environment."""
    given = {"source": "daemon", "seen_ms": since, **more}
    return EnvironmentObservation(fingerprint, since_ms=since, **given)


def assigned(
    runs: list[DispatchedRun], observations: list[EnvironmentObservation], environments: dict[str, Any]
) -> Assigned:
    """The runs with their environments."""
    facts = {fingerprint: facts_of(value) for fingerprint, value in environments.items()}
    return assign(runs, Explaining(timeline(observations), facts))


def folded(
    runs: list[DispatchedRun],
    observations: list[EnvironmentObservation],
    environments: dict[str, Any],
    cuts: list[Cut] | None = None,
) -> Folded:
    """The runs' epochs."""
    return fold(assigned(runs, observations, environments).runs, timeline(observations), cuts or [])


def sizes(found: Folded) -> list[tuple[str, int]]:
    """(fingerprint, runs) of each epoch."""
    return [(epoch.fingerprint, epoch.runs) for epoch in found.epochs]
