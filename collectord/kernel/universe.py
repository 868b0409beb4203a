"""The universe registry as the dataset builder reads it (CONTRACT.md 6.3). Pure: the files are given."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from collectord.kernel.jsonio import JsonObject, is_encodable
from collectord.kernel.values import as_object, is_int, member, text_or_none

UNKNOWN = "unknown"
DEFAULT_SWARMS = ("serial_handoff", "speculate_vote")

_ID = re.compile(r"[a-z][a-z0-9_]*")
_KEYS = frozenset({"schema_version", "universe_id", "name", "description", "worlds", "policies", "defaults"})
_WORLD_KEYS = frozenset({"world_id", "world_kind", "path"})
_WORLD_KINDS = frozenset({"fab_world", "codebase", "dataset", "simulation"})


@dataclass(frozen=True)
class Universe:
    """What a universe contributes to a planner input; the defaults stand where it is not valid.

    `policies` are what it adds to the configuration of a kernel that is started with it.
    """

    universe_id: str = UNKNOWN
    swarm_ids: tuple[str, ...] = DEFAULT_SWARMS
    default_swarm: str | None = None
    default_objective: str | None = None
    populations: Mapping[str, int] = field(default_factory=dict)
    policies: Mapping[str, Any] = field(default_factory=dict)

    def defaults(self) -> JsonObject:
        """The `universe_defaults` member of a planner input."""
        return {"swarm_id": self.default_swarm, "objective_id": self.default_objective}


def from_documents(
    universe_id: str,
    universe: Any,
    swarms: Any | None,
    objectives: Any | None,
    *,
    path_is_inside: Callable[[str], bool],
) -> Universe:
    """The universe of parsed YAML documents; a catalog that does not exist is None.

    `path_is_inside` says whether a world's path lies inside the repo and exists.
    """
    if not _is_valid(universe_id, universe, path_is_inside):
        return Universe(universe_id)
    swarm = text_or_none(member(universe, "defaults", "swarm_id"))
    objective = text_or_none(member(universe, "defaults", "objective_id"))
    if not is_encodable([swarm, objective]):
        return Universe(universe_id)
    if not (_catalog_is_valid(swarms, "swarms") and _catalog_is_valid(objectives, "objectives")):
        return Universe(universe_id)
    catalog = as_object(member(swarms, "swarms"))
    return Universe(
        universe_id,
        tuple(sorted(catalog)) or DEFAULT_SWARMS,
        swarm,
        objective,
        {name: size for name, swarm in catalog.items() if (size := _population(swarm)) is not None},
        as_object(universe.get("policies")),
    )


def _population(swarm: Any) -> int | None:
    size = member(swarm, "population_size")
    return size if is_int(size) and size > 0 else None


def _is_valid(universe_id: str, universe: Any, path_is_inside: Callable[[str], bool]) -> bool:
    if not isinstance(universe, dict) or not _KEYS.issuperset(map(str, universe)):
        return False
    if universe.get("schema_version") != "1.0" or universe.get("universe_id") != universe_id:
        return False
    if not _ID.fullmatch(universe_id):
        return False
    worlds = universe.get("worlds")
    return (
        isinstance(worlds, list) and bool(worlds) and all(_world_is_valid(w, path_is_inside) for w in worlds)
    )


def _world_is_valid(world: Any, path_is_inside: Callable[[str], bool]) -> bool:
    if not isinstance(world, dict) or not _WORLD_KEYS.issuperset(map(str, world)):
        return False
    path = world.get("path")
    return (
        text_or_none(world.get("world_id")) is not None
        and text_or_none(world.get("world_kind")) in _WORLD_KINDS
        and isinstance(path, str)
        and path_is_inside(path)
    )


def _catalog_is_valid(catalog: Any | None, key: str) -> bool:
    if catalog is None:
        return True
    entries = member(catalog, key)
    return (
        member(catalog, "schema_version") == "1.0"
        and isinstance(entries, dict)
        and all(isinstance(name, str) and isinstance(entry, dict) for name, entry in entries.items())
        and is_encodable(list(entries))
    )
