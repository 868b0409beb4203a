"""What is known of the environment as documents: what commands show and print with --json. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from collectord.environment.alert_fields import (
    affected_words,
    change_document,
    changes_between,
    environment_document,
    worst,
)
from collectord.environment.assign import RunKey
from collectord.environment.epochs import POLICY, former_keys
from collectord.environment.reasons import reasons_of
from collectord.environment.selection import known_environment
from collectord.environment.severity import Overrides
from collectord.environment.survey import Survey
from collectord.environment.timeline import Stretch, position_at
from collectord.index.seals import EpochSnapshot, Seal
from collectord.model import Alert, Environment


def shown_at(found: Survey, at_ms: int | None) -> dict[str, Any]:
    """The environment that stood at a time, None for the one that stands; `known` is False where none is."""
    if not found.stretches:
        return {"known": False, "stretch": None, "environment": None, "epochs": []}
    position = len(found.stretches) - 1 if at_ms is None else position_at(found.stretches, at_ms)
    stretch = found.stretches[position]
    epochs = [e.number for e in found.folded.epochs if e.fingerprint == stretch.fingerprint]
    return {
        "known": at_ms is None or at_ms >= stretch.since_ms,
        "stretch": _stretch(stretch),
        "environment": environment_document(found.environments[stretch.fingerprint]),
        "epochs": epochs,
    }


def _stretch(stretch: Stretch) -> dict[str, Any]:
    return asdict(stretch)


def stretch_documents(found: Survey) -> list[dict[str, Any]]:
    """Each stretch of the timeline with its runs, then the environments that only runs show."""
    runs = Counter(a.position for a in found.assigned.runs)
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
        for epoch in found.folded.epochs
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
    found: Survey, seals: Mapping[str, Seal], snapshots: Mapping[str, Sequence[EpochSnapshot]]
) -> list[dict[str, Any]]:
    """Every epoch: `state` is open, ended (before anybody looked), closing or sealed."""
    current, former = found.folded.current, former_keys(found.folded, seals)
    documents = []
    for epoch in found.folded.epochs:
        seal = seals.get(epoch.key)
        keys = (*former.get(epoch.key, ()), epoch.key)
        state = "open" if epoch.ended_ms is None else "ended"
        if seal is not None:
            state = "closing" if seal.sealed_ms is None else "sealed"
        documents.append(
            {
                **asdict(epoch),
                "current": epoch is current,
                "state": state,
                "closing_ms": seal.closing_ms if seal else None,
                "sealed_ms": seal.sealed_ms if seal else None,
                "sealed_because": seal.why_sealed if seal else None,
                "snapshots": [_snapshot(one) for key in keys for one in snapshots.get(key, ())],
                "digests": known_environment(found, epoch.fingerprint).digests if epoch.fingerprint else {},
            }
        )
    return documents


def run_document(found: Survey, place: RunKey) -> dict[str, Any] | None:
    """The epoch of one run, by (kind, name); None where there is no run of it."""
    number = found.folded.number_of.get(place)
    if number is None:
        return None
    epoch, current = found.folded.epochs[number - 1], found.folded.current
    return {
        "number": number,
        "is_current": epoch == current,
        "current": current.number if current else None,
        "fingerprint": epoch.fingerprint,
        "origin": epoch.origin,
        "reasons": reasons_of(found, place),
    }


def _snapshot(snapshot: EpochSnapshot) -> dict[str, Any]:
    shown = {key: value for key, value in asdict(snapshot).items() if key not in ("key", "content")}
    return {**shown, "superseded": snapshot.superseded_ms is not None}


def alert_document(alert: Alert) -> dict[str, Any]:
    """One alert; `state` is open, resolved or acknowledged."""
    state = "open" if alert.resolved_ms is None else "resolved"
    return {**asdict(alert), "state": "acknowledged" if alert.acked_ms is not None else state}
