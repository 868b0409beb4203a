"""Runs and environments as values, for the decisions that need no files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from collectord.epochs.actions import Actions
from collectord.epochs.assign import Assigned, Explaining, assign
from collectord.epochs.epochs import POLICY, Cut, Folded, fold
from collectord.epochs.timeline import Standing, timelines
from collectord.index.runs import DispatchedRun
from collectord.kernel.evidence import evidence_json
from collectord.model import Environment, EnvironmentObservation, Evidence, KernelSession, Launch


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


def kernel(start: int, last: int, gone: int | None = None, *, pid: int = 1, **options: Any) -> KernelSession:
    """A kernel that was seen from its start until `last`, and not any more at `gone`."""
    return KernelSession(pid, start, Launch(**options), None, start, last, gone)


def explaining(
    observations: Sequence[EnvironmentObservation],
    environments: dict[str, Any],
    sessions: Sequence[KernelSession] = (),
) -> Explaining:
    """What looks and sessions say of runs; `environments` are components by name."""
    known = {name: Environment(name, POLICY, 1, {}, value) for name, value in environments.items()}
    return Explaining(Standing(timelines(observations), known, sessions), Actions())


def assigned(
    runs: list[DispatchedRun],
    observations: list[EnvironmentObservation],
    environments: dict[str, Any],
    sessions: Sequence[KernelSession] = (),
) -> Assigned:
    """The runs with their environments."""
    return assign(runs, explaining(observations, environments, sessions))


def folded(
    runs: list[DispatchedRun],
    observations: list[EnvironmentObservation],
    environments: dict[str, Any],
    cuts: list[Cut] | None = None,
    sessions: Sequence[KernelSession] = (),
) -> Folded:
    """The runs' epochs."""
    ground = explaining(observations, environments, sessions)
    return fold(assign(runs, ground).runs, ground.standing, cuts or [])


def sizes(found: Folded) -> list[tuple[str, int]]:
    """(fingerprint, runs) of each epoch."""
    return [(epoch.fingerprint, epoch.runs) for epoch in found.epochs]
