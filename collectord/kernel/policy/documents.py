"""A configuration file and what it includes, as one mapping (CONTRACT.md section 5)."""

from __future__ import annotations

import datetime
import math
import posixpath
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from collectord.kernel import jsonio
from collectord.kernel.jsonio import JsonObject
from collectord.kernel.policy.surface import PolicyUnreadable

MAX_FILES = 64

ReadMapping = Callable[[str], JsonObject | None]


def with_includes(path: str, read_mapping: ReadMapping) -> JsonObject:
    """The file at `path` (POSIX, below the repo) over the files that it includes, bases first.

    `read_mapping` gives what one file says, None where there is no such file: the first may be missing (a
    kernel then runs on its defaults), an included one may not. Raises PolicyUnreadable for that, for a
    cycle, for more than MAX_FILES files, and for a path that leads out of the repo, which cannot be watched.
    """
    first = read_mapping(path)
    return {} if first is None else _Includes(read_mapping).merged(path, first, ())


class _Includes:
    """The files that one configuration includes; one that is included twice is read and merged once."""

    def __init__(self, read_mapping: ReadMapping) -> None:
        self._read_mapping = read_mapping
        self._merged: dict[str, JsonObject] = {}
        self._files_read = 0

    def merged(self, path: str, own: JsonObject, including: tuple[str, ...]) -> JsonObject:
        """`own`, the mapping of the file at `path`, over what it includes; `including` led to it."""
        if path not in self._merged:
            result: JsonObject = {}
            for include in _includes(own):
                result = deep_merge(result, self._base(_resolved(path, include), (*including, path)))
            child = {key: value for key, value in own.items() if key != "include"}
            self._merged[path] = deep_merge(result, child)
        return self._merged[path]

    def _base(self, path: str, including: tuple[str, ...]) -> JsonObject:
        if path in including:
            raise PolicyUnreadable(path, f"includes itself by way of {' → '.join((*including, path))}")
        if path in self._merged:
            return self._merged[path]
        if self._files_read >= MAX_FILES:
            raise PolicyUnreadable(including[-1], f"more than {MAX_FILES} files are included")
        self._files_read += 1
        own = self._read_mapping(path)
        if own is None:
            raise PolicyUnreadable(including[-1], f"includes {path}, which does not exist")
        return self.merged(path, own, including)


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


MAX_BYTES = 8 * 2**20
MAX_YAML_BYTES = 2**20
MAX_NODES = 50_000
MAX_DEPTH = 64

_LARGEST = 2**63

# The C loader is ten times faster; a build without libyaml has only the other.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class NotADocument(ValueError):
    """The bytes are not a document that a kernel could load; the text says why, with the line if known."""


def parse_yaml(data: bytes) -> Any:
    """The plain value of one YAML document, None where it is empty. Raises NotADocument."""
    if len(data) > MAX_YAML_BYTES:
        raise NotADocument(f"larger than {MAX_YAML_BYTES} bytes")
    try:
        text = data.decode("utf-8")
        refuse_depth(text)
        loader = _LOADER(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _Weight().of(node)
            return plain(loader.construct_document(node))
        finally:
            loader.dispose()
    except NotADocument:
        raise
    except UnicodeDecodeError:
        raise NotADocument("not UTF-8 text") from None
    except yaml.MarkedYAMLError as error:
        if "nesting depth" in (error.problem or ""):
            # libyaml from 0.2.6 on stops at a depth of its own, far beyond this one, and reads ahead of it.
            raise NotADocument(f"nested deeper than {MAX_DEPTH}") from None
        mark = error.problem_mark or error.context_mark
        line = f" in line {mark.line + 1}" if mark else ""
        raise NotADocument(f"not valid YAML{line}: {error.problem or error.context}") from None
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError, TypeError) as error:
        raise NotADocument(f"not valid YAML: {str(error).splitlines()[0]}") from None


def parse_json(data: bytes) -> Any:
    """The plain value of one JSON document. Raises NotADocument."""
    if len(data) > MAX_BYTES:
        raise NotADocument(f"larger than {MAX_BYTES} bytes")
    try:
        return jsonio.loads(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise NotADocument("not UTF-8 text") from None
    except RecursionError:
        raise NotADocument("nested too deeply") from None
    except ValueError as error:
        raise NotADocument(f"not valid JSON: {error}") from None


def plain(value: Any) -> Any:
    """A loaded value as JSON has it; what JSON does not have becomes a text."""
    match value:
        case dict():
            return {_text(key): plain(inner) for key, inner in value.items()}
        case list():
            return [plain(inner) for inner in value]
        case float() if math.isfinite(value):
            return int(value) if value.is_integer() and abs(value) < _LARGEST else value
        case int() if abs(value) < _LARGEST:
            return value
        case str() | None:
            return value
    return _text(value)


def _text(value: Any) -> str:
    """Keys, dates, numbers that are not finite, binary data and sets, each in one form."""
    match value:
        case datetime.date():
            return value.isoformat()
        case bytes():
            return value.hex()
        case int():  # one of thousands of digits has no decimal form
            return hex(value)
        case set():
            return ", ".join(sorted(map(str, value)))
    return str(value)


def refuse_depth(text: str | bytes) -> None:
    """Raises NotADocument for more than MAX_DEPTH levels, YAMLError for what is no YAML.

    Events come without recursion. Composing deep nesting in C would end the process, in Python takes seconds.
    """
    depth = 0
    for event in yaml.parse(text, _LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise NotADocument(f"nested deeper than {MAX_DEPTH}")


class _Weight:
    """How many values and how many levels a node stands for, each alias counted as if written out."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[int, int] | None] = {}

    def of(self, node: yaml.Node) -> tuple[int, int]:
        """(values, levels). Raises NotADocument above the limits and for a node that holds itself."""
        if id(node) in self.known:
            weight = self.known[id(node)]
            if weight is None:
                raise NotADocument("a value that holds itself")
            return weight
        self.known[id(node)] = None
        inner = [self.of(child) for child in _children(node)]
        values = 1 + sum(count for count, _ in inner)
        levels = 1 + max((level for _, level in inner), default=0)
        if values > MAX_NODES or levels > MAX_DEPTH:
            raise NotADocument("too large when its aliases are written out")
        self.known[id(node)] = values, levels
        return values, levels


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [child for pair in node.value for child in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []
