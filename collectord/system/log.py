"""Structured logging on stderr: JSON lines under a service, readable on a terminal.

Event names are constants with dots; everything that varies is a bound field. Values are capped, and
control characters in them never reach a terminal: much of what is logged was named by an archive.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, MutableMapping
from typing import IO, Any, Literal

import structlog

from collectord.system.names import printable

Format = Literal["auto", "json", "console"]
Logger = structlog.typing.FilteringBoundLogger
MAX_VALUE = 500
MAX_ITEMS = 20
_FIRST = ("at", "level", "event")
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
_Event = MutableMapping[str, Any]
_Renderer = Callable[[Any, str, _Event], str]


def configure(*, level: str, form: Format, stream: IO[str], environ: Mapping[str, str]) -> Logger:
    """A logger that writes to `stream`; `auto` is readable on a terminal and JSON elsewhere."""
    console = form == "console" or (form == "auto" and stream.isatty())
    renderer = _console(stream) if console else _json(_is_journal(stream, environ))
    logger: Logger = structlog.wrap_logger(
        _Lines(stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            _tame,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
    )
    return logger


def to_stderr(*, level: str, form: Format) -> Logger:
    """The process's own logger."""
    return configure(level=level, form=form, stream=sys.stderr, environ=os.environ)


class _Lines:
    """Writes whole lines. A log that nobody reads any more must not stop the work that it tells of."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def _write(self, line: str) -> None:
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            return

    debug = info = warning = error = critical = _write


def _json(priorities: bool) -> _Renderer:
    def render(_logger: Any, _method: str, event: _Event) -> str:
        prefix = f"<{_PRIORITIES[event['level']]}>" if priorities else ""
        first = {key: event[key] for key in _FIRST if key in event}
        return prefix + json.dumps({**first, **event}, ensure_ascii=True, default=str)

    return render


def _console(stream: IO[str]) -> _Renderer:
    colors = stream.isatty() and "NO_COLOR" not in os.environ
    renderer = structlog.dev.ConsoleRenderer(
        colors=colors, timestamp_key="at", pad_event_to=24, sort_keys=False
    )

    def render(logger: Any, method: str, event: _Event) -> str:
        return str(renderer(logger, method, for_a_terminal(event)))

    return render


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


def _tame(_logger: Any, _method: str, event: _Event) -> _Event:
    for key, value in event.items():
        event[key] = _tamed(value)
    return event


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
