"""Which parts of an archive are due, and why they must stay all the same. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from collectord.model import OutcomeKind

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

    `unchanged`: it looks as it did when it was indexed; `stored`: the index has every core file of its
    current revision with the right digest; `core`: their names; `entries`: what is directly in it.
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
