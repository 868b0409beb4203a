"""What the watcher tells the log: constant event names with the facts beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class WatchEvent(StrEnum):
    """The names under which the watcher's doings appear in the log."""

    STARTED = "watch.started"
    REBUILT = "watch.rebuilt"
    FAILED = "watch.failed"
    POLLING = "watch.polling"
    OVERFLOW = "watch.overflow"
    EMITTER_DIED = "watch.emitter_died"
    LIMIT_REACHED = "watch.limit_reached"
    ROOT_MISSING = "watch.root_missing"
    ROOT_REPLACED = "watch.root_replaced"
    ROOT_RETURNED = "watch.root_returned"


INFO = "info"
WARNING = "warning"


@dataclass(frozen=True, slots=True)
class WatchNote:
    """One thing to log: told once when it begins, not as long as it lasts."""

    event: WatchEvent
    level: str = INFO
    details: dict[str, object] = field(default_factory=dict, hash=False, compare=False)
