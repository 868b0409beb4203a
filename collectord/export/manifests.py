"""What rows are made of, from the index in the order in which they want it, fetched a few at a time."""

from __future__ import annotations

from collections.abc import Sequence

from collectord.cyntra.jsonio import JsonObject, parse_object
from collectord.errors import IndexDamaged
from collectord.index.reader import IndexReader

_WINDOW = 128


class Manifests:
    """Gives parsed manifests by digest; what is fetched ahead is bounded."""

    def __init__(self, reader: IndexReader) -> None:
        self.reader = reader
        self._order: Sequence[str] = ()
        self._place: dict[str, int] = {}
        self._window: dict[str, bytes] = {}

    def expect(self, digests: Sequence[str]) -> None:
        """The digests that will be asked for, in order; some may be left out."""
        self._order = digests
        self._place = {digest: place for place, digest in enumerate(digests)}

    def get(self, digest: str) -> JsonObject:
        """The parsed manifest; it parsed when it was ingested. Raises IndexDamaged where it is lost."""
        if digest not in self._window:
            place = self._place[digest]
            self._window = self.reader.artifacts(self._order[place : place + _WINDOW])
        if digest not in self._window:
            raise IndexDamaged(f"artifact {digest}: is not in the index; run `collectord db recover`")
        return parse_object(self._window[digest])


class KeptRows:
    """Gives packed rows by key, where they were kept when their runs were read."""

    def __init__(self, reader: IndexReader) -> None:
        self._reader = reader
        self._order: Sequence[bytes] = ()
        self._place: dict[bytes, int] = {}
        self._end = 0
        self._window: dict[bytes, bytes] = {}

    def expect(self, keys: Sequence[bytes]) -> None:
        """The keys that will be asked for, in order; some may be left out."""
        self._order, self._end, self._window = keys, 0, {}
        self._place = {key: place for place, key in enumerate(keys)}

    def get(self, key: bytes) -> bytes | None:
        """The packed row; None where none was kept."""
        place = self._place[key]
        if place >= self._end:
            self._end = place + _WINDOW
            self._window = self._reader.kept_rows(self._order[place : self._end])
        return self._window.get(key)
