"""What people ask of the index beside its writer: cuts, acknowledgements, the history of the repo.

While a daemon holds the index, a request is a file in the state folder, which the daemon carries out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

from collectord.cyntra.jsonio import JsonObject, Unparsable, ascii_json, parse_object
from collectord.fs import atomic_write, ensure_private_dir
from collectord.index.alerts import acknowledge
from collectord.index.engine import IndexConnection
from collectord.index.environments import forget_observations, keep_cut, keep_environment, keep_observation
from collectord.model import GIT, Environment, EnvironmentObservation

FOLDER = "requests"
MAX_BYTES = 256 * 2**20


def cut(why: str, at_ms: int) -> JsonObject:
    """Ask for a cut at that time."""
    return {"kind": "cut", "why": why, "at_ms": at_ms}


def ack(ids: Iterable[int] | None, at_ms: int) -> JsonObject:
    """Ask for alerts to be marked as seen, all of them for None."""
    return {"kind": "ack", "ids": None if ids is None else sorted(ids), "at_ms": at_ms}


def history(found: Iterable[tuple[Environment, EnvironmentObservation]], at_ms: int) -> JsonObject:
    """Ask for the repo's history to be kept in place of what was read of it before."""
    listed = [[asdict(environment), asdict(observation)] for environment, observation in found]
    return {"kind": "history", "found": listed, "at_ms": at_ms}


def carry_out(connection: IndexConnection, request: JsonObject) -> int:
    """Do what a request asks; returns how many things changed. Raises KeyError for one that is none."""
    at_ms = request["at_ms"]
    match request["kind"]:
        case "cut":
            keep_cut(connection, at_ms, request["why"])
            return 1
        case "ack":
            return acknowledge(connection, request["ids"], at_ms)
        case "history":
            return _keep_history(connection, request["found"], at_ms)
    raise KeyError(request["kind"])


def _keep_history(connection: IndexConnection, found: list[Any], at_ms: int) -> int:
    forget_observations(connection, GIT)
    for environment, observation in found:
        unrecognised = tuple(environment["unrecognised"])
        keep_environment(connection, Environment(**{**environment, "unrecognised": unrecognised}), at_ms)
        keep_observation(connection, EnvironmentObservation(**observation))
    return len(found)


def leave(state_dir: Path, request: JsonObject) -> Path:
    """Leave a request for the daemon; the same one twice is one."""
    folder = state_dir / FOLDER
    ensure_private_dir(folder)
    data = ascii_json(request).encode("ascii")
    path = folder / f"{request['at_ms']:016d}-{sha256(data).hexdigest()[:16]}.json"
    atomic_write(path, data)
    return path


def left(state_dir: Path) -> Iterator[tuple[Path, JsonObject | None]]:
    """The requests that were left, the oldest first; None for a file that is none."""
    folder = state_dir / FOLDER
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        try:
            yield path, parse_object(path.read_bytes()[:MAX_BYTES])
        except (OSError, Unparsable):
            yield path, None
