"""An index that things come into one after the other, by way of its writer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from collectord.epochs.assign import RunKey
from collectord.index.environments import (
    store_cut,
    store_environment,
    store_kernel_look,
    store_observation,
)
from collectord.index.repo_records import record_issues
from collectord.index.writer import IndexWriter
from collectord.kernel.evidence import executed_json
from collectord.kernel.policy.feasible import Executed
from collectord.model import (
    Environment,
    EnvironmentObservation,
    Evidence,
    KernelSession,
    Label,
    Launch,
    Reading,
    Run,
    Situation,
)


class Index:
    """An index that things come into, by way of its writer."""

    def __init__(self, path: Path, environments: Mapping[str, Any]) -> None:
        """`environments` are the components of each that a look can see, by its fingerprint."""
        self.writer, self._environments = IndexWriter(path), environments
        self.changed: set[RunKey] = set()

    def take(self, step: tuple[Any, ...]) -> None:
        """One thing that happens."""
        match step:
            case ("run", name, at, evidence, plan, *text):
                run = _run(at, evidence, plan, f"i-{name % 3}", *text)
                self._read(f"wc-{name:02d}", f"{at} {evidence} {plan} {text}", run)
            case ("no run", name):
                self._read(f"wc-{name:02d}", "nothing", None)
            case ("look", name, at):
                environment = Environment(name, "policy", 1, {}, self._environments[name])
                with self.writer.transaction() as connection:
                    store_environment(connection, environment, at)
                    store_observation(connection, EnvironmentObservation(name, "daemon", at, at))
            case ("cut", at):
                with self.writer.transaction() as connection:
                    store_cut(connection, at, "why")
            case ("kernels", started, at):
                seen = [KernelSession(pid, pid, Launch(), None, at, at) for pid in sorted(started)]
                with self.writer.transaction() as connection:
                    store_kernel_look(connection, seen, at)
            case ("issue", number, asks):
                record = {"id": f"i-{number}", "dk_speculate": asks}
                with self.writer.transaction() as connection:
                    record_issues(connection, {record["id"]: record}, 1)

    def _read(self, name: str, digest: str, run: Run | None) -> None:
        reading = Reading("archive", name, "s", digest, None, 0, (), run, True)
        self.writer.apply([reading], now_ms=1, first_ingest_ms=1)
        self.changed.add(("archive", name))


def _run(at: int, evidence: Evidence, plan: tuple[str, int], issue_id: str, text: str | None = None) -> Run:
    swarm, seconds = plan
    return Run(
        run_id=f"run-{at}",
        issue_id=issue_id,
        job_type="code",
        domain="code",
        status="success",
        toolchain=None,
        model=None,
        prompt_genome_id=None,
        started_ms=at,
        started_source="proof",
        finished_ms=None,
        duration_ms=0,
        cost_usd=None,
        tokens_used=None,
        has_proof=True,
        has_rollout=False,
        ends_in_event_log=False,
        input_state="recorded",
        hash_state="equal",
        encodable=True,
        summary={},
        builder_summary=None,
        label=Label(True, swarm, 1, seconds, None, None),
        evidence=evidence,
        situation=Situation("code", "low", "S", None, ()),
        executed=executed_json(_executed(swarm, seconds)),
        issue_text=text,
    )


def _executed(swarm: str, seconds: int) -> Executed:
    """Alone for a small issue; two at once for a critical one, or for one that asked for it."""
    candidates = 1 if swarm == "serial_handoff" else 2
    risk = "critical" if seconds > 60 else "low"
    return Executed(swarm, candidates, "codex", risk, "M", available=("claude", "codex"))
