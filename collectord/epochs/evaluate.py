"""Which runs have another environment since processes and actions count as evidence: told once. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collectord.epochs.assign import Assignment, RunKey
from collectord.epochs.causes import LASTING, causes, kernel_states_of
from collectord.epochs.drift import is_cutting
from collectord.epochs.epochs import next_steps
from collectord.epochs.json_views import Remembered, fields_of_changes
from collectord.epochs.reasons import words_against
from collectord.epochs.rules import Overrides
from collectord.epochs.survey import Memory, Survey, survey
from collectord.index.alerts import Cause, Notice, note_moment, note_standing
from collectord.index.engine import IndexConnection
from collectord.index.environments import (
    Seal,
    drop_seals,
    merge_seals,
    seals,
    store_kernel_states,
    store_seal,
)
from collectord.index.info import CURRENT_EPOCH, info, put_info
from collectord.index.runs import fill_artifact_facts, fill_older
from collectord.kernel.artifact_facts import VERSION
from collectord.kernel.jsonio import ascii_json
from collectord.kernel.policy import PolicyUnreadable
from collectord.kernel.policy.components import DEFAULT_TIMEOUT_SECONDS
from collectord.kernel.values import as_object, is_int, member
from collectord.model import Environment, Epoch
from collectord.repo.files import InFlight, in_flight

REASSIGNED = "epoch.reassigned"
MAX_RUNS = 20


def reassigned(found: Survey) -> Iterator[Cause]:
    """One cause for each pair of environments that runs moved between, with what moved the first ones."""
    before = {(a.run.kind, a.run.name): a.fingerprint for a in found.memory.by_manifests_alone()}
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


OPENED, CLOSING, SEALED = "epoch.opened", "epoch.closing", "epoch.sealed"
UNREADABLE = "environment.unreadable"
# By which rule runs were given their environments; index files of before knew neither processes nor actions.
RULE, RULE_NOW = "environment_rule", "2"
# Which version of `kernel/artifact_facts.py` was asked about every run.
ARTIFACT_FACTS, ARTIFACT_FACTS_NOW = "artifact_facts_version", str(VERSION)
# How long after its toolchain's timeout a run may still take to be archived.
GRACE_MS = 600_000


@dataclass(frozen=True)
class Evaluation:
    """What is known now, and what to tell of it, in order."""

    survey: Survey
    notices: list[Notice]


def evaluate(
    connection: IndexConnection,
    repo: Path,
    overrides: Overrides,
    *,
    now_ms: int,
    seal_after_ms: int | None = None,
    remembered: Remembered | None = None,
    memory: Memory | None = None,
    changed: Collection[RunKey] = (),
) -> Evaluation:
    """Bring alerts and seals to what is so now. `seal_after_ms` None: as the epoch's toolchains need.

    `remembered` holds what was told of changes before, under the same overrides; `memory` what the last
    evaluation read, since when only `changed` runs are others.
    """
    is_first = info(connection, RULE) != RULE_NOW
    if is_first:
        fill_older(connection)
        put_info(connection, RULE, RULE_NOW)
    if info(connection, ARTIFACT_FACTS) != ARTIFACT_FACTS_NOW:
        fill_artifact_facts(connection)
        put_info(connection, ARTIFACT_FACTS, ARTIFACT_FACTS_NOW)
    found = survey(connection, is_cutting(overrides), memory, changed)
    fields_of = fields_of_changes(found.standing.environments, overrides, remembered)
    notices = note_standing(connection, LASTING, causes(found, fields_of), now_ms)
    for moved in reassigned(found) if is_first else ():
        notices += note_moment(connection, moved, now_ms)
    for epoch in found.folded.epochs:
        opened = Cause(OPENED, f"{epoch.fingerprint}@{epoch.since_ms}", _epoch_fields(epoch))
        notices += note_moment(connection, opened, now_ms)
    limits = seal_limits(found.environments, seal_after_ms)
    notices += _close_and_seal(connection, found, in_flight(repo), now_ms, limits)
    _store_current(connection, found.folded.epochs)
    store_kernel_states(connection, [state.document() for state in kernel_states_of(found)])
    return Evaluation(found, notices)


def _store_current(connection: IndexConnection, epochs: Sequence[Epoch]) -> None:
    newest = epochs[-1] if epochs else None
    text = ascii_json(
        {} if newest is None else {k: getattr(newest, k) for k in ("number", "since_ms", "runs")}
    )
    if info(connection, CURRENT_EPOCH) != text:
        put_info(connection, CURRENT_EPOCH, text)


def _close_and_seal(
    connection: IndexConnection,
    found: Survey,
    flying: Sequence[InFlight],
    now_ms: int,
    limit_ms: Callable[[Epoch], int],
) -> list[Notice]:
    known, first_ms = seals(connection), found.first_look_ms
    steps = next_steps(found.folded, known, flying, first_look_ms=first_ms, now_ms=now_ms, limit_ms=limit_ms)
    drop_seals(connection, steps.reopen)
    notices: list[Notice] = []
    for epoch in steps.close:
        store_seal(connection, Seal(epoch.key, epoch.number, now_ms, None, None))
        notices += note_moment(connection, Cause(CLOSING, epoch.key, _epoch_fields(epoch)), now_ms)
    for epoch, why in steps.seal:
        store_seal(connection, Seal(epoch.key, epoch.number, known[epoch.key].closing_ms, now_ms, why))
        merge_seals(connection, epoch.key, steps.former.get(epoch.key, ()))
        fields = {**_epoch_fields(epoch), "sealed_because": why}
        notices += note_moment(connection, Cause(SEALED, epoch.key, fields), now_ms)
    return notices


def note_unreadable(
    connection: IndexConnection, unreadable: Iterable[PolicyUnreadable], now_ms: int
) -> list[Notice]:
    """Say that the environment is unknown, once for each reason; over when it can be read again."""
    standing = {str(found): Cause(UNREADABLE, str(found), _unreadable(found)) for found in unreadable}
    return note_standing(connection, (UNREADABLE,), standing.values(), now_ms)


def _unreadable(found: PolicyUnreadable) -> dict[str, Any]:
    return {
        "path": found.path,
        "reason": found.reason,
        "advice": "until it can be read the last good environment stands, and a change would not be seen",
    }


def _epoch_fields(epoch: Epoch) -> dict[str, Any]:
    return {
        "epoch": epoch.number,
        "fingerprint": epoch.fingerprint,
        "origin": epoch.origin,
        "runs": epoch.runs,
        "since_ms": epoch.since_ms,
        "ended_ms": epoch.ended_ms,
        "why": epoch.why,
    }


def seal_limits(environments: Mapping[str, Environment], seal_after_ms: int | None) -> Callable[[Epoch], int]:
    """Gives after how many milliseconds of closing an epoch is sealed, whatever may still be in flight."""

    def limit_ms(epoch: Epoch) -> int:
        if seal_after_ms is not None:
            return seal_after_ms
        environment = environments.get(epoch.fingerprint)
        toolchains = as_object(member(environment.components, "toolchains") if environment else None)
        timeouts = (member(toolchain, "timeout_seconds") for toolchain in toolchains.values())
        return max([DEFAULT_TIMEOUT_SECONDS, *(t for t in timeouts if is_int(t))]) * 1000 + GRACE_MS

    return limit_ms
