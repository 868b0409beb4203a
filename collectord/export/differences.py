"""Where two JSON values differ, by path. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

_SHOWN = 60


class Difference(NamedTuple):
    """A member that two values do not share; None stands for null and for a member that is not there."""

    path: str
    before: Any
    after: Any


def differences(a: Any, b: Any, path: str = "") -> Iterator[Difference]:
    """Every member that differs, as a JSON pointer; lists of different lengths differ as a whole."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted({*a, *b}):
            yield from differences(a.get(key), b.get(key), f"{path}/{_escaped(key)}")
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for place, (x, y) in enumerate(zip(a, b, strict=True)):
            yield from differences(x, y, f"{path}/{place}")
    elif a != b or isinstance(a, bool) != isinstance(b, bool):
        yield Difference(path, a, b)


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def short(value: object) -> str:
    """A value as JSON of at most sixty characters."""
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "…"
