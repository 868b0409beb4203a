"""Lines of the kernel's event log that say how a workcell ended (CONTRACT.md sections 3 and 7). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from collectord.kernel.jsonio import loads
from collectord.kernel.values import is_int, member, parse_ms, text_or_none

_ENDS = frozenset({"workcell.failed", "workcell.timeout"})


@dataclass(frozen=True, slots=True)
class WorkcellEnd:
    """One failure event of a workcell; `duration_ms` is 0 where the event gives none."""

    workcell_id: str
    type: str
    at_ms: int | None
    timed_out: bool
    duration_ms: int


def parse_end(line: bytes) -> WorkcellEnd | None:
    """The failure event of a line of events.jsonl, or None for any other line, torn ones included."""
    if b"workcell." not in line:
        return None
    try:
        event = loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or text_or_none(event.get("type")) not in _ENDS:
        return None
    workcell = event.get("workcell_id")
    if not isinstance(workcell, str) or not workcell:
        return None
    return WorkcellEnd(
        workcell, event["type"], parse_ms(event.get("timestamp")), _timed_out(event), _duration(event)
    )


def _timed_out(event: dict[str, Any]) -> bool:
    said = f"{event['type']} {member(event, 'data', 'error')}".lower()
    return "timeout" in said or "timed out" in said


def _duration(event: dict[str, Any]) -> int:
    for value in (event.get("duration_ms"), member(event, "data", "duration_ms")):
        if is_int(value):
            return int(value)
    return 0
