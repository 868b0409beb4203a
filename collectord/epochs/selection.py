"""Which runs an export takes: an epoch by its number or key, an environment by its fingerprint."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from collectord.epochs.drift import changes_between
from collectord.epochs.epochs import NONE, POLICY
from collectord.epochs.json_views import change_document, environment_document
from collectord.epochs.outline import Outline, outline_for
from collectord.epochs.rules import Overrides, overrides_from
from collectord.errors import CollectordError
from collectord.index.engine import IndexConnection
from collectord.kernel.jsonio import JsonObject
from collectord.model import Epoch, Selection

if TYPE_CHECKING:
    from collectord.config import Settings

ALL, CURRENT = "all", "current"
SHORTEST_PREFIX = 6


def chosen_runs(
    settings: Settings, connection: IndexConnection, epoch: str, environment: str | None
) -> Selection:
    """The runs that an export takes, as `select` says."""
    if epoch == ALL and environment is None:
        return Selection()
    overrides = overrides_from(settings.config.environment)
    return select(outline_for(settings, connection), epoch, environment, overrides)


def select(found: Outline, epoch: str, environment: str | None, overrides: Overrides) -> Selection:
    """The runs of an epoch (`all`, `current`, a number or a key), or of every epoch of an environment.

    `environment` is a fingerprint or the beginning of one, and goes before `epoch`. Raises CollectordError
    for one that is not there.
    """
    if environment is not None:
        return _of_environment(found, find_fingerprint(found, environment))
    if epoch == ALL:
        return Selection()
    chosen = found.current if epoch == CURRENT else find_epoch(found, epoch)
    if chosen is None:
        return Selection()
    others = {key for key, placement in found.runs() if placement.epoch != chosen.number}
    return Selection(
        chosen.number,
        None,
        frozenset(others),
        epoch_document(found, chosen),
        _document_of(found, chosen),
        drift_before(found, chosen, overrides),
    )


def find_epoch(found: Outline, text: str) -> Epoch:
    """The epoch of a number, or of a key, which stays its own; raises CollectordError where there is none."""
    of_key = (epoch for epoch in found.epochs if epoch.key == text)
    is_number = text.isascii() and text.isdigit() and len(text) < 10
    epoch = found.epoch(int(text)) if is_number else next(of_key, None)
    if epoch is None:
        count = len(found.epochs)
        there = f"there are 1 to {count}" if count else "there is none yet"
        raise CollectordError(f"epoch {text}: no such epoch, {there}; `collectord epoch list` shows them")
    return epoch


def beginning_with(prefix: str, known: Iterable[str]) -> list[str]:
    """The fingerprints that begin so; none for a beginning so short that only luck would make it one."""
    return [name for name in known if name.startswith(prefix)] if len(prefix) >= SHORTEST_PREFIX else []


def find_fingerprint(found: Outline, prefix: str) -> str:
    """The one fingerprint that begins so; raises CollectordError for none, and for several."""
    matching = beginning_with(prefix, sorted({*found.environments, *found.shown}))
    if len(matching) == 1:
        return matching[0]
    what = "is the beginning of several" if matching else "is no fingerprint that is known"
    raise CollectordError(
        f"{prefix}: {what} (at least {SHORTEST_PREFIX} characters); "
        "`collectord environment history` lists them"
    )


def _of_environment(found: Outline, fingerprint: str) -> Selection:
    keys = {key for key, placement in found.runs() if placement.fingerprint != fingerprint}
    environment = found.environment(fingerprint)
    return Selection(None, fingerprint, frozenset(keys), None, environment_document(environment))


def _document_of(found: Outline, epoch: Epoch) -> JsonObject | None:
    if epoch.origin == NONE:
        return None
    return environment_document(found.environment(epoch.fingerprint))


def epoch_document(found: Outline, epoch: Epoch) -> dict[str, Any]:
    """An epoch as it stands in a snapshot; `cut` says what ended it, None while nothing has."""
    members = {key: value for key, value in asdict(epoch).items() if key not in ("key", "why")}
    return {**members, "cut": epoch.why}


def drift_before(found: Outline, epoch: Epoch, overrides: Overrides) -> tuple[JsonObject, ...]:
    """What changed between the epoch's environment and that of the epoch before it."""
    earlier = [e for e in found.epochs[: epoch.number - 1] if e.origin == POLICY]
    if not earlier or epoch.origin != POLICY:
        return ()
    before, after = (found.environments[e.fingerprint] for e in (earlier[-1], epoch))
    return tuple(change_document(c) for c in changes_between(before, after, overrides, epoch.since_ms))
