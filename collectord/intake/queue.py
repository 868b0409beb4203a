"""The folders that are watched, and which of their directories wait for a look."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol
from zlib import crc32

from collectord.archive import ArchiveRoot, DirStamp, Listing
from collectord.config import Settings
from collectord.index.writer import KnownKey
from collectord.intake.absence import AbsenceRules, Alarm
from collectord.intake.collect import ReadLimits, is_stray
from collectord.intake.settle import PendingSet, SettleRules
from collectord.model import Known, Outcome, Run
from collectord.system.names import is_own, readable_name


class IntakeLog(Protocol):
    """Who hears what becomes of archives: the journal of the daemon, or the result of a pass by hand."""

    def closing(self, kind: str, outcome: Outcome, waited_s: float | None, run: Run | None = None) -> None:
        """An archive's way ended; `waited_s` is since the first look at it, `run` what was read of it."""

    def failed(self, name: str, error: Exception) -> None:
        """A try of an archive met an error that nobody foresaw."""

    def short_of(self, error: OSError) -> None:
        """This process lacks something: descriptors, memory. The look is made again in a second."""

    def absence_alarm(self, folder: Path, alarm: Alarm | None) -> None:
        """Too many are missing at once, or it is over."""


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


# How many verified directories each scan doubts again. An edit in place moves no time of the directory
# itself, so that only a look inside shows it; 20,000 come round in ten minutes of the default scans.
DOUBTED_PER_SCAN = 1024
# After so many glances at it and its core files a directory's turn is a whole look, which also shows an edit
# outside of them: prune leaves alone what does not look as the index has it.
GLANCES_PER_LOOK = 7


class Verified(NamedTuple):
    """A directory's stamp, and how many glances came since the last whole look."""

    stamp: DirStamp
    glances: int = 0


@dataclass(frozen=True, slots=True)
class Scan:
    """What a scan showed: every name as the index would keep it, and what is no archive with why.

    Only what a healthy one lacks may be held to be gone.
    """

    present: frozenset[str]
    strays: list[tuple[str, str]]
    is_healthy: bool = True


class Intake:
    """The names of one folder, each in one of three states; owned by the loop's thread.

    Verified: the index has the directory as it was when it had these times. Doubtful: known to the index,
    to be looked at once. Pending: new or changed, followed until it is settled. All three hold only names
    that are on disk or were a moment ago.
    """

    def __init__(
        self, place: WatchedFolder, known: dict[KnownKey, Known], pending: PendingSet, turn: int | None = 0
    ) -> None:
        """`turn` tells whose whole look comes next, where no look was taken yet; None: everybody's."""
        self._place, self._known, self._turn = place, known, turn
        self.pending = pending
        self._verified: dict[str, DirStamp] = {}
        self._doubtful: dict[str, DirStamp] = {}
        # Of verified and doubtful ones since the last whole look; apart from the stamps, which scans compare.
        self._glances: dict[str, int] = {}

    @property
    def verified(self) -> Mapping[str, DirStamp]:
        """The directories that the index has as they were when they had these stamps, by name."""
        return self._verified

    @property
    def doubtful(self) -> int:
        """How many directories wait to be verified."""
        return len(self._doubtful)

    def known(self, name: str) -> Known | None:
        """What the index has under the name of a directory."""
        return self._known.get((self._place.kind, readable_name(name)))

    def note(self, names: Iterable[str], mono: float) -> None:
        """Events came from these."""
        for name in names:
            if name not in self._place.ignore and not is_own(name):
                self.pending.touch(name, mono)

    def take_scan(self, listing: Listing, mono: float) -> Scan:
        """Takes in a scan that was held against `verified`."""
        present = set(listing.names)
        strays: list[tuple[str, str]] = []
        for name, kind, stamp in listing.others:
            if is_own(name):
                present.discard(name)
            elif (reason := is_stray(name, kind, self._place.ignore)) is not None:
                strays.append((name, reason))
            elif stamp is not None and name not in self.pending:
                self._take_directory(name, stamp, mono)
        self._keep_only(present)
        self._doubt_some()
        if not all(map(str.isascii, present)):
            present = set(map(readable_name, present))
        return Scan(frozenset(present), strays)

    def _take_directory(self, name: str, stamp: DirStamp, mono: float) -> None:
        known = self.known(name)
        if known is None or known.gone_ms is not None or self._verified.pop(name, None) is not None:
            self._doubtful.pop(name, None)
            self.pending.find(name, mono)
        else:
            name = sys.intern(name)  # the text that the index has, not one more
            self._doubtful[name] = stamp
            self._glances.setdefault(name, self._first_turn(name))

    def _first_turn(self, name: str) -> int:
        if self._turn is None:
            return GLANCES_PER_LOOK
        return (crc32(os.fsencode(name)) + self._turn) % (GLANCES_PER_LOOK + 1)

    def _keep_only(self, present: set[str]) -> None:
        for name in [name for name in self._glances if name not in present]:
            del self._glances[name]
            self._verified.pop(name, None)
            self._doubtful.pop(name, None)

    def _doubt_some(self) -> None:
        # In the order in which they were verified: the longest ago comes first.
        for name in list(islice(self._verified, DOUBTED_PER_SCAN)):
            self._doubtful[name] = self._verified.pop(name)

    def take_doubtful(self, limit: int) -> list[tuple[str, Verified]]:
        """At most so many names to verify; each is `verify`ed, touched, or found again by the next scan."""
        names = list(islice(self._doubtful, limit))
        return [(name, Verified(self._doubtful.pop(name), self._glances[name])) for name in names]

    def verify(self, name: str, verified: Verified) -> None:
        """The index has it as it is with these times; nothing is pending there."""
        self.pending.drop(name)
        name = sys.intern(name)
        self._verified[name], self._glances[name] = verified

    def reset(self, pending: PendingSet) -> None:
        """Another folder stands in the place: nothing that was seen in the old one counts."""
        self.pending = pending
        self._verified.clear()
        self._doubtful.clear()
        self._glances.clear()
