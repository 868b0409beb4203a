"""What an alert is about, in one line: the same in lists, in the log of an ingest and in an audit. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from collectord.cyntra.jsonio import JsonObject
from collectord.cyntra.policy import Surface
from collectord.environment.drift import Change, affected, compare, cuts
from collectord.environment.fingerprint import masked
from collectord.environment.severity import SEVERITIES, Overrides
from collectord.model import Environment, EnvironmentChange

MAX_LABELS = 3


def summary_of(event: str, fields: dict[str, Any]) -> str:
    """One line of what an alert is about."""
    match event:
        case "environment.drift":
            words = fields["affected"] or [c["words"] for c in fields["changes"]]
            return f"{', '.join(fields['components'])}: {words[0] if words else 'no label moves'}"
        case "environment.stale_kernel" if "pid" in fields:
            edited = fields["affected"] or [c["words"] for c in fields["changes"]]
            said = f"process {fields['pid']} has read what stood before the edit"
            return f"{said}: {edited[0] if edited else 'no label moves'}; {fields['advice']}"
        case "kernel.several":
            return f"{len(fields['kernels'])} kernels run at once: {fields['advice']}"
        case "environment.stale_kernel":
            return f"{fields['runs']} runs, last {fields['last']}: {fields['advice']}"
        case "epoch.reassigned":
            moved = f"{fields['runs']} runs, {fields['before'][:12]} → {fields['after'][:12]}"
            return f"{moved}: {fields['why'][0] if fields['why'] else 'the runs before one that moved'}"
        case "environment.unexplained":
            shown = fields["shown"][0] if fields["shown"] else "nothing"
            return f"{fields['runs']} runs, first {fields['first']}: {shown}"
        case "environment.unreadable":
            return f"{fields['path']}: {fields['reason']}"
        case "labels.contradiction":
            labels = " | ".join([*fields["labels"]][:MAX_LABELS])
            issue = " ".join(fields[key] or "?" for key in ("job_type", "risk", "size"))
            return f"epoch {fields['epoch']}, {issue} issues, {len(fields['labels'])} labels: {labels}"
    ended = f", ended by {fields['why']}" if fields.get("why") else ""
    return f"epoch {fields['epoch']}, {fields['runs']} runs{ended}"


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
