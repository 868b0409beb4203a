"""The parsed files of a repo → the environment. Project first, then normalise; hashing comes last."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from collectord.kernel.jsonio import JsonObject
from collectord.kernel.policy.components import (
    SCHEDULING_DEFAULTS,
    enabled,
    normalise_control,
    normalise_gates,
    normalise_planner,
    normalise_scheduling,
    normalise_speculation,
    normalise_toolchains,
    pointer,
    section,
    select_genome,
    unknown,
)
from collectord.kernel.policy.routing import normalise_routing
from collectord.kernel.policy.surface import COMPONENTS, DOMAINS, Surface
from collectord.kernel.universe import Universe

_TOP_LEVEL = (
    "version",
    "include",
    "toolchain_priority",
    "toolchains",
    "routing",
    "speculation",
    "control",
    "gates",
    "planner",
    "scheduling",
    *SCHEDULING_DEFAULTS,
)


@dataclass(frozen=True)
class Genomes:
    """The prompt genomes of a repo: the parsed frontier (None where there is none), the ids that have a
    file by "domain/toolchain", and the digest of what the file of one (pair, id) says.
    """

    frontier: Any = None
    ids: Mapping[str, frozenset[str]] = field(default_factory=dict)
    digest: Callable[[str, str], str] = lambda pair, genome_id: ""


def normalise(
    config: JsonObject,
    *,
    universe: Universe | None = None,
    genomes: Genomes | None = None,
    report: Any = None,
    speculates_always: bool = False,
) -> Surface:
    """The environment of a configuration with its includes merged.

    `universe` is the one that the kernel is started with, `speculates_always` its option `--speculate`,
    `report` the parsed dynamics report, None where there is none. Raises PolicyUnreadable where a kernel
    could not work with what is written.
    """
    universe = universe or Universe()
    policies = dict(universe.policies)
    routing, odd_routing = normalise_routing(config, _overrides(policies))
    toolchains, odd_toolchains = normalise_toolchains(
        config, routing["toolchain_priority"], _cap_seconds(policies)
    )
    speculation, odd_speculation = normalise_speculation(config)
    control, odd_control = normalise_control(config, report)
    gates, odd_gates = normalise_gates(config)
    planner, odd_planner = normalise_planner(config)
    scheduling, odd_scheduling = normalise_scheduling(config)
    components = {
        "universe": _universe(universe),
        "prompts": _prompts(genomes or Genomes(), enabled(toolchains)),
        "routing": routing,
        # Only where it is so: all other environments keep the fingerprints that they had.
        "speculation": {**speculation, "forced": True} if speculates_always else speculation,
        "control": control,
        "toolchains": toolchains,
        "gates": gates,
        "planner": planner,
        "scheduling": scheduling,
    }
    odd = [*odd_routing, *odd_toolchains, *odd_speculation, *odd_control, *odd_gates, *odd_planner]
    odd += [*odd_scheduling, *_top_level(config), *_odd_policies(policies)]
    return Surface({name: components[name] for name in COMPONENTS}, tuple(sorted(odd)))


def _universe(universe: Universe) -> JsonObject:
    return {
        "universe_id": universe.universe_id,
        "defaults": universe.defaults(),
        "swarm_ids": list(universe.swarm_ids),
        "populations": dict(universe.populations),
    }


def _prompts(genomes: Genomes, toolchains: list[str]) -> JsonObject:
    """{"domain/toolchain": {genome_id, content}} of every pair that can run and has a genome."""
    selected: JsonObject = {}
    for pair in (f"{domain}/{toolchain}" for domain in DOMAINS for toolchain in toolchains):
        genome_id = select_genome(genomes.frontier, genomes.ids.get(pair, frozenset()))
        if genome_id is not None:
            selected[pair] = {"genome_id": genome_id, "content": genomes.digest(pair, genome_id)}
    return selected


def _overrides(policies: JsonObject) -> list[Any]:
    overrides = policies.get("routing_overrides")
    return overrides if isinstance(overrides, list) else []


def _cap_seconds(policies: JsonObject) -> int | None:
    minutes = section(policies, "budgets").get("max_run_minutes")
    return minutes * 60 if isinstance(minutes, int) and minutes > 0 else None


def _top_level(config: JsonObject) -> list[str]:
    return [pointer(key) for key in config if key not in _TOP_LEVEL]


def _odd_policies(policies: JsonObject) -> list[str]:
    known = ("max_run_minutes", "max_concurrent_workcells")
    odd = unknown(policies, ("budgets", "routing_overrides"), "universe", "policies")
    return odd + unknown(policies.get("budgets"), known, "universe", "policies", "budgets")
