"""The folders that are watched over, and the rules by which."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from collectord.absence import AbsenceRules
from collectord.archive import ArchiveRoot
from collectord.config import Settings
from collectord.ingest.collect import ReadLimits
from collectord.settle import SettleRules

WORLDS = Path(".cyntra/runs")


class Events(Protocol):
    """Who can be asked for events from inside a directory."""

    def enter(self, name: str) -> bool:
        """Ask for them; whether they will come."""

    def leave(self, name: str) -> None:
        """They are not wanted any more."""


class NoEvents:
    """For a folder that is only scanned."""

    def enter(self, name: str) -> bool:
        """Never."""
        return False

    def leave(self, name: str) -> None:
        """Nothing to leave."""


Evidence = Callable[[ArchiveRoot], Hashable | None]
"""A folder that was just opened → its identity if it is the healthy one at its path, else None."""


@dataclass(frozen=True, slots=True)
class WatchedFolder:
    """One folder of directories to index; `kind` as in the index."""

    kind: str
    path: Path
    ignore: frozenset[str]
    events: Events
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Rules:
    """What the configuration says about looking, reading and believing."""

    settle: SettleRules
    limits: ReadLimits
    absence: AbsenceRules
    batch: int
    quarantine_after: int


def rules_of(settings: Settings) -> Rules:
    """The rules of a configuration."""
    config = settings.config
    settle = config.settle
    return Rules(
        settle=SettleRules(
            min_age_s=settle.min_age,
            short_s=settle.short,
            long_s=settle.long,
            stalled_after_s=settle.stalled_after,
            # Who settles faster than usual also wants to see sooner that a second try helps.
            retry_first_s=max(0.05, min(settle.short, SettleRules().retry_first_s)),
        ),
        limits=ReadLimits(config.limits.json_bytes, config.limits.entries),
        absence=AbsenceRules(confirm_s=config.watch.gone_after, alarm_hold_s=config.watch.mass_gone_after),
        batch=config.ingest.batch,
        quarantine_after=config.ingest.quarantine_after,
    )
