"""The daemon's own watched folder on real files and a real index, with time that passes when told to."""

from __future__ import annotations

import io
from pathlib import Path

from collectord.archive import ArchiveRoot
from collectord.daemon.daemon_log import DaemonLog
from collectord.index.writer import IndexWriter
from collectord.intake.absence import AbsenceRules
from collectord.intake.collect import ReadLimits
from collectord.intake.commit import Committer
from collectord.intake.folder import Folder
from collectord.intake.queue import NoEvents, Rules, WatchedFolder
from collectord.intake.settle import SettleRules
from collectord.model import ARCHIVE
from collectord.system.log import configure

RULES = Rules(SettleRules(), ReadLimits(), AbsenceRules(), batch=200, quarantine_after=3)
RESCAN_S = 30.0


class Steered:
    """Scans and looks only: no event ever tells of anything, which is the hardest case."""

    def __init__(self, place: Path) -> None:
        self.archives, self.index = place / "archives", place / "index.sqlite3"
        self.archives.mkdir(parents=True)
        self.mono, self.said = 1000.0, io.StringIO()
        self.vanished: list[str] = []
        self._writer = IndexWriter(self.index)
        journal = DaemonLog(configure(level="debug", form="json", stream=self.said, environ={}), self._now)
        applier = Committer(self._writer, lambda: int(self.mono * 1000))
        watched = WatchedFolder(ARCHIVE, self.archives, frozenset(), NoEvents(), _identity)
        self.folder = Folder(watched, RULES, self._writer, applier, journal, self.vanished.append, self._now)
        self._next_rescan = 0.0

    def _now(self) -> float:
        return self.mono

    def turn(self) -> None:
        """What the loop does at this instant."""
        if self.mono >= self._next_rescan:
            self._next_rescan = self.mono + RESCAN_S
            self.folder.rescan(self.mono, may_write=True)
        self.folder.work(self.mono, lambda: False)

    def passes(self, seconds: float, step: float = 0.5) -> None:
        """Time passes, with a turn at every step of it."""
        for _ in range(round(seconds / step)):
            self.mono += step
            self.turn()

    def close(self) -> None:
        """Closes the index."""
        self._writer.close()


def _identity(root: ArchiveRoot) -> tuple[int, int] | None:
    return (root.device, root.inode) if root.is_current() else None
