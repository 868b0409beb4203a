"""Environments by the names that people give them: of an epoch, a time, a fingerprint, a file."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path, PurePosixPath

from collectord.epochs.observe import environment_of
from collectord.epochs.outline import Outline
from collectord.epochs.selection import find_epoch, find_fingerprint
from collectord.epochs.timeline import position_at
from collectord.errors import CollectordError
from collectord.kernel.command_line import CONFIG_PATH
from collectord.kernel.policy import PolicyUnreadable
from collectord.kernel.values import parse_ms
from collectord.model import Environment
from collectord.repo.policy import WorkingTree, read_policy

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
