"""How it is known which environment a run had: the process, or what agreed and what contradicted. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from collectord.epochs.assign import FORCED, MAX_OTHERS, Explaining, KnownBy
from collectord.epochs.outline import Outline, Placement
from collectord.epochs.timeline import Candidate, Tenure
from collectord.epochs.unexplained import Facts
from collectord.index.runs import DispatchedRun
from collectord.model import KernelSession


def run_document(found: Outline, run: DispatchedRun, explaining: Explaining) -> dict[str, Any] | None:
    """The epoch of one run with what tells its environment; None where it has none.

    `explaining` is of the environments of the outline.
    """
    placement = found.placement_of((run.kind, run.name))
    if placement is None:
        return None
    epoch, current = found.epochs[placement.epoch - 1], found.current
    return {
        "number": epoch.number,
        "is_current": epoch == current,
        "current": current.number if current else None,
        "fingerprint": epoch.fingerprint,
        "origin": epoch.origin,
        "reasons": _reasons(explaining, run, placement),
    }


def _reasons(explaining: Explaining, run: DispatchedRun, mine: Placement) -> dict[str, Any]:
    """What tells the environment of one run.

    `known_by` is process, evidence (manifest and action agree), manifest (the action does not) or nothing;
    `contradicted` are environments that it cannot have had, each with what speaks against it; `possible` are
    the others that it may have had as far as it shows. The newest come first, a few of each.
    """
    standing = explaining.standing
    running = standing.sessions.possible_at(run.started_ms)
    with explaining.actions.searching():
        listed = _candidates(explaining, run, running)
        others = [candidate.fingerprint for candidate in listed if candidate.fingerprint != mine.fingerprint]
        against = {name: list(words_against(explaining, run, name)) for name in others}
        why = list(words_against(explaining, run, mine.fingerprint)) if mine.position >= 0 else []
    return {
        "known_by": str(mine.known_by),
        "kernel": _kernel(running[0].session) if len(running) == 1 and standing.stretches else None,
        "kernels": len(running),
        "note": FORCED if mine.known_by is KnownBy.MANIFEST else None,
        "against": why,
        "contradicted": [{"environment": name, "why": said} for name, said in against.items() if said][
            :MAX_OTHERS
        ],
        "possible": [name for name, said in against.items() if not said][:MAX_OTHERS],
    }


def _kernel(session: KernelSession) -> dict[str, Any]:
    return {"pid": session.pid, "started_ms": session.started_ms, "command": session.launch.command}


def _candidates(
    explaining: Explaining, run: DispatchedRun, running: Sequence[Tenure]
) -> tuple[Candidate, ...]:
    standing = explaining.standing
    if not standing.stretches:
        return ()
    where = explaining.search(run, running)
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
