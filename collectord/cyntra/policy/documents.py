"""The bytes of a policy file → plain JSON values, as a kernel's loader reads them. The text is not trusted.

What YAML can say and JSON cannot is brought down to JSON: keys are texts, dates are texts, whole floats
are integers. The last of duplicate keys wins, as in the kernel's loader. Nothing but plain values is ever
built, and nothing that stands for more than MAX_NODES values when its aliases are written out.
"""

from __future__ import annotations

import datetime
import math
from typing import Any

import yaml

from collectord.cyntra import jsonio

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
