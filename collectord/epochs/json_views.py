"""Environments, epochs and alerts as documents and in one line: what commands and logs show. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from collectord.epochs.drift import Change, affected, changes_between, surface_of
from collectord.epochs.epochs import POLICY, former_keys, sealed_by_ms
from collectord.epochs.fingerprint import masked
from collectord.epochs.outline import Outline
from collectord.epochs.rules import SEVERITIES, Overrides
from collectord.epochs.timeline import Stretch, position_at
from collectord.index.environments import EpochSnapshot, Seal
from collectord.kernel.jsonio import JsonObject
from collectord.model import Alert, Environment, EnvironmentChange, Epoch

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


def fields_of_changes(
    environments: Mapping[str, Environment], overrides: Overrides, remembered: Remembered | None = None
) -> Callable[[EnvironmentChange], dict[str, Any]]:
    """Gives the fields of an alert for a change on the timeline; `remembered` are those given before."""
    known = {} if remembered is None else remembered

    def fields_of(change: EnvironmentChange) -> dict[str, Any]:
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

    return fields_of


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


def shown_at(found: Outline, at_ms: int | None) -> dict[str, Any]:
    """The environment that stood at a time, None for the one that stands; `known` is False where none is."""
    if not found.stretches:
        return {"known": False, "stretch": None, "environment": None, "epochs": []}
    position = len(found.stretches) - 1 if at_ms is None else position_at(found.stretches, at_ms)
    stretch = found.stretches[position]
    epochs = [e.number for e in found.epochs if e.fingerprint == stretch.fingerprint]
    return {
        "known": at_ms is None or at_ms >= stretch.since_ms,
        "stretch": _stretch(stretch),
        "environment": environment_document(found.environments[stretch.fingerprint]),
        "epochs": epochs,
    }


def _stretch(stretch: Stretch) -> dict[str, Any]:
    return asdict(stretch)


def stretch_documents(found: Outline) -> list[dict[str, Any]]:
    """Each stretch of the timeline with its runs, then the environments that only runs show."""
    runs = Counter(placement.position for _, placement in found.runs())
    shown = [{**_stretch(s), "runs": runs[position]} for position, s in enumerate(found.stretches)]
    return shown + [
        {
            "fingerprint": epoch.fingerprint,
            "since_ms": epoch.first_ms,
            "until_ms": epoch.last_ms,
            "source": "evidence",
            "seen_ms": epoch.last_ms,
            "commit": None,
            "runs": epoch.runs,
        }
        for epoch in found.epochs
        if epoch.origin == "evidence"
    ]


def difference(before: Environment, after: Environment, overrides: Overrides, at_ms: int) -> dict[str, Any]:
    """What changed from one environment to another."""
    both_known = before.origin == after.origin == POLICY
    changes = changes_between(before, after, overrides, at_ms) if both_known else ()
    return {
        "before": before.fingerprint,
        "after": after.fingerprint,
        "same": before.fingerprint == after.fingerprint,
        "comparable": both_known,
        "severity": worst(changes) if changes else None,
        "affected": affected_words(before, after) if both_known else [],
        "changes": [change_document(change) for change in changes],
        "shown": None if both_known else [environment_document(e)["components"] for e in (before, after)],
    }


def epoch_documents(
    found: Outline,
    seals: Mapping[str, Seal],
    snapshots: Mapping[str, Sequence[EpochSnapshot]],
    *,
    now_ms: int,
    limit_ms: Callable[[Epoch], int],
) -> list[dict[str, Any]]:
    """Every epoch: `state` is open, ended (before anybody looked), closing or sealed.

    `sealed_by_ms` is when one that is closing is sealed at the latest, `limit_ms` later than it began to.
    """
    current, former = found.current, former_keys(found.epochs, seals)
    documents = []
    for epoch in found.epochs:
        seal = seals.get(epoch.key)
        keys = (*former.get(epoch.key, ()), epoch.key)
        state, by_ms = "open" if epoch.ended_ms is None else "ended", None
        if seal is not None:
            state = "closing" if seal.sealed_ms is None else "sealed"
        if seal is not None and seal.sealed_ms is None:
            by_ms = sealed_by_ms(epoch, seal, now_ms, limit_ms(epoch))
        documents.append(
            {
                **asdict(epoch),
                "current": epoch is current,
                "state": state,
                "closing_ms": seal.closing_ms if seal else None,
                "sealed_by_ms": by_ms,
                "sealed_ms": seal.sealed_ms if seal else None,
                "sealed_because": seal.why_sealed if seal else None,
                "snapshots": [_snapshot(one) for key in keys for one in snapshots.get(key, ())],
                "digests": found.environment(epoch.fingerprint).digests if epoch.fingerprint else {},
            }
        )
    return documents


def _snapshot(snapshot: EpochSnapshot) -> dict[str, Any]:
    shown = {key: value for key, value in asdict(snapshot).items() if key not in ("key", "content")}
    return {**shown, "superseded": snapshot.superseded_ms is not None}


NOTED = "noted"


def alert_document(alert: Alert) -> dict[str, Any]:
    """One alert; `state` is open, resolved, acknowledged, or noted where it is about one moment."""
    state = "open" if alert.resolved_ms is None else "resolved"
    if alert.resolved_ms == alert.opened_ms:
        state = NOTED
    return {**asdict(alert), "state": "acknowledged" if alert.acked_ms is not None else state}
