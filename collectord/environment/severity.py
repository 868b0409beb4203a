"""How much a change matters, and what the configuration says about that. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collectord.config.schema import Environment

EPOCH, WARN, INFO = "epoch", "warn", "info"
SEVERITIES = (EPOCH, WARN, INFO)


@dataclass(frozen=True, slots=True)
class Ignored:
    """A path whose changes do not matter until a day is over; `until_ms` is the first moment after it."""

    path: str
    reason: str
    until_ms: int


@dataclass(frozen=True)
class Overrides:
    """What the configuration says: severities by rule id or path, and ignored paths.

    A path is a JSON pointer into the components, which stands for all below it too; `*` in it stands for
    any one part. The longest path counts before shorter ones, every path before a rule id.
    """

    severity: Mapping[str, str] = field(default_factory=dict)
    ignored: tuple[Ignored, ...] = ()

    def severity_of(self, rule_id: str, pointer: str, default: str) -> str:
        """The severity of a change by one rule at one place."""
        paths = [path for path in self.severity if path.startswith("/") and _covers(path, pointer)]
        if paths:
            return self.severity[max(paths, key=lambda path: (path.count("/"), path))]
        return self.severity.get(rule_id, default)

    def ignored_at(self, pointer: str, at_ms: int) -> Ignored | None:
        """The ignored path that covers the place of a change made at `at_ms`, if any."""
        return next(
            (entry for entry in self.ignored if at_ms < entry.until_ms and _covers(entry.path, pointer)), None
        )


def overrides_from(section: Environment) -> Overrides:
    """What the `environment` section of the configuration says; a day ends in UTC."""
    ignored = (Ignored(entry.path, entry.reason, _end_ms(entry.until)) for entry in section.ignore)
    return Overrides(section.severity, tuple(ignored))


def _end_ms(day: date) -> int:
    end = datetime.combine(day + timedelta(days=1), time(), UTC)
    return int(end.timestamp() * 1000)


def _covers(path: str, pointer: str) -> bool:
    wanted, parts = path.split("/"), pointer.split("/")
    return len(wanted) <= len(parts) and all(
        fnmatchcase(part, want) for want, part in zip(wanted, parts, strict=False)
    )
