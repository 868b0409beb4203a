"""Writing changes to the index, and the count of archives that vanished before they were read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from collectord.errors import INDEX_FAULTS
from collectord.index.writer import Change, IndexWriter, KnownKey
from collectord.model import Outcome


class Committer:
    """The one door through which the loop writes what it read."""

    def __init__(self, writer: IndexWriter, wall_ms: Callable[[], int]) -> None:
        self._writer, self._wall_ms = writer, wall_ms
        self._first_ingest_ms: int | None = None
        self.applied = 0
        self._changed: set[KnownKey] = set()

    def take_changed(self) -> frozenset[KnownKey]:
        """(kind, name) of everything that was written since the last call."""
        changed, self._changed = frozenset(self._changed), set()
        return changed

    def apply(self, changes: Sequence[Change]) -> Iterator[tuple[int, Outcome | Exception]]:
        """(position, what became of it) for each change, each durable when it is given.

        Raises what concerns the index as a whole; a change that is not given by then is not in the index.
        """
        if not changes:
            return
        try:
            outcomes = self._write(changes)
        except INDEX_FAULTS:
            raise
        except Exception as error:
            if len(changes) == 1:
                yield 0, error
            else:
                yield from self._one_by_one(changes)
            return
        yield from enumerate(outcomes)

    def _one_by_one(self, changes: Sequence[Change]) -> Iterator[tuple[int, Outcome | Exception]]:
        for position, change in enumerate(changes):
            for _, result in self.apply([change]):
                yield position, result

    def _write(self, changes: Sequence[Change]) -> list[Outcome]:
        now = self._wall_ms()
        # Before the transaction: whether one that broke off is in the index only the index knows.
        self._changed.update((change.kind, change.name) for change in changes)
        if self._first_ingest_ms is None:
            self._first_ingest_ms = self._writer.first_ingest_ms(now)
        outcomes = self._writer.apply(changes, now_ms=now, first_ingest_ms=self._first_ingest_ms)
        self.applied += len(outcomes)
        return outcomes
