"""What is said of an environment, by its policy files or by runs, in one form that can be compared. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

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
