"""How many archives were pruned before they were read: told at once, and kept in the index."""

from __future__ import annotations

from collectord.daemon.daemon_log import DaemonLog
from collectord.index.writer import IndexWriter

KEY = "vanished"


class VanishedCount:
    """Owned by the loop's thread."""

    def __init__(self, writer: IndexWriter, telling: DaemonLog) -> None:
        self._writer, self._telling = writer, telling
        self.total = int(writer.info(KEY) or 0)
        self._kept = self.total

    def add(self, name: str) -> None:
        """One more."""
        self.total += 1
        self._telling.vanished(name, self.total)

    def keep(self) -> None:
        """Writes the total if it changed."""
        if self.total != self._kept:
            self._writer.set_info(KEY, str(self.total))
            self._kept = self.total
