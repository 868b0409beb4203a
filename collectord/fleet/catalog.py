"""What lies on the storage of a fleet: the sources, and the newest whole push of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial

from collectord.fleet.manifest import (
    MAX_BYTES,
    SOURCES,
    Push,
    Unreadable,
    latest_name,
    latest_place,
    manifest_name,
    manifest_place,
    read_manifest,
    shard_place,
)
from collectord.fleet.storage import Storage, StorageError, TooLarge

_READERS = 16


@dataclass(frozen=True, slots=True)
class Source:
    """A source and its newest whole push; None where it has none. `problems` say what could not be taken."""

    name: str
    push: Push | None
    problems: tuple[str, ...] = ()
    sequences: tuple[int, ...] = ()


def sources_in(storage: Storage, glob: str = "*") -> list[Source]:
    """The sources whose name fits, by name; raises StorageError where the storage cannot be listed."""
    sizes = storage.files(SOURCES)
    listed = Listing(sizes)
    names = sorted(name for name in listed.sequences if fnmatchcase(name, glob))
    with ThreadPoolExecutor(_READERS) as pool:
        return list(pool.map(lambda name: _source_or_why(storage, name, listed), names))


def _source_or_why(storage: Storage, name: str, listed: Listing) -> Source:
    """A storage that fails gives no push: an older one in its place would be another dataset."""
    try:
        return source_in(storage, name, listed)
    except StorageError as error:
        return Source(name, None, (str(error),), listed.sequences[name])


@dataclass(frozen=True)
class Listing:
    """Names and sizes on a storage as they were listed: what was written last may be missing."""

    sizes: Mapping[str, int]
    sequences: dict[str, tuple[int, ...]] = field(init=False)

    def __post_init__(self) -> None:
        found: dict[str, set[int]] = {}
        for name in self.sizes:
            if place := manifest_place(name):
                found.setdefault(place[0], set()).add(place[1])
            elif (source := latest_place(name)) or (source := (shard_place(name) or ("",))[0]):
                found.setdefault(source, set())
        object.__setattr__(
            self, "sequences", {name: tuple(sorted(numbers)) for name, numbers in found.items()}
        )


def source_in(storage: Storage, name: str, listed: Listing) -> Source:
    """One source: the newest push that is whole, by its manifest and what lies beside it.

    Raises StorageError where the storage does not say.
    """
    sequences = listed.sequences.get(name, ())
    problems: list[str] = []
    latest = _tell(problems, "latest.json", partial(_latest, storage, name))
    for sequence in sorted({*sequences, *([latest.sequence] if latest else [])}, reverse=True):
        push = _tell(problems, f"push {sequence}", partial(pushed, storage, name, sequence))
        if push is not None:
            return Source(name, push, tuple(problems), sequences)
    nothing = ("no push of it is whole",) if name in listed.sequences else ()
    return Source(name, None, tuple(problems) or nothing, sequences)


def _tell(problems: list[str], what: str, read: Callable[[], Push | None]) -> Push | None:
    try:
        return read()
    except (Unreadable, TooLarge) as error:
        problems.append(f"{what}: {error}")
        return None


def _latest(storage: Storage, source: str) -> Push | None:
    data = storage.read(latest_name(source), MAX_BYTES)
    return None if data is None else read_manifest(data, source)


def pushed(storage: Storage, source: str, sequence: int) -> Push:
    """One push of a source; raises Unreadable where it is not whole, and StorageError."""
    data = storage.read(manifest_name(source, sequence), MAX_BYTES)
    if data is None:
        raise Unreadable("its manifest is not there")
    push = read_manifest(data, source, sequence)
    there = storage.size(push.shard)
    if there is None:
        raise Unreadable("its index is not there")
    if there != push.size:
        raise Unreadable(f"its index has {there} bytes instead of {push.size}")
    return push


def next_sequence(listed: Iterable[int], push: Push | None) -> int:
    """A number beyond each that was seen; a listing that is late has missed the newest."""
    return max([*listed, push.sequence if push else 0, 0]) + 1
