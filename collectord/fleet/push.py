"""One index onto the storage: a verified copy under its digest, its manifest, and last the pointer to it."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collectord.config.schema import OFF
from collectord.dataset.jsonl import file_sha256
from collectord.dataset.snapshot import pretty
from collectord.epochs.epochs import EVIDENCE, NONE
from collectord.epochs.json_views import environment_document
from collectord.epochs.outline import Outline, outline_for
from collectord.errors import CollectordError, ConfigError, LockHeld
from collectord.fleet.catalog import Listing, Source, next_sequence, source_in
from collectord.fleet.manifest import (
    SCHEMA,
    Push,
    PushedEnvironment,
    PushedEpoch,
    PushedUniverse,
    environment_name,
    folder_of,
    latest_name,
    manifest_name,
    manifest_place,
    shard_place,
)
from collectord.fleet.pins import FOLDER as PINS
from collectord.fleet.pins import pinned
from collectord.fleet.storage import CHUNK, Storage, StorageError, TooLarge, open_storage
from collectord.index.environments import seals
from collectord.index.identity import give_identity, identity, lasting_content
from collectord.index.info import PUSHED
from collectord.index.opening import now_ms, reader_for, writer_for
from collectord.index.reader import IndexReader
from collectord.index.schema import HEAD
from collectord.kernel.jsonio import canonical
from collectord.kernel.universe import Universe
from collectord.model import Epoch
from collectord.repair.backups import PUSHING, make_backup, scratch_folder
from collectord.repo.files import load_universe

if TYPE_CHECKING:
    from collectord.config import Settings

_LEVEL = 3
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did; `is_new` is False where the newest push holds the same. `removed` are older pushes."""

    push: Push
    url: str
    is_new: bool
    removed: tuple[int, ...] = ()
    problems: tuple[str, ...] = ()


def push(settings: Settings) -> Pushed:
    """Push the index; beside a running daemon at any time. Raises CollectordError.

    The same index again makes nothing new. A source that another index has is refused.
    """
    url, source = place_of(settings)
    own = _own_identity(settings)
    storage = open_storage(url)
    with scratch_folder(settings.state_dir, PUSHING, "collectord fleet push") as scratch:
        done = _Pushing(settings, storage, source, own, scratch).run()
    # A daemon that holds the index notes by itself when its job is done.
    with suppress(LockHeld), writer_for(settings, "collectord fleet push") as writer:
        writer.set_info(PUSHED, str(now_ms()))
    return done


def place_of(settings: Settings) -> tuple[str, str]:
    """(URL, source) as they are configured; raises ConfigError where one is missing."""
    fleet = settings.config.fleet
    for key, value, example in (
        ("fleet.url", fleet.url, "s3://bucket/prefix or /mnt/fleet"),
        ("fleet.source", fleet.source, f"{_host()}/{settings.repo.name}"),
    ):
        if value == OFF:
            raise ConfigError(
                f"{key}: is not set, so there is no place to push to; write for instance {example}"
            )
    return fleet.url, fleet.source


def _host() -> str:
    return platform.node() or "host"


def _own_identity(settings: Settings) -> str:
    with reader_for(settings) as reader:
        known = identity(reader)
    if known is not None:
        return known
    try:
        with writer_for(settings, "collectord fleet push") as writer:
            return give_identity(writer)
    except LockHeld as held:
        raise LockHeld(
            f"{held}. The index has no identity yet, and only its writer can give it one: set fleet.url and "
            "fleet.source in the configuration of the daemon and reload it, or stop it for the first push"
        ) from held


@dataclass(frozen=True)
class _Pushing:
    settings: Settings
    storage: Storage
    source: str
    identity: str
    scratch: Path

    def run(self) -> Pushed:
        listed = Listing(self.storage.files(folder_of(self.source)))
        newest = source_in(self.storage, self.source, listed)
        self._refuse_another(newest)
        universe = load_universe(self.settings.repo, None)
        with reader_for(self.settings) as reader:
            content = content_of(reader, universe)
        if newest.push is not None and newest.push.content == content:
            self._repeat(newest.push)
            return Pushed(newest.push, self.storage.url, is_new=False, problems=newest.problems)
        made = self._make(universe, next_sequence(listed.sequences.get(self.source, ()), newest.push))
        removed, problems = self._remove_expired(made)
        problems = (*newest.problems, *_moved(newest.push, made), *problems)
        return Pushed(made, self.storage.url, True, removed, problems)

    def _refuse_another(self, newest: Source) -> None:
        there = newest.push
        if there is not None and there.identity != self.identity:
            raise CollectordError(
                f"{self.storage.url}: the source {self.source} is the index of {there.repo} on {there.host}, "
                f"and this is the index of {self.settings.repo} on {_host()}: give one of them another "
                "fleet.source. Nothing was pushed"
            )

    def _repeat(self, there: Push) -> None:
        """The pointer may be half written, or of the push before: the manifest counts."""
        if not self._holds(latest_name(self.source), there.as_bytes()):
            self.storage.replace(latest_name(self.source), there.as_bytes())

    def _holds(self, name: str, data: bytes) -> bool:
        try:
            return self.storage.read(name, len(data)) == data
        except TooLarge:
            return False

    def _make(self, universe: Universe, sequence: int) -> Push:
        copy, packed = self.scratch / "index.sqlite3", self.scratch / "index.zst"
        make_backup(self.settings.index_path, copy)
        digest = _compress(copy, packed)
        found = facts_of(self.settings, copy, universe)
        for document in found.documents:
            self._put_document(document)
        facts = {
            **found.members,
            "schema": SCHEMA,
            "source": self.source,
            "sha256": digest,
            "size": packed.stat().st_size,
            "identity": self.identity,
            "host": _host(),
            "repo": str(self.settings.repo),
            "made_ms": now_ms(),
        }
        for number in range(sequence, sequence + _TRIES):
            made = Push.model_validate({**facts, "sequence": number})
            self.storage.put(packed, made.shard)
            if self._claim(made):
                self.storage.replace(latest_name(self.source), made.as_bytes())
                return made
        raise StorageError(
            f"{self.storage.url}: others push to the source {self.source} at the same time; push again"
        )

    def _put_document(self, data: bytes) -> None:
        name = environment_name(self.source, sha256(data).hexdigest())
        if self.storage.size(name) != len(data):
            self.storage.replace(name, data)

    def _claim(self, made: Push) -> bool:
        """Write the manifest, which makes the push one; False where its number is taken."""
        try:
            self.storage.create(made.manifest, made.as_bytes())
        except FileExistsError:
            # By an answer that was lost it can be our own.
            if not self._holds(made.manifest, made.as_bytes()):
                self.storage.remove(made.shard)
                self._refuse_another(source_in(self.storage, self.source, Listing({made.manifest: 0})))
                return False
        return True

    def _remove_expired(self, made: Push) -> tuple[tuple[int, ...], tuple[str, ...]]:
        """Remove older pushes beyond the rule; what the storage does not let go costs no push."""
        try:
            names = self.storage.files(folder_of(self.source))
            kept = pinned(self.storage, self.source, made.made_ms)
            if kept is None:
                return (), (
                    f"{self.storage.url}/{PINS}: a file in it cannot be read, so no older push is removed",
                )
            return self._remove(made, names, kept), ()
        except StorageError as error:
            return (), (f"older pushes stay: {error}",)

    def _remove(self, made: Push, names: Iterable[str], kept: frozenset[int]) -> tuple[int, ...]:
        places = [(name, manifest_place(name), shard_place(name)) for name in names]
        whole = {manifest[1] for _, manifest, _ in places if manifest and manifest[0] == self.source}
        gone = expired(whole, self.settings.config.fleet.keep, made.sequence, kept)
        # First what makes it a push: a manifest without its index would be a push that is not whole.
        for sequence in gone:
            self.storage.remove(manifest_name(self.source, sequence))
        for name, _, shard in places:
            if shard and shard[0] == self.source and self._is_left(shard[1], made.sequence, kept):
                self.storage.remove(name)
        return tuple(gone)

    def _is_left(self, sequence: int, newest: int, kept: frozenset[int]) -> bool:
        """Whether an index belongs to no push: to one that went, or was killed before its manifest.

        Asked by its name: a listing that is late may lack the manifest of a push that is whole.
        """
        if sequence >= newest or sequence in kept:
            return False
        return self.storage.size(manifest_name(self.source, sequence)) is None


def _moved(before: Push | None, made: Push) -> Iterable[str]:
    """An index that was copied with its repo has the identity of the first; nobody else can tell."""
    if before is not None and (before.host, before.repo) != (made.host, made.repo):
        yield (
            f"the push before came from {before.repo} on {before.host}: good where the repo moved; where "
            "both are in use, they are copies of one index and push over each other"
        )


def expired(sequences: Iterable[int], keep: int, newest: int, kept: frozenset[int]) -> list[int]:
    """Which pushes go: beyond the number to keep, never the newest, none that a dataset names. Pure."""
    older = sorted((number for number in sequences if number < newest), reverse=True)
    return sorted(number for number in older[max(keep, 1) - 1 :] if number not in kept)


def content_of(reader: IndexReader, universe: Universe) -> str:
    """Digest of all that rows are made of: the index, and what the repo's universe adds to them."""
    added = canonical(pushed_universe(universe).model_dump(mode="json"))
    return sha256(f"{lasting_content(reader)}\0{added}".encode("utf-8", "surrogatepass")).hexdigest()


def pushed_universe(universe: Universe) -> PushedUniverse:
    """What a universe adds to rows."""
    return PushedUniverse(
        universe_id=universe.universe_id,
        swarm_ids=universe.swarm_ids,
        default_swarm=universe.default_swarm,
        default_objective=universe.default_objective,
    )


@dataclass(frozen=True, slots=True)
class Facts:
    """Members of a manifest that an index gives, and the documents of its environments."""

    members: dict[str, Any]
    documents: list[bytes]


def facts_of(settings: Settings, index: Path, universe: Universe) -> Facts:
    """What the manifest tells of an index file that nobody writes, a copy of the repo's."""
    with IndexReader(index) as reader:
        found = outline_for(settings, reader.connection)
        sealed = {key for key, seal in seals(reader.connection).items() if seal.sealed_ms is not None}
        content = content_of(reader, universe)
    runs = Counter(placement.fingerprint for _, placement in found.runs())
    documents = {name: _document(found, name) for name in sorted(runs)}
    members = {
        "index_sha256": file_sha256(index),
        "index_size": index.stat().st_size,
        "index_schema": HEAD,
        "content": content,
        "collectord": version("collectord"),
        "runs": runs.total(),
        "first_ms": min((epoch.first_ms for epoch in found.epochs), default=None),
        "last_ms": max((epoch.last_ms for epoch in found.epochs), default=None),
        "environments": tuple(
            _environment(found, name, runs[name], data) for name, data in documents.items()
        ),
        "epochs": tuple(_epoch(epoch, epoch.key in sealed) for epoch in found.epochs),
        "universe": pushed_universe(universe),
    }
    return Facts(members, list(documents.values()))


def _document(found: Outline, fingerprint: str) -> bytes:
    known = fingerprint in found.environments or fingerprint in found.shown
    return pretty(environment_document(found.environment(fingerprint)) if known else {})


def _environment(found: Outline, fingerprint: str, runs: int, document: bytes) -> PushedEnvironment:
    known = found.environments.get(fingerprint)
    return PushedEnvironment(
        fingerprint=fingerprint,
        origin=known.origin if known else EVIDENCE if fingerprint else NONE,
        runs=runs,
        epochs=tuple(epoch.number for epoch in found.epochs if epoch.fingerprint == fingerprint),
        document=sha256(document).hexdigest(),
    )


def _epoch(epoch: Epoch, sealed: bool) -> PushedEpoch:
    shown = {
        name: getattr(epoch, name) for name in ("number", "key", "fingerprint", "runs", "first_ms", "last_ms")
    }
    return PushedEpoch(**shown, sealed=sealed)


def _compress(source: Path, target: Path) -> str:
    """Compress a file; gives the sha256 of what was written."""
    import zstandard

    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
    compressing = compressor.compressobj(size=source.stat().st_size)
    digest = sha256()
    with source.open("rb") as read, target.open("xb") as write:
        while chunk := read.read(CHUNK):
            write.write(packed := compressing.compress(chunk))
            digest.update(packed)
        write.write(packed := compressing.flush())
        digest.update(packed)
    return digest.hexdigest()
