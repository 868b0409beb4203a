"""What rows are made of, from the index in the order in which they want it, fetched a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

from collectord.cyntra.jsonio import JsonObject, parse_object
from collectord.errors import IndexDamaged
from collectord.index.reader import IndexReader

_WINDOW = 128
K = TypeVar("K", bound=Hashable)


class _Ahead(Generic[K]):
    """Values by key from the index, in windows of the order in which they will be asked for."""

    def __init__(self, fetch: Callable[[Sequence[K]], Mapping[K, bytes]]) -> None:
        self._fetch = fetch
        self._order: Sequence[K] = ()
        self._place: dict[K, int] = {}
        self._fetched = range(0)
        self._window: Mapping[K, bytes] = {}

    def expect(self, order: Sequence[K]) -> None:
        self._order, self._fetched, self._window = order, range(0), {}
        self._place = {key: place for place, key in enumerate(order)}

    def get(self, key: K) -> bytes | None:
        if key not in self._window and (place := self._place[key]) not in self._fetched:
            self._fetched = range(place, place + _WINDOW)
            self._window = self._fetch(self._order[place : place + _WINDOW])
        return self._window.get(key)


class Manifests:
    """Gives parsed manifests by digest; what is fetched ahead is bounded."""

    def __init__(self, reader: IndexReader) -> None:
        self.reader = reader
        self._ahead = _Ahead(reader.artifacts)

    def expect(self, digests: Sequence[str]) -> None:
        """The digests that will be asked for, in order; some may be left out."""
        self._ahead.expect(digests)

    def get(self, digest: str) -> JsonObject:
        """The parsed manifest; it parsed when it was ingested. Raises IndexDamaged where it is lost."""
        data = self._ahead.get(digest)
        if data is None:
            raise IndexDamaged(f"artifact {digest}: is not in the index; run `collectord db recover`")
        return parse_object(data)


class KeptRows:
    """Gives packed rows by key, where they were kept when their runs were read."""

    def __init__(self, reader: IndexReader) -> None:
        self._ahead = _Ahead(reader.kept_rows)

    def expect(self, keys: Sequence[bytes]) -> None:
        """The keys that will be asked for, in order; some may be left out."""
        self._ahead.expect(keys)

    def get(self, key: bytes) -> bytes | None:
        """The packed row; None where none was kept."""
        return self._ahead.get(key)
