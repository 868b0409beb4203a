"""Which runs an export takes, and what stands beside them about their environment."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from collectord.cyntra.jsonio import JsonObject
from collectord.environment.alert_fields import change_document, changes_between, environment_document
from collectord.environment.assign import RunKey
from collectord.environment.epochs import NONE, POLICY
from collectord.environment.severity import Overrides
from collectord.environment.survey import Survey
from collectord.errors import CollectordError
from collectord.model import Environment, Epoch

ALL, CURRENT = "all", "current"
SHORTEST_PREFIX = 6


@dataclass(frozen=True)
class Selection:
    """`others` are the runs that are left out; the documents are empty where nothing is known of them."""

    epoch: int | None = None
    environment: str | None = None
    others: frozenset[RunKey] = frozenset()
    epoch_document: JsonObject | None = None
    environment_document: JsonObject | None = None
    drift: tuple[JsonObject, ...] = ()


def select(found: Survey, epoch: str, environment: str | None, overrides: Overrides) -> Selection:
    """The runs of an epoch (`all`, `current`, a number or a key), or of every epoch of an environment.

    `environment` is a fingerprint or the beginning of one, and goes before `epoch`. Raises CollectordError
    for one that is not there.
    """
    if environment is not None:
        return _of_environment(found, find_fingerprint(found, environment))
    if epoch == ALL:
        return Selection()
    chosen = found.folded.current if epoch == CURRENT else find_epoch(found, epoch)
    if chosen is None:
        return Selection()
    others = {key for key, number in found.folded.number_of.items() if number != chosen.number}
    return Selection(
        chosen.number,
        None,
        frozenset(others),
        epoch_document(found, chosen),
        _document_of(found, chosen),
        drift_before(found, chosen, overrides),
    )


def find_epoch(found: Survey, text: str) -> Epoch:
    """The epoch of a number, or of a key, which stays its own; raises CollectordError where there is none."""
    of_key = (epoch for epoch in found.folded.epochs if epoch.key == text)
    is_number = text.isascii() and text.isdigit() and len(text) < 10
    epoch = found.epoch(int(text)) if is_number else next(of_key, None)
    if epoch is None:
        count = len(found.folded.epochs)
        there = f"there are 1 to {count}" if count else "there is none yet"
        raise CollectordError(f"epoch {text}: no such epoch, {there}; `collectord epoch list` shows them")
    return epoch


def find_fingerprint(found: Survey, prefix: str) -> str:
    """The one fingerprint that begins so; raises CollectordError for none, and for several."""
    known = sorted({*found.environments, *found.assigned.gathered})
    matching = [name for name in known if name.startswith(prefix)] if len(prefix) >= SHORTEST_PREFIX else []
    if len(matching) == 1:
        return matching[0]
    what = "is the beginning of several" if matching else "is no fingerprint that is known"
    raise CollectordError(
        f"{prefix}: {what} (at least {SHORTEST_PREFIX} characters); "
        "`collectord environment history` lists them"
    )


def _of_environment(found: Survey, fingerprint: str) -> Selection:
    keys = {(a.run.kind, a.run.name) for a in found.assigned.runs if a.fingerprint != fingerprint}
    environment = known_environment(found, fingerprint)
    return Selection(None, fingerprint, frozenset(keys), None, environment_document(environment))


def known_environment(found: Survey, fingerprint: str) -> Environment:
    """An environment that was read from files, or what runs show of one."""
    if fingerprint in found.environments:
        return found.environments[fingerprint]
    facts = found.assigned.gathered[fingerprint]
    shown = {" ".join(fact): value for fact, value in sorted(facts.values.items())}
    return Environment(fingerprint, "evidence", 0, {}, {"shown": shown})


def _document_of(found: Survey, epoch: Epoch) -> JsonObject | None:
    if epoch.origin == NONE:
        return None
    return environment_document(known_environment(found, epoch.fingerprint))


def epoch_document(found: Survey, epoch: Epoch) -> dict[str, Any]:
    """An epoch as it stands in a snapshot; `cut` says what ended it, None while nothing has."""
    told = {key: value for key, value in asdict(epoch).items() if key not in ("key", "why")}
    return {**told, "cut": epoch.why}


def drift_before(found: Survey, epoch: Epoch, overrides: Overrides) -> tuple[JsonObject, ...]:
    """What changed between the epoch's environment and that of the epoch before it."""
    earlier = [e for e in found.folded.epochs[: epoch.number - 1] if e.origin == POLICY]
    if not earlier or epoch.origin != POLICY:
        return ()
    before, after = (found.environments[e.fingerprint] for e in (earlier[-1], epoch))
    return tuple(change_document(c) for c in changes_between(before, after, overrides, epoch.since_ms))
