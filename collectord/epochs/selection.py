"""Environments and epochs by the names that people give them, and which runs an export takes."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from collectord.epochs.epochs import NONE, POLICY
from collectord.epochs.json_views import change_document, changes_between, environment_document
from collectord.epochs.outline import Outline, outline_for
from collectord.epochs.rules import Overrides, overrides_from
from collectord.epochs.timeline import position_at
from collectord.errors import CollectordError
from collectord.index.engine import IndexConnection
from collectord.kernel.command_line import CONFIG_PATH
from collectord.kernel.jsonio import JsonObject
from collectord.kernel.policy import PolicyUnreadable
from collectord.kernel.values import parse_ms
from collectord.model import Environment, Epoch, Selection
from collectord.repo.policy import WorkingTree, read_policy

if TYPE_CHECKING:
    from collectord.config import Settings

_AGE = re.compile(r"([0-9]{1,9})([smhdw])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_FINGERPRINT = re.compile(r"(?:evidence-)?[0-9a-f]{6,64}")


def environment_named(found: Outline | None, name: str, now_ms: int) -> Environment:
    """The environment of a name; raises CollectordError where it names none.

    A number is an epoch, six and more hexadecimal digits are the beginning of a fingerprint, then come
    times (see `moment`), then files. Without an outline only a file is understood.
    """
    if found is None:
        return _of_file(Path(name))
    if name.isdigit() and len(name) < 6:
        return found.environment(find_epoch(found, name).fingerprint)
    if (at_ms := moment(name, now_ms)) is not None:
        return _standing(found, name, at_ms)
    if _FINGERPRINT.fullmatch(name):
        return found.environment(find_fingerprint(found, name))
    if Path(name).is_file():
        return _of_file(Path(name))
    if "/" in name or name.endswith((".yaml", ".yml")):
        raise CollectordError(f"{name}: no such file")
    raise CollectordError(
        f"{name}: neither an epoch, a fingerprint, a time such as 2026-01-31T08:00Z or 7d, nor a file"
    )


def moment(text: str, now_ms: int) -> int | None:
    """The milliseconds of `now`, an age such as `7d`, or an ISO 8601 time (UTC without a zone); else None."""
    if text == "now":
        return now_ms
    if (age := _AGE.fullmatch(text)) is not None:
        return max(0, now_ms - int(age[1]) * _UNITS[age[2]] * 1000)
    return parse_ms(text) if "-" in text and not text.startswith("evidence-") else None


def _standing(found: Outline, name: str, at_ms: int) -> Environment:
    position = position_at(found.stretches, at_ms)
    if position < 0:
        raise CollectordError(f"{name}: no environment is known yet; `collectord ingest` takes a look")
    return found.environments[found.stretches[position].fingerprint]


def _of_file(path: Path) -> Environment:
    from collectord.epochs.observe import environment_of

    try:
        return environment_of(read_policy(_OneFile(path.absolute())))
    except PolicyUnreadable as error:
        if error.path != CONFIG_PATH:
            raise
        raise PolicyUnreadable(str(path), error.reason) from error


class _OneFile:
    """A configuration file and what it includes, as if they stood in a repo of their own."""

    def __init__(self, path: Path) -> None:
        self._name, self._folder = path.name, path.parent
        self._tree = WorkingTree(path.parent.parent)

    def read(self, path: PurePosixPath) -> bytes | None:
        """The file itself in place of a repo's configuration; includes from where it stands."""
        if str(path) == CONFIG_PATH:
            return self._tree.read(PurePosixPath(self._folder.name, self._name))
        base = posixpath.dirname(CONFIG_PATH)
        if path.is_relative_to(base) and not path.is_relative_to(f"{base}/dynamics"):
            return self._tree.read(self._folder.name / path.relative_to(base))
        return None

    def names(self, path: PurePosixPath) -> tuple[str, ...]:
        """No universes and no genomes: only what stands in the file."""
        return ()


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
