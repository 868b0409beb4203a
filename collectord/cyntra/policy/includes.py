"""A configuration file and what it includes, as one mapping (CONTRACT.md section 5)."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from typing import Any

from collectord.cyntra.jsonio import JsonObject
from collectord.cyntra.policy.unreadable import PolicyUnreadable

MAX_FILES = 64

Document = Callable[[str], JsonObject | None]


def with_includes(path: str, document: Document) -> JsonObject:
    """The file at `path` (POSIX, below the repo) over the files that it includes, bases first.

    `document` gives the mapping of one file, None where there is none: the first file may be missing (a
    kernel then runs on its defaults), an included one may not. Raises PolicyUnreadable for that, for a
    cycle, and for a path that leads out of the repo, which cannot be watched.
    """
    data = document(path)
    return {} if data is None else _Loading(document).merged(path, data, ())


class _Loading:
    """One loading; a file that is included twice, but not by itself, is merged once."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.done: dict[str, JsonObject] = {}

    def merged(self, path: str, data: JsonObject, above: tuple[str, ...]) -> JsonObject:
        if path in above:
            raise PolicyUnreadable(path, f"includes itself by way of {' → '.join((*above, path))}")
        if path not in self.done:
            result: JsonObject = {}
            for include in _includes(data):
                base = _resolved(path, include)
                result = deep_merge(result, self.merged(base, self._base(path, base), (*above, path)))
            child = {key: value for key, value in data.items() if key != "include"}
            self.done[path] = deep_merge(result, child)
        return self.done[path]

    def _base(self, path: str, base: str) -> JsonObject:
        if len(self.done) >= MAX_FILES:
            raise PolicyUnreadable(path, f"more than {MAX_FILES} files are included")
        data = self.document(base)
        if data is None:
            raise PolicyUnreadable(path, f"includes {base}, which does not exist")
        return data


def deep_merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> JsonObject:
    """Mappings merge, member by member and all the way down; anything else of `over` replaces."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            merged[key] = deep_merge(below, value)
        else:
            merged[key] = value
    return merged


def _includes(data: JsonObject) -> list[str]:
    value = data.get("include")
    listed = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return [text for item in listed if (text := str(item)).strip()]


def _resolved(path: str, include: str) -> str:
    target = posixpath.normpath(posixpath.join(posixpath.dirname(path), include))
    if posixpath.isabs(target) or target == ".." or target.startswith("../"):
        raise PolicyUnreadable(path, f"includes {include}, which lies outside the repo and is not watched")
    return target
