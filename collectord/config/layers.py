"""What one source of the configuration says, where it says it, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

# More of a file is not read.
MAX_BYTES = 2**20
_CLOSE = 0.7
_SAME_SECTION = 0.1


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: `where` as the start of a finding about it."""

    where: str
    line: int = 0
    column: int = 0


Steps = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Given:
    """One value for one key: `source` for `config show`, `place` its own, `inner` those of its parts."""

    value: object
    source: str
    place: Place
    inner: Mapping[Steps, Place] = field(default_factory=dict)

    def place_of(self, steps: Steps) -> Place:
        """The place of a part, or of the nearest whole around it that has one."""
        while steps and steps not in self.inner:
            steps = steps[:-1]
        return self.inner[steps] if steps else self.place


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, as one line of the error."""

    where: str
    message: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


@dataclass(frozen=True, slots=True)
class Layer:
    """What one source says: values by dotted key, and findings in the order of the source."""

    given: dict[str, Given]
    findings: tuple[Finding, ...] = ()


def unknown(name: str, known: Iterable[str]) -> str:
    """The message for a key that does not exist, with the nearest one that does.

    The last part of a dotted name counts most, so that a key in the wrong section is found too.
    """
    nearest, score = "", 0.0
    for candidate in known:
        likeness = _likeness(name.casefold(), candidate)
        if likeness > score:
            nearest, score = candidate, likeness
    return f"unknown key, did you mean {nearest}?" if score >= _CLOSE else "unknown key"


def _likeness(name: str, candidate: str) -> float:
    from difflib import SequenceMatcher

    section, _, leaf = name.rpartition(".")
    candidate_section, _, candidate_leaf = candidate.rpartition(".")
    likeness = SequenceMatcher(None, leaf, candidate_leaf.casefold()).ratio()
    close_enough = likeness >= _CLOSE and section == candidate_section
    return likeness + (_SAME_SECTION if close_enough else 0.0)
