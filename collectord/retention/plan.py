"""Which parts of an archive are due, and why they must stay all the same. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from collectord.kernel.jsonio import Unparsable, ascii_json, parse_object
from collectord.model import OutcomeKind
from collectord.system.durable import atomic_write, ensure_private_dir

LOGS = ("logs",)
RENDERS = ("renders", "output", "assets")
# Files of the kernel that no dataset reads; with a whole archive they go too, and are not in the index.
UNREAD = ("telemetry.jsonl", "prompt.md")


@dataclass(frozen=True, slots=True)
class Ages:
    """How old the parts of an archive must be to go, in seconds; None: they stay."""

    logs_s: float | None = None
    renders_s: float | None = None
    archives_s: float | None = None

    @property
    def nothing(self) -> bool:
        """Whether everything stays."""
        return self == Ages()


@dataclass(frozen=True, slots=True)
class Due:
    """What of one archive is due: names of entries, or the whole of it."""

    parts: tuple[str, ...]
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an archive whose parts are due.

    `unchanged`: its core files are as they were when it was indexed; `stored`: the index has every core
    file of its current revision with the right digest; `core`: their names; `entries`: what is in it.
    """

    state: str
    unchanged: bool
    stored: bool
    core: frozenset[str]
    entries: frozenset[str]


def due(entries: Iterable[str], age_s: float, ages: Ages) -> Due | None:
    """What is due in an archive whose youngest entry was modified that long ago."""
    if ages.archives_s is not None and age_s > ages.archives_s:
        return Due((), whole=True)
    wanted = [*_if(LOGS, ages.logs_s, age_s), *_if(RENDERS, ages.renders_s, age_s)]
    parts = tuple(name for name in wanted if name in set(entries))
    return Due(parts) if parts else None


def _if(names: tuple[str, ...], limit_s: float | None, age_s: float) -> tuple[str, ...]:
    return names if limit_s is not None and age_s > limit_s else ()


def objection(found: Facts, wanted: Due) -> str | None:
    """Why nothing may be removed although it is due, or None."""
    if found.state != OutcomeKind.INDEXED:
        return f"it is {found.state}, not indexed"
    if not found.unchanged:
        return "it changed since it was indexed; run `collectord ingest`"
    if not found.stored:
        return "the index does not hold all of its core files; run `collectord db recover`"
    if wanted.whole:
        unknown = found.entries - found.core - {*LOGS, *RENDERS, *UNREAD}
        if unknown:
            return f"it holds something that no kernel writes: {min(unknown)}"
    return None


FOLDER = "pruned"
_MAX_BYTES = 64 * 2**20


def leave_note(state_dir: Path, names: Sequence[str], now_ms: int) -> None:
    """Leave the names of archives that are gone or about to be, in place of this process's note of that time.

    Without names there is no such note afterwards.
    """
    path = state_dir / FOLDER / f"{now_ms}-{os.getpid()}.json"
    if not names:
        path.unlink(missing_ok=True)
        return
    ensure_private_dir(state_dir / FOLDER)
    atomic_write(path, ascii_json({"gone": list(names)}).encode("ascii"))


def notes_left(state_dir: Path) -> Iterator[tuple[Path, list[str]]]:
    """Each note with its names, the oldest first; one that cannot be read has none."""
    for path in sorted((state_dir / FOLDER).glob("*.json")):
        try:
            with path.open("rb") as file:
                names = parse_object(file.read(_MAX_BYTES)).get("gone")
        except (OSError, Unparsable):
            names = None
        yield path, [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
