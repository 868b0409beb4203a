"""Which runs have another environment since processes and actions count as evidence: told once. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from collectord.environment.assign import Assignment
from collectord.environment.reasons import words_against
from collectord.environment.survey import Survey
from collectord.index.alerts import Cause

REASSIGNED = "epoch.reassigned"
MAX_RUNS = 20


def reassigned(found: Survey) -> Iterator[Cause]:
    """One cause for each pair of environments that runs moved between, with what moved the first ones."""
    before = {(a.run.kind, a.run.name): a.fingerprint for a in found.memory.as_manifests_alone_tell()}
    moved: dict[tuple[str, str], list[Assignment]] = {}
    for mine in found.assigned.runs:
        was = before[mine.run.kind, mine.run.name]
        if was != mine.fingerprint:
            moved.setdefault((was, mine.fingerprint), []).append(mine)
    for (was, now), runs in moved.items():
        fields = {
            "before": was,
            "after": now,
            "runs": len(runs),
            "names": [a.run.name for a in runs[:MAX_RUNS]],
            "why": _why(found, runs, was),
        }
        yield Cause(REASSIGNED, f"{was}→{now}", fields)


def _why(found: Survey, runs: list[Assignment], was: str) -> list[str]:
    """What speaks against the environment of before, each reason once; of the rest, a later run."""
    explaining = found.memory.last_explaining
    with explaining.actions.searching():
        said = (f"{a.run.name}: {text}" for a in runs for text in words_against(explaining, a.run, was))
        return list(dict.fromkeys(said))[:MAX_RUNS]
