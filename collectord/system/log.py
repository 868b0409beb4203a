"""Structured logging on stderr: JSON lines under a service, readable on a terminal.

Event names are constants with dots; everything that varies is a field. Values are capped, and
control characters in them never reach a terminal: much of what is logged was named by an archive.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import IO, Any, Literal

from collectord.system.names import printable

Format = Literal["auto", "json", "console"]
MAX_VALUE = 500
MAX_ITEMS = 20
_FIRST = ("at", "level", "event")
_LEVELS = ("debug", "info", "warning", "error")
_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3}
_Event = dict[str, Any]
_Renderer = Callable[[_Event], str]


class Logger:
    """Writes a line for each event at or above a level; all that varies in an event is a field."""

    def __init__(self, stream: IO[str], level: str, render: _Renderer) -> None:
        self._stream, self._render = stream, render
        self._told = _LEVELS[_LEVELS.index(level) :]

    def debug(self, event: str, **fields: Any) -> None:
        """What only who looks for a fault wants to know."""
        self._tell("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """What is in the course of things."""
        self._tell("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """What a person should look at."""
        self._tell("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """What does not work until a person does something."""
        self._tell("error", event, fields)

    def _tell(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        if level not in self._told:
            return
        at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        head = {"at": at, "level": level, "event": _tamed(event)}
        line = self._render({**head, **{key: _tamed(value) for key, value in fields.items()}, **head})
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            return  # a log that nobody reads any more must not stop the work that it tells of


def configure(*, level: str, form: Format, stream: IO[str], environ: Mapping[str, str]) -> Logger:
    """A logger that writes to `stream`; `auto` is readable on a terminal and JSON elsewhere."""
    console = form == "console" or (form == "auto" and stream.isatty())
    render = _console(stream) if console else _json(_is_journal(stream, environ))
    return Logger(stream, level, render)


def to_stderr(*, level: str, form: Format) -> Logger:
    """The process's own logger."""
    return configure(level=level, form=form, stream=sys.stderr, environ=os.environ)


def _json(priorities: bool) -> _Renderer:
    def render(event: _Event) -> str:
        prefix = f"<{_PRIORITIES[event['level']]}>" if priorities else ""
        return prefix + json.dumps(event, ensure_ascii=True, default=str)

    return render


def _console(stream: IO[str]) -> _Renderer:
    import structlog  # with rich and asyncio, 15 MiB for which a service has no use

    colors = stream.isatty() and "NO_COLOR" not in os.environ
    renderer = structlog.dev.ConsoleRenderer(
        colors=colors, timestamp_key="at", pad_event_to=24, sort_keys=False
    )
    return lambda event: str(renderer(None, event["level"], for_a_terminal(event)))


def for_a_terminal(event: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a line as a person reads them. Pure.

    The sentence is right after the event; empty fields go, and milliseconds beside the same time in words.
    """
    fields = {key: value for key, value in event.items() if value is not None and key not in _HEAD}
    doubled = {f"{key}_ms" for key in fields}
    shown = {key: value for key, value in fields.items() if key not in doubled}
    sentence = f"  {event['said']}" if event.get("said") else ""
    at = f"{str(event['at'])[:19].replace('T', ' ')} UTC"
    return {"at": at, "level": event["level"], "event": f"{event['event']:<24}{sentence}".rstrip(), **shown}


_HEAD = (*_FIRST, "said")


def _tamed(value: Any) -> Any:
    if isinstance(value, str):
        return _capped(value)
    if isinstance(value, Mapping):
        return {str(key): _tamed(item) for key, item in list(value.items())[:MAX_ITEMS]}
    if isinstance(value, list | tuple | set | frozenset):
        return [_tamed(item) for item in list(value)[:MAX_ITEMS]]
    return value


def _capped(text: str) -> str:
    return printable(text if len(text) <= MAX_VALUE else text[:MAX_VALUE] + "…")


def _is_journal(stream: IO[str], environ: Mapping[str, str]) -> bool:
    """Whether the stream is the one that the service manager connected to the journal."""
    try:
        own = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{own.st_dev}:{own.st_ino}"
