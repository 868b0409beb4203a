"""What an environment makes runs show: its components as facts. Pure (CONTRACT.md section 5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from collectord.cyntra.evidence import short, short_all
from collectord.cyntra.values import as_object, is_int, member, text_or_none, texts
from collectord.environment.facts import Fact, Facts

# A toolchain that is not there cannot have run, and a pair without a genome has none.
_CLOSED = frozenset({"toolchain", "genome"})
_GATES = {
    "test": "test_command",
    "typecheck": "typecheck_command",
    "lint": "lint_command",
    "build": "build_command",
}


def facts_of(components: Mapping[str, Any]) -> Facts:
    """The facts of an environment; what its components leave open, such as a model, is none."""
    found: dict[Fact, object] = {}
    found.update(_toolchains(as_object(components.get("toolchains"))))
    found.update(_genomes(as_object(components.get("prompts"))))
    found.update(_gates(as_object(components.get("gates"))))
    for domain, mode in as_object(member(components.get("control"), "modes")).items():
        found["control", domain] = mode
    found.update(_universe(as_object(components.get("universe"))))
    return Facts(found, _CLOSED)


def _toolchains(toolchains: Mapping[str, Any]) -> Iterator[tuple[Fact, object]]:
    for name, toolchain in toolchains.items():
        key = short(name)
        yield ("toolchain", key), bool(member(toolchain, "enabled"))
        # Without a model the agent chooses one itself.
        if (model := text_or_none(member(toolchain, "model"))) is not None:
            yield ("model", key), short(model)
        if is_int(seconds := member(toolchain, "timeout_seconds")):
            yield ("timeout", key), seconds


def _genomes(prompts: Mapping[str, Any]) -> Iterator[tuple[Fact, object]]:
    for pair, chosen in prompts.items():
        domain, _, toolchain = pair.partition("/")
        yield ("genome", domain, short(toolchain)), short(str(member(chosen, "genome_id")))


def _gates(gates: Mapping[str, Any]) -> Iterator[tuple[Fact, object]]:
    for name, key in _GATES.items():
        command = gates.get(key)
        if isinstance(command, str):
            yield ("gate", name), short(command)
        elif command is None:
            yield ("gate", name), None


def _universe(universe: Mapping[str, Any]) -> Iterator[tuple[Fact, object]]:
    if (name := text_or_none(universe.get("universe_id"))) is not None:
        yield ("universe",), short(name)
    defaults = universe.get("defaults")
    if isinstance(defaults, dict):
        swarm, objective = (text_or_none(defaults.get(key)) for key in ("swarm_id", "objective_id"))
        shown = None if swarm is None else short(swarm), None if objective is None else short(objective)
        yield ("universe_defaults",), shown
    if swarms := texts(universe.get("swarm_ids")):
        yield ("swarms",), short_all(sorted(swarms))
