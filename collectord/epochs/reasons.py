"""How it is known which environment a run had: the process, or what agreed and what contradicted. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from collectord.epochs.assign import (
    FORCED,
    MAX_OTHERS,
    Assignment,
    DispatchedRun,
    Explaining,
    KnownBy,
    RunKey,
)
from collectord.epochs.survey import Survey
from collectord.epochs.timeline import Candidate
from collectord.epochs.unexplained import Facts
from collectord.model import KernelSession


def reasons_of(found: Survey, place: RunKey) -> dict[str, Any] | None:
    """What tells the environment of one run; None where there is no run of it.

    `known_by` is process, evidence (manifest and action agree), manifest (the action does not) or nothing;
    `contradicted` are environments that it cannot have had, each with what speaks against it; `possible` are
    the others that it may have had as far as it shows. The newest come first, a few of each.
    """
    mine = next((a for a in found.assigned.runs if (a.run.kind, a.run.name) == place), None)
    if mine is None:
        return None
    explaining = found.memory.last_explaining
    with explaining.actions.searching():
        others = [c for c in _candidates(explaining, mine) if c.fingerprint != mine.fingerprint]
        against = {c.fingerprint: list(words_against(explaining, mine.run, c.fingerprint)) for c in others}
        why = list(words_against(explaining, mine.run, mine.fingerprint)) if mine.position >= 0 else []
    return {
        "known_by": str(mine.known_by),
        "kernel": _kernel(mine.session),
        "kernels": len(explaining.standing.sessions.possible_at(mine.run.started_ms)),
        "note": FORCED if mine.known_by is KnownBy.MANIFEST else None,
        "against": why,
        "contradicted": [{"environment": name, "why": said} for name, said in against.items() if said][
            :MAX_OTHERS
        ],
        "possible": [name for name, said in against.items() if not said][:MAX_OTHERS],
    }


def _kernel(session: KernelSession | None) -> dict[str, Any] | None:
    if session is None:
        return None
    return {"pid": session.pid, "started_ms": session.started_ms, "command": session.launch.command}


def _candidates(explaining: Explaining, mine: Assignment) -> tuple[Candidate, ...]:
    standing = explaining.standing
    if not standing.stretches:
        return ()
    where = explaining.search(mine.run, standing.sessions.possible_at(mine.run.started_ms))
    return standing.candidates(where.launch, where.newest, where.live)


def words_against(explaining: Explaining, run: DispatchedRun, fingerprint: str) -> Iterator[str]:
    """What speaks against an environment, in words."""
    standing = explaining.standing
    environment = standing.environment(fingerprint)
    if environment is None:
        return
    facts, shown = standing.facts(fingerprint), explaining.facts(run.evidence)
    for fact in facts.contradicts(shown):
        yield fact_words(fact, shown, facts)
    if not explaining.actions.agrees(run.executed, run.issue_text, run.asks, environment):
        assert run.executed is not None
        yield explaining.actions.judgement(run.executed, run.issue_text, run.asks, environment).reason


def fact_words(fact: tuple[str, ...], shown: Facts, environment: Facts) -> str:
    """`model codex: the run had m1, the environment m2`."""
    about = " ".join(fact)
    there = environment.values.get(fact)
    return f"{about}: the run had {shown.values[fact]}, the environment {'none' if there is None else there}"
