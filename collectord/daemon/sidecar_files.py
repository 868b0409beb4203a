"""What stands beside the archives: Beads and the event log, read again when they changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from collectord.daemon.daemon_log import DaemonLog, error_fields
from collectord.errors import INDEX_FAULTS
from collectord.index.writer import IndexWriter
from collectord.intake.collect import ingest_beads, ingest_events, lines_dropped
from collectord.repo.files import BEADS_FILE, EVENTS_FILE

# Beads is rewritten at every change of a status: reading it may take a tenth of the time, no more.
_REST_FACTOR = 9.0
# Not read by us, but it changes together with Beads and tells that the graph moved.
DEPS_FILE = Path(".beads/deps.jsonl")
FILES = (BEADS_FILE, DEPS_FILE, EVENTS_FILE)


@dataclass(slots=True)
class _Source:
    event: str
    files: tuple[Path, ...]
    read: Callable[[], int]
    due: float | None = float("-inf")
    not_before: float = float("-inf")


class SidecarFiles:
    """Owned by the loop's thread; everything is read once at the start."""

    def __init__(
        self,
        writer: IndexWriter,
        repo: Path,
        journal: DaemonLog,
        mono: Callable[[], float],
        wall_ms: Callable[[], int],
    ) -> None:
        self._journal, self._mono, self._writer = journal, mono, writer
        self._dropped: list[int] = []
        beads = (repo / BEADS_FILE, repo / DEPS_FILE)
        self._sources = (
            _Source("events.read", (repo / EVENTS_FILE,), lambda: ingest_events(writer, repo)),
            _Source("issues.read", beads, lambda: ingest_beads(writer, repo, wall_ms())),
        )

    def note(self, files: Iterable[Path], mono: float) -> None:
        """These files changed."""
        changed = set(files)
        for source in self._sources:
            if changed.intersection(source.files):
                source.due = mono

    def next_due(self) -> float:
        """When one is to be read; monotonic seconds, inf without one."""
        planned = [max(s.due, s.not_before) for s in self._sources if s.due is not None]
        return min(planned, default=float("inf"))

    def read_due(self, mono: float) -> None:
        """Reads what is due. What cannot be read waits for its next change."""
        for source in self._sources:
            if source.due is not None and max(source.due, source.not_before) <= mono:
                self._read(source)

    def _read(self, source: _Source) -> None:
        start = self._mono()
        try:
            found = source.read()
        except INDEX_FAULTS:
            raise
        except Exception as error:
            self._journal.repeated("source.failed", source.event, source=source.event, **error_fields(error))
        else:
            if found:
                self._journal.log.debug(source.event, changed=found)
            self._log_dropped()
        source.due = None
        now = self._mono()
        source.not_before = now + _REST_FACTOR * (now - start)

    def _log_dropped(self) -> None:
        """Once for each change of the lines that no kernel reads."""
        dropped = lines_dropped(self._writer)
        if dropped == self._dropped:
            return
        self._dropped = dropped
        if dropped:
            hint = "mend or remove them: marks of a merge conflict, torn records, numbers that are none"
            self._journal.log.warning(
                "issues.lines_dropped", count=len(dropped), first=dropped[:5], hint=hint
            )
        else:
            self._journal.log.info("issues.lines_mended")
