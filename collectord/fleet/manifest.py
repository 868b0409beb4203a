"""What a push says of itself, and the names of its files. Whatever is read here was written by others."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from collectord.config.schema import is_source_name
from collectord.dataset.snapshot import pretty
from collectord.errors import CollectordError
from collectord.kernel.universe import Universe

SCHEMA = "collectord.fleet_push.v1"
SOURCES = "sources"
LATEST = "latest.json"
MAX_BYTES = 4 * 2**20
# What an index may be unpacked to, whatever its manifest says.
MAX_INDEX_BYTES = 256 * 2**30
_MANIFEST = re.compile(r"sources/(.+)/(\d{6,12})\.json", re.ASCII)
_SHARD = re.compile(r"sources/(.+)/(\d{6,12})-([0-9a-f]{64})\.sqlite3\.zst", re.ASCII)

# In the regular expressions of pydantic, `$` is the end of the text alone.
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Fingerprint = Annotated[str, StringConstraints(pattern=r"^(evidence-)?[0-9a-f]{6,64}$|^$")]
Text = Annotated[str, StringConstraints(max_length=4096)]
Number = Annotated[int, Field(ge=0, le=2**53)]
Time = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class Unreadable(CollectordError):
    """Something on the storage is not what it should be."""


class _Part(BaseModel):
    # What a newer collectord adds is left aside.
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class PushedEnvironment(_Part):
    """An environment of an index, with the runs that had it; `epochs` are their numbers.

    `document` is the digest of what is known of it, which lies beside the pushes; secrets in that are hidden.
    """

    fingerprint: Fingerprint
    origin: Text
    runs: Number
    epochs: tuple[Number, ...]
    document: Digest


class PushedEpoch(_Part):
    """An epoch of an index; `sealed` when no run can join it any more."""

    number: Number
    key: Text
    fingerprint: Fingerprint
    runs: Number
    first_ms: Time
    last_ms: Time
    sealed: bool


class PushedUniverse(_Part):
    """What the repo's universe adds to rows that recorded none; no index holds it."""

    universe_id: Text
    swarm_ids: tuple[Text, ...]
    default_swarm: Text | None
    default_objective: Text | None

    def as_universe(self) -> Universe:
        """As rows are made with it."""
        return Universe(self.universe_id, self.swarm_ids, self.default_swarm, self.default_objective)


class Push(_Part):
    """One push: a whole index at one moment.

    `sha256` and `size` are of the compressed file, `index_sha256` and `index_size` of the index in it,
    `index_schema` is its schema; `content` changes with all that datasets are made of. `identity` is drawn
    for each index.
    """

    schema_: Literal["collectord.fleet_push.v1"] = Field(alias="schema")
    source: Text
    sequence: Number
    sha256: Digest
    size: Number
    index_sha256: Digest
    index_size: Number
    index_schema: Text
    content: Digest
    identity: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    host: Text
    repo: Text
    collectord: Text
    made_ms: Time
    runs: Number
    first_ms: Time | None
    last_ms: Time | None
    environments: tuple[PushedEnvironment, ...]
    epochs: tuple[PushedEpoch, ...]
    universe: PushedUniverse

    @property
    def shard(self) -> str:
        """The name of the compressed index."""
        return f"{folder_of(self.source)}/{self.sequence:06}-{self.sha256}.sqlite3.zst"

    @property
    def manifest(self) -> str:
        """The name of the manifest."""
        return manifest_name(self.source, self.sequence)

    def as_bytes(self) -> bytes:
        """The manifest as it is stored."""
        return pretty(self.model_dump(mode="json", by_alias=True))


def folder_of(source: str) -> str:
    """Where the pushes of a source lie."""
    return f"{SOURCES}/{source}"


def manifest_name(source: str, sequence: int) -> str:
    """The name of the manifest of a push."""
    return f"{folder_of(source)}/{sequence:06}.json"


def latest_name(source: str) -> str:
    """The name of the file that repeats the newest manifest."""
    return f"{folder_of(source)}/{LATEST}"


def environment_name(source: str, digest: str) -> str:
    """The name of the document of an environment."""
    return f"{folder_of(source)}/environments/{digest}.json"


def manifest_place(name: str) -> tuple[str, int] | None:
    """(source, sequence) of a name that a manifest has; None for any other name."""
    return _place(_MANIFEST.fullmatch(name))


def shard_place(name: str) -> tuple[str, int] | None:
    """(source, sequence) of a name that a compressed index has; None for any other name."""
    return _place(_SHARD.fullmatch(name))


def latest_place(name: str) -> str | None:
    """The source whose newest manifest a name repeats; None for any other name."""
    source = name.removeprefix(f"{SOURCES}/").removesuffix(f"/{LATEST}")
    return source if name == latest_name(source) and is_source_name(source) else None


def _place(match: re.Match[str] | None) -> tuple[str, int] | None:
    return (match[1], int(match[2])) if match and is_source_name(match[1]) else None


def read_manifest(data: bytes, source: str, sequence: int | None = None) -> Push:
    """The manifest in some bytes that stood at the place of a source; raises Unreadable.

    Names of files are never taken from it: they follow from source, sequence and digest.
    """
    try:
        push = Push.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            raise Unreadable("is torn or not JSON") from None
        raise Unreadable(f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}") from None
    if push.source != source:
        raise Unreadable("names another source than the one that it lies with")
    if sequence is not None and push.sequence != sequence:
        raise Unreadable("has another sequence number than its name")
    if not 0 < push.sequence < 10**12 or push.index_size > MAX_INDEX_BYTES:
        raise Unreadable("has a number that no push has")
    return push
