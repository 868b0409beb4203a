"""Epochs and alerts: listed, shown, cut by hand, marked as seen; and which runs an export takes."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from collectord.app.environment import ask, overrides_of, survey_of
from collectord.app.opening import now_ms, reader_for

if TYPE_CHECKING:
    from collectord.config import Settings
    from collectord.environment.selection import Selection
    from collectord.index.reader import IndexReader


def select(settings: Settings, reader: IndexReader, epoch: str, environment: str | None) -> Selection:
    """The runs that an export takes; raises CollectordError for an epoch or environment that is not there."""
    from collectord.environment.selection import ALL, Selection, select

    if epoch == ALL and environment is None:
        return Selection()
    return select(survey_of(settings, reader.connection), epoch, environment, overrides_of(settings))


def listed(settings: Settings) -> dict[str, Any]:
    """Every epoch."""
    from collectord.environment.json_views import epoch_documents
    from collectord.index.seals import epoch_snapshots, seals

    with reader_for(settings) as reader:
        found = survey_of(settings, reader.connection)
        kept = seals(reader.connection), epoch_snapshots(reader.connection)
        return {"schema": "collectord.epochs.v1", "epochs": epoch_documents(found, *kept)}


def shown(settings: Settings, number: int) -> dict[str, Any]:
    """One epoch with its environment, what changed before it, its snapshots and its runs."""
    from collectord.environment.json_views import epoch_documents
    from collectord.environment.selection import find_epoch, select
    from collectord.index.seals import epoch_snapshots, seals

    with reader_for(settings) as reader:
        found = survey_of(settings, reader.connection)
        epoch = find_epoch(found, str(number))
        selection = select(found, str(number), None, overrides_of(settings))
        kept = seals(reader.connection), epoch_snapshots(reader.connection)
        return {
            "schema": "collectord.epoch.v1",
            "epoch": epoch_documents(found, *kept)[epoch.number - 1],
            "environment": selection.environment_document,
            "drift": list(selection.drift),
            "runs": [run.name for run in found.by_epoch[epoch.number]],
        }


def cut(settings: Settings, why: str) -> dict[str, Any]:
    """End the current epoch now."""
    from collectord.environment import requests

    at_ms = now_ms()
    done = ask(settings, requests.cut(why, at_ms), "collectord epoch cut")
    return {"schema": "collectord.epoch_cut.v1", "at_ms": at_ms, "why": why, **done}


def alerts(settings: Settings, since_ms: int | None) -> dict[str, Any]:
    """The alerts, the newest first."""
    from collectord.environment.json_views import alert_document
    from collectord.index.alerts import alerts

    with reader_for(settings) as reader:
        found = alerts(reader.connection, since_ms=since_ms)
    return {"schema": "collectord.alerts.v1", "alerts": [alert_document(alert) for alert in found]}


def alert(settings: Settings, number: int) -> dict[str, Any]:
    """One alert; raises CollectordError where there is none of that number."""
    from collectord.errors import CollectordError

    found = [a for a in alerts(settings, None)["alerts"] if a["id"] == number]
    if not found:
        raise CollectordError(f"alert {number}: there is none; `collectord drift list` shows them")
    return {"schema": "collectord.alert.v1", "alert": found[0]}


def acknowledge(settings: Settings, numbers: Collection[int] | None) -> dict[str, Any]:
    """Mark alerts as seen, all of them for None."""
    from collectord.environment import requests

    for number in numbers or ():
        alert(settings, number)
    done = ask(settings, requests.ack(numbers, now_ms()), "collectord drift ack")
    return {"schema": "collectord.drift_ack.v1", **done}
