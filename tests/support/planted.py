"""Planted collections for the audit: runs and issues whose truth is known, without archives."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from collectord.audit.facts import Action, AuditFacts, AuditRun, BacklogIssue
from collectord.audit.findings import DAY_MS, WEEK_MS
from collectord.kernel.artifact_facts import ArtifactFacts, Asked
from collectord.kernel.policy import Surface
from collectord.repo.policy import WorkingTree, read_policy

NOW_MS = 1_795_500_000_000  # 2026-11-24, a Tuesday
SERIAL = Action("serial_handoff", 1, 60)
DOUBLE = Action("speculate_vote", 2, 60)
TRIPLE = Action("speculate_vote", 3, 60)
RISK_OF = {SERIAL: "low", DOUBLE: "high", TRIPLE: "critical"}

POLICY = """
toolchain_priority: [codex, claude, opencode]
toolchains:
  codex: {enabled: true, path: /usr/bin/agent, timeout_minutes: 60}
  claude: {enabled: true, path: /usr/bin/agent, timeout_minutes: 60}
  opencode: {enabled: true, path: /usr/bin/agent, timeout_minutes: 45}
routing:
  rules:
    - {match: {dk_risk: [critical]}, speculate: true, parallelism: 3, use: [codex, claude, opencode]}
    - {match: {dk_risk: [high]}, speculate: true, parallelism: 2, use: [codex, claude]}
    - {match: {dk_risk: [low], dk_size: [XS, S]}, use: [opencode]}
    - {match: {}, use: [claude]}
speculation: {enabled: true, default_parallelism: 2, max_parallelism: 3}
"""


def surface_of(folder: Path, policy: str = POLICY) -> Surface:
    """The policy of a repo whose configuration this is."""
    (folder / ".cyntra").mkdir(parents=True, exist_ok=True)
    (folder / ".cyntra/config.yaml").write_text(policy)
    return read_policy(WorkingTree(folder))


def run(number: int, label: Action | None = SERIAL, *, days_ago: float = 1.0, **more: Any) -> AuditRun:
    """One run; what `ArtifactFacts` has goes there, everything else into the run."""
    told = {name: more.pop(name) for name in list(more) if name in ArtifactFacts._fields}
    if asked := told.pop("requested", None):
        told["requested"] = Asked(asked.swarm, asked.candidates, asked.minutes)
    told.setdefault("risk", RISK_OF.get(label, "medium") if label else "medium")
    told.setdefault("size", "M")
    told.setdefault("gates", 1)
    told.setdefault("k1", f"situation {number}")
    started = NOW_MS - round(days_ago * DAY_MS)
    made = AuditRun(
        name=f"wc-{number}",
        run_id=f"wc-{number}",
        issue_id=str(number),
        started_ms=started,
        finished_ms=started + 60_000,
        seen_ms=started + 65_000,
        job_type="code",
        status="success",
        toolchain="claude",
        model="opus",
        genome=None,
        cost_usd=None,
        duration_ms=60_000,
        has_proof=True,
        hash_state="verified",
        input_state="verbatim",
        label=label,
        recorded=ArtifactFacts(**told),
    )
    return replace(made, **more)


def runs(counts: dict[Action, int], *, first: int = 0, days: float = 7.0, **more: Any) -> list[AuditRun]:
    """So many runs of each label, spread evenly over the last days, the labels mixed."""
    labels = [label for label, n in counts.items() for _ in range(n)]
    total = len(labels)
    # A step that shares no factor with the total visits every label once, in a mixed order.
    step = next(s for s in range(max(1, total // 3), 2 * total + 2) if _coprime(s, total))
    return [
        run(first + place, labels[place * step % total], days_ago=days * (1 - (place + 0.5) / total), **more)
        for place in range(total)
    ]


def _coprime(one: int, other: int) -> bool:
    while other:
        one, other = other, one % other
    return one == 1


def issue(number: int, **more: Any) -> BacklogIssue:
    """A good issue that is ready; `more` spoils it."""
    made = BacklogIssue(
        issue_id=str(number),
        title=f"Parse archive header {number} once",
        description="The header is parsed twice for each archive.",
        status="open",
        risk="medium",
        size="M",
        hint=None,
        tags=("area:archive",),
    )
    return replace(made, **more)


def facts(found: Iterable[AuditRun], backlog: Iterable[BacklogIssue] = (), **more: Any) -> AuditFacts:
    """What the audit would have gathered, as of NOW_MS with a window of a week."""
    ordered = tuple(sorted(found, key=lambda one: (one.started_ms, one.run_id)))
    given = {"repo": "/repo", "now_ms": NOW_MS, "window_ms": WEEK_MS, "concurrent": 3, **more}
    return AuditFacts(runs=ordered, backlog=tuple(backlog), **given)


def said(answer: Any) -> list[str]:
    """What a person reads of an answer: `kind: do (why)`."""
    return [f"{f.kind}: {f.do} ({f.why})" for f in answer.findings]
