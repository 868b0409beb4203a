"""What an answer finds: first what to do, then why. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What `--fail-on` may name; each finding is of one kind."""

    OUT = "out"
    BLOCKED = "blocked"
    CONFLICT = "conflict"
    DRIFT = "drift"
    ENVIRONMENT = "environment"
    DISAGREEMENT = "disagreement"
    QUALITY = "quality"
    UNSTEADY = "unsteady"
    PRESSURE = "pressure"
    COLLECTION = "collection"
    UNDETERMINED = "undetermined"
    NOTE = "note"


# What is done first stands first: what falsifies data, then what stops the filling, then what to fill.
_ORDER = (
    Kind.COLLECTION,
    Kind.ENVIRONMENT,
    Kind.DISAGREEMENT,
    Kind.BLOCKED,
    Kind.CONFLICT,
    Kind.OUT,
    Kind.DRIFT,
    Kind.PRESSURE,
    Kind.UNSTEADY,
    Kind.QUALITY,
    Kind.UNDETERMINED,
    Kind.NOTE,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """`do` is one thing to do, in the imperative; `why` the numbers behind it."""

    kind: Kind
    answer: str
    do: str
    why: str


def in_order(findings: list[Finding]) -> list[Finding]:
    """Findings by what to do first; those of a kind stay as they came."""
    return sorted(findings, key=lambda finding: _ORDER.index(finding.kind))
