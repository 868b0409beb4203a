"""Manifests from the index in the order in which rows want them, fetched a few at a time."""

from __future__ import annotations

from collections.abc import Sequence

from collectord.cyntra.jsonio import JsonObject, parse_object
from collectord.index.reader import IndexReader

_WINDOW = 128


class Manifests:
    """Gives parsed manifests by digest; what is fetched ahead is bounded."""

    def __init__(self, reader: IndexReader) -> None:
        self._reader = reader
        self._order: Sequence[str] = ()
        self._place: dict[str, int] = {}
        self._window: dict[str, bytes] = {}

    def expect(self, digests: Sequence[str]) -> None:
        """The digests that will be asked for, in order; some may be left out."""
        self._order = digests
        self._place = {digest: place for place, digest in enumerate(digests)}

    def get(self, digest: str) -> JsonObject:
        """The parsed manifest; it parsed when it was ingested."""
        if digest not in self._window:
            place = self._place[digest]
            self._window = self._reader.artifacts(self._order[place : place + _WINDOW])
        return parse_object(self._window[digest])
