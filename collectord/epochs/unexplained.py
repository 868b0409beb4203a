"""What is said of an environment, by its policy files or by runs, in one form that can be compared; and
environments that only runs show. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from collectord.kernel.evidence import short, short_all
from collectord.kernel.jsonio import ascii_json
from collectord.kernel.values import as_object, is_int, member, text_or_none, texts
from collectord.model import Evidence

Fact = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """`values` by what they are about, such as (model, codex); of what is `closed` there are no others."""

    values: Mapping[Fact, object]
    closed: frozenset[str] = field(default_factory=frozenset)

    def contradicts(self, other: Facts) -> tuple[Fact, ...]:
        """What of the other facts cannot be where these are, sorted."""
        return tuple(sorted(fact for fact, value in other.values.items() if self._excludes(fact, value)))

    def agrees(self, other: Facts) -> bool:
        """Whether both can be of one environment."""
        return not any(self._excludes(fact, value) for fact, value in other.values.items())

    def _excludes(self, fact: Fact, value: object) -> bool:
        if fact in self.values:
            return self.values[fact] != value
        return fact[0] in self.closed

    def confirms(self, other: Facts) -> bool:
        """Whether any of the other facts is one of these."""
        return any(fact in self.values and self.values[fact] == value for fact, value in other.values.items())

    def joined(self, other: Facts) -> Facts:
        """These facts and the others."""
        return Facts({**other.values, **self.values}, self.closed)


def facts_shown(evidence: Evidence) -> Facts:
    """What a run shows of its environment."""
    return Facts({fact: value for fact, value in _shown(evidence) if value is not None})


def _shown(evidence: Evidence) -> Iterator[tuple[Fact, object]]:
    if evidence.toolchain is not None:
        yield ("toolchain", evidence.toolchain), True
        yield ("model", evidence.toolchain), evidence.model
        yield ("timeout", evidence.toolchain), evidence.timeout_seconds
        if evidence.domain is not None:
            yield ("genome", evidence.domain, evidence.toolchain), evidence.prompt_genome_id
    for name, command in evidence.gates or ():
        yield ("gate", name), command
    if evidence.domain is not None:
        yield ("control", evidence.domain), evidence.control_mode
    yield ("universe",), evidence.universe_id
    yield ("universe_defaults",), evidence.universe_defaults
    yield ("swarms",), evidence.swarm_ids


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


PREFIX = "evidence-"


@dataclass(slots=True)
class _Gathered:
    fingerprint: str
    facts: Facts
    runs: int = 0


class Gathering:
    """Puts evidence together that can be of one environment; given in dispatch order.

    Equal evidence is always of the same environment; other evidence joins the one of those it can be of
    that most runs had by then, the latest of equals. So a few odd runs make a few environments, however
    they are mixed with others. Each has the fingerprint of the evidence that it began with, which stays
    as it is when more comes in.
    """

    def __init__(self) -> None:
        self._gathered: list[_Gathered] = []
        self._known: dict[str, _Gathered] = {}

    def add(self, text: str, facts: Facts) -> None:
        """Take in the evidence of one run, and what it says."""
        if text not in self._known:
            self._known[text] = self._joined(facts)
        self._known[text].runs += 1

    def _joined(self, facts: Facts) -> _Gathered:
        fitting = [gathered for gathered in reversed(self._gathered) if gathered.facts.agrees(facts)]
        if not fitting:
            self._gathered.append(_Gathered(_fingerprint(facts), facts))
            return self._gathered[-1]
        largest = max(fitting, key=lambda gathered: gathered.runs)
        largest.facts = largest.facts.joined(facts)
        return largest

    def fingerprint_of(self, text: str) -> str:
        """The environment of evidence that was taken in."""
        return self._known[text].fingerprint

    def can_be_of(self, fingerprint: str, facts: Facts) -> bool:
        """Whether facts can be of a gathered environment."""
        return any(g.facts.agrees(facts) for g in self._gathered if g.fingerprint == fingerprint)

    def facts(self) -> dict[str, Facts]:
        """Fingerprint → all that is known of it."""
        return {gathered.fingerprint: gathered.facts for gathered in self._gathered}


def _fingerprint(facts: Facts) -> str:
    listed = ascii_json(sorted([list(fact), value] for fact, value in facts.values.items()))
    return PREFIX + sha256(listed.encode("ascii")).hexdigest()
