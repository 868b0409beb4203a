"""What a change of the environment is and does, as documents that can be logged, shown and published."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from collectord.cyntra.jsonio import JsonObject
from collectord.cyntra.policy import Surface
from collectord.environment.drift import Change, affected, compare, cuts
from collectord.environment.masking import masked
from collectord.environment.severity import SEVERITIES, Overrides
from collectord.model import Environment, EnvironmentChange

MAX_CHANGES = 50
# To play an environment against another costs a tenth of a second, and a pair of them never changes.
Remembered = dict[EnvironmentChange, dict[str, Any]]


def surface_of(environment: Environment) -> Surface:
    """The surface that the index keeps."""
    return Surface(environment.components, environment.unrecognised)


def changes_between(
    before: Environment, after: Environment, overrides: Overrides, at_ms: int = 0
) -> tuple[Change, ...]:
    """What changed from one environment to another."""
    return compare(surface_of(before), surface_of(after), overrides, at_ms=at_ms)


def is_cutting(overrides: Overrides) -> Callable[[Environment, Environment, int], bool]:
    """Whether a change ends an epoch; without anything configured every one does."""

    def cutting(before: Environment, after: Environment, at_ms: int) -> bool:
        if not overrides.severity and not overrides.ignored:
            return True
        return cuts(changes_between(before, after, overrides, at_ms))

    return cutting


def telling_of(
    environments: Mapping[str, Environment], overrides: Overrides, remembered: Remembered | None = None
) -> Callable[[EnvironmentChange], dict[str, Any]]:
    """Gives the fields of an alert for a change on the timeline; `remembered` are those given before."""
    known = {} if remembered is None else remembered

    def told(change: EnvironmentChange) -> dict[str, Any]:
        if change not in known:
            known[change] = derived(change)
        return known[change]

    def derived(change: EnvironmentChange) -> dict[str, Any]:
        before, after = environments[change.before], environments[change.after]
        found = changes_between(before, after, overrides, change.at_ms)
        return {
            "before": change.before,
            "after": change.after,
            "changed_ms": change.at_ms,
            "source": change.source,
            "severity": worst(found),
            "components": sorted({c.component for c in found}),
            "affected": affected_words(before, after),
            "changes": [change_document(c) for c in found[:MAX_CHANGES]],
            "more_changes": max(0, len(found) - MAX_CHANGES),
        }

    return told


def affected_words(before: Environment, after: Environment) -> list[str]:
    """What all changes together do to actions."""
    return list(affected(surface_of(before), surface_of(after)).words)


def worst(found: Sequence[Change]) -> str:
    """The gravest severity of changes."""
    severities = {change.severity for change in found}
    return next((severity for severity in SEVERITIES if severity in severities), SEVERITIES[-1])


def change_document(change: Change) -> JsonObject:
    """One change; secrets in it are hidden."""
    return {**asdict(change), "moves": list(change.moves)}


def environment_document(environment: Environment) -> JsonObject:
    """An environment to be shown or published; secrets in it are hidden."""
    shown = {name: masked(f"/{name}", value) for name, value in environment.components.items()}
    return {
        "fingerprint": environment.fingerprint,
        "origin": environment.origin,
        "normaliser": environment.normaliser,
        "digests": environment.digests,
        "components": shown,
        "unrecognised": list(environment.unrecognised),
    }
