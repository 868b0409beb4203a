"""What a fleet holds, for whoever looks: its sources, and the environments that they share or do not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from collectord.epochs.json_views import difference
from collectord.epochs.rules import Overrides
from collectord.fleet.catalog import Source, sources_in
from collectord.fleet.manifest import MAX_BYTES, PushedEnvironment, Unreadable, environment_name
from collectord.fleet.storage import Storage, StorageError
from collectord.index.schema import HEAD, REVISIONS
from collectord.kernel.values import as_object, text_or_none, texts
from collectord.model import Environment

LIST_SCHEMA = "collectord.fleet_sources.v1"
ENVIRONMENTS_SCHEMA = "collectord.fleet_environments.v1"


def trouble_of(source: Source) -> str | None:
    """Why the rows of a source cannot be had here, as far as its manifest tells; None where they can."""
    if source.push is None:
        return source.problems[-1] if source.problems else "it has no push"
    if source.push.index_schema not in REVISIONS:
        return (
            f"its index has schema {source.push.index_schema}, and this collectord knows up to {HEAD}: "
            "install a newer one here"
        )
    return None


def list_sources(storage: Storage, glob: str, now_ms: int) -> dict[str, Any]:
    """Every source that fits, by name."""
    found = sources_in(storage, glob)
    return {
        "schema": LIST_SCHEMA,
        "url": storage.url,
        "sources": [_source_document(source, now_ms) for source in found],
        "same_index": same_index(found),
    }


def _source_document(source: Source, now_ms: int) -> dict[str, Any]:
    push = source.push
    known = (
        {}
        if push is None
        else {
            "sequence": push.sequence,
            "runs": push.runs,
            "epochs": len(push.epochs),
            "environments": [one.fingerprint for one in push.environments],
            "made_ms": push.made_ms,
            "age_s": max(0, now_ms - push.made_ms) // 1000,
            "index_schema": push.index_schema,
            "bytes": push.size,
            "host": push.host,
            "repo": push.repo,
            "collectord": push.collectord,
            "identity": push.identity,
            "first_ms": push.first_ms,
            "last_ms": push.last_ms,
        }
    )
    return {
        "source": source.name,
        **known,
        "pushes": len(source.sequences),
        "trouble": trouble_of(source),
        "problems": list(source.problems),
    }


def same_index(sources: Sequence[Source]) -> list[list[str]]:
    """Names of sources that are one index, which would give each of its rows several times."""
    names: dict[str, list[str]] = {}
    for source in sources:
        if source.push is not None:
            names.setdefault(source.push.identity, []).append(source.name)
    return sorted(listed for listed in names.values() if len(listed) > 1)


@dataclass(frozen=True, slots=True)
class Shared:
    """An environment, and (source, what its manifest says of it) of each source that has it."""

    fingerprint: str
    holders: tuple[tuple[str, PushedEnvironment], ...]

    @property
    def runs(self) -> int:
        """Runs under it, of all sources."""
        return sum(one.runs for _, one in self.holders)


def shared_environments(sources: Sequence[Source]) -> list[Shared]:
    """Every environment, the one with the most runs first."""
    holders: dict[str, list[tuple[str, PushedEnvironment]]] = {}
    for source in sources:
        for one in source.push.environments if source.push else ():
            holders.setdefault(one.fingerprint, []).append((source.name, one))
    found = [Shared(fingerprint, tuple(listed)) for fingerprint, listed in holders.items()]
    return sorted(found, key=lambda shared: (-shared.runs, shared.fingerprint))


def list_environments(storage: Storage, glob: str) -> dict[str, Any]:
    """Every environment with its sources, and what tells each from the one with the most runs."""
    found = shared_environments(sources_in(storage, glob))
    first = _environment(storage, found[0]) if found else None
    return {
        "schema": ENVIRONMENTS_SCHEMA,
        "url": storage.url,
        "environments": [_shared_document(storage, shared, first) for shared in found],
    }


def _shared_document(storage: Storage, shared: Shared, first: Environment | str | None) -> dict[str, Any]:
    sources = [
        {"source": name, "runs": one.runs, "epochs": list(one.epochs)} for name, one in sorted(shared.holders)
    ]
    return {
        "fingerprint": shared.fingerprint,
        "origin": shared.holders[0][1].origin,
        "runs": shared.runs,
        "sources": sources,
        **_told_apart(first, _environment(storage, shared)),
    }


def _told_apart(first: Environment | str | None, other: Environment | str) -> dict[str, Any]:
    """`differs` from the first environment; None with `why` where that cannot be told."""
    for one in (first, other):
        if not isinstance(one, Environment):
            return {"differs": None, "why": one}
    assert isinstance(first, Environment)
    assert isinstance(other, Environment)
    if first.fingerprint == other.fingerprint:
        return {"differs": None, "why": None}
    try:
        found = difference(first, other, Overrides(), 0)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        return {"differs": None, "why": f"cannot be compared: {type(error).__name__}"}
    hidden = [
        name
        for name, digest in other.digests.items()
        if first.digests.get(name) != digest and first.components.get(name) == other.components.get(name)
    ]
    return {"differs": {**found, "in_hidden_values_of": hidden}, "why": None}


def _environment(storage: Storage, shared: Shared) -> Environment | str:
    """What is known of an environment, from whichever source has it whole; else why it is not known."""
    if not shared.fingerprint:
        return "these runs show nothing of their environment"
    why = "nobody has it"
    for source, one in shared.holders:
        try:
            data = storage.read(environment_name(source, one.document), MAX_BYTES)
            return read_environment(data, one)
        except (Unreadable, StorageError) as error:
            why = str(error)
    return why


def read_environment(data: bytes | None, pushed: PushedEnvironment) -> Environment:
    """The environment in a document of a push; raises Unreadable where it is not what was pushed."""
    if data is None or sha256(data).hexdigest() != pushed.document:
        raise Unreadable("its document is missing or not what was pushed")
    try:
        document = as_object(json.loads(data))
    except (ValueError, RecursionError):
        raise Unreadable("its document is not JSON") from None
    digests = as_object(document.get("digests"))
    are_texts = all(isinstance(digest, str) for digest in digests.values())
    if document.get("fingerprint") != pushed.fingerprint or not are_texts:
        raise Unreadable("its document is of another environment")
    return Environment(
        pushed.fingerprint,
        text_or_none(document.get("origin")) or pushed.origin,
        0,
        digests,
        as_object(document.get("components")),
        tuple(texts(document.get("unrecognised"))),
    )
