"""Directories in quarantine: what helps, and reading them again."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collectord.epochs.requests import leave, requeue_request
from collectord.errors import CollectordError, LockHeld
from collectord.index import queries
from collectord.index.opening import now_ms, reader_for, writer_for
from collectord.index.queries import directory, quarantined
from collectord.model import OutcomeKind
from collectord.status.explain import advice_for
from collectord.system.names import readable_name

if TYPE_CHECKING:
    from collectord.config import Settings


def in_quarantine(settings: Settings, wanted: str) -> list[dict[str, Any]]:
    """What is known of a directory in quarantine, by its name or path, with what helps.

    An archive and a world run may share a name. Raises CollectordError for one that is not there.
    """
    name = readable_name(Path(wanted).name)
    with reader_for(settings) as reader:
        found = [row for row in quarantined(reader) if row["name"] == name]
    if not found:
        raise _not_there([name])
    return [{**row, "advice": _advice(settings, row)} for row in found]


def _advice(settings: Settings, row: dict[str, Any]) -> str | None:
    with reader_for(settings) as reader:
        known = directory(reader, row["kind"], row["name"]) or {}
    has_revision = known.get("revision") is not None
    return advice_for(OutcomeKind.QUARANTINED, row["reason"], has_revision=has_revision)


def requeue(settings: Settings, wanted: Collection[str] | None) -> tuple[list[str], bool]:
    """Have directories in quarantine read again, all of them for None.

    Returns their names, and whether it was done; else it was left to the daemon, which holds the index.
    Raises CollectordError for a name that is not in quarantine.
    """
    with reader_for(settings) as reader:
        present = {row["name"] for row in quarantined(reader)}
    names = present if wanted is None else {readable_name(Path(given).name) for given in wanted}
    if missing := sorted(names - present):
        raise _not_there(missing)
    try:
        with writer_for(settings, "collectord quarantine requeue") as writer:
            queries.requeue(writer, names)
        return sorted(names), True
    except LockHeld:
        leave(settings.state_dir, requeue_request(names, now_ms()))
        return sorted(names), False


def _not_there(names: list[str]) -> CollectordError:
    listed, last = ", ".join(names), names[-1]
    verb = "is" if len(names) == 1 else "are"
    return CollectordError(
        f"{listed}: {verb} not in quarantine; `collectord explain {last}` says what became of an archive"
    )
