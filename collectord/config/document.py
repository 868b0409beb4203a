"""The configuration file as a document with lines and columns, and what is wrong in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from yaml.error import Mark

from collectord.config.layers import MAX_BYTES, Finding, Given, Layer, Place, Steps, unknown
from collectord.config.schema import dotted_keys, section_names, shown

_MAX_DEPTH = 20


def parse(data: bytes, label: str) -> Layer:
    """The values of one file, named `label` in every source and finding."""
    try:
        root = _compose(_decode(data))
        if root is None or _is_null(root):
            return Layer({})
        if not isinstance(root, yaml.MappingNode):
            raise _Unreadable(
                "the file must hold sections such as `watch:`, each with its keys", root.start_mark
            )
    except _Unreadable as error:
        line, column = error.position
        return Layer({}, (Finding(f"{label}:{line}:{column}", error.message, line, column),))
    return _Walk(label).layer(root)


class _Unreadable(Exception):
    """The text as a whole cannot be taken; `position` is (line, column), both from 1."""

    def __init__(self, message: str, at: Mark | tuple[int, int]) -> None:
        super().__init__(message)
        self.message = message
        self.position = at if isinstance(at, tuple) else _position(at)


class _Loader(yaml.SafeLoader):
    """Composes without aliases and not for ever down."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise _Unreadable(
                "anchors and aliases (& and *) are not taken; write the value out", event.start_mark
            )
        if self.depth >= _MAX_DEPTH:
            raise _Unreadable("nested too deeply", event.start_mark)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


class _Walk:
    """One pass over the top-level mapping, collecting values and findings."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.given: dict[str, Given] = {}
        self.findings: list[Finding] = []

    def layer(self, root: yaml.MappingNode) -> Layer:
        """Everything the file says about the sections of the model."""
        for name, key, value in self.entries(root, ""):
            if name not in section_names():
                self.find(key, name, unknown(name, (*section_names(), *dotted_keys())))
            elif isinstance(value, yaml.MappingNode):
                self.section(name, value)
            elif not _is_null(value):
                self.find(value, name, f"{_text(value)} is not a mapping; indent its keys below it")
        return Layer(self.given, tuple(self.findings))

    def section(self, section: str, node: yaml.MappingNode) -> None:
        """The keys of one section."""
        for name, key, value in self.entries(node, f"{section}."):
            if name not in dotted_keys():
                self.find(key, name, unknown(name, dotted_keys()))
            elif _is_null(value):
                self.find(key, name, "has no value; write one or remove the key")
            else:
                self.take(name, key, value)

    def entries(self, node: yaml.MappingNode, prefix: str) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
        """(dotted name, key node, value node) of a mapping, the first of each name only."""
        first_lines: dict[str, int] = {}
        for key, value in node.value:
            name = prefix + (key.value if isinstance(key, yaml.ScalarNode) else "?")
            if name in first_lines:
                self.find(key, name, f"written twice, first in line {first_lines[name]}")
                continue
            first_lines[name] = key.start_mark.line + 1
            yield name, key, value

    def take(self, name: str, key: yaml.Node, node: yaml.Node) -> None:
        """The plain value of a key, with its source (the key's line) and its own place."""
        try:
            value = yaml.constructor.SafeConstructor().construct_object(node, deep=True)
        except (yaml.YAMLError, ValueError, OverflowError):
            self.find(node, name, f"{_text(node)} cannot be read as a value; put it in quotes")
            return
        inner = dict(self.parts(name, node, ()))
        source = f"{self.label}:{key.start_mark.line + 1}"
        self.given[name] = Given(value, source, self.place(node, name), inner)

    def parts(self, name: str, node: yaml.Node, steps: Steps) -> Iterator[tuple[Steps, Place]]:
        """The places of everything in a value, named as `section.key[0].part`."""
        if isinstance(node, yaml.SequenceNode):
            for position, item in enumerate(node.value):
                yield (*steps, position), self.place(item, f"{name}[{position}]")
                yield from self.parts(f"{name}[{position}]", item, (*steps, position))
        elif isinstance(node, yaml.MappingNode):
            for inner, key, value in self.entries(node, f"{name}."):
                at = (*steps, key.value) if isinstance(key, yaml.ScalarNode) else steps
                yield at, self.place(value, inner)
                yield (*at, "[key]"), self.place(key, inner)
                yield from self.parts(inner, value, at)

    def place(self, node: yaml.Node, name: str) -> Place:
        """Where a node stands."""
        line, column = _position(node.start_mark)
        return Place(f"{self.label}:{line}:{column}: {shown_name(name)}", line, column)

    def find(self, node: yaml.Node, name: str, message: str) -> None:
        """Note what is wrong at a node."""
        line, column = _position(node.start_mark)
        self.findings.append(
            Finding(f"{self.label}:{line}:{column}", f"{shown_name(name)}: {message}", line, column)
        )


def shown_name(name: str) -> str:
    """A key as a finding names it: as it is, or quoted and cut where it holds anything odd."""
    return name if name.isprintable() and len(name) <= 60 else shown(name)


def _decode(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise _Unreadable(f"the file is larger than {MAX_BYTES} bytes", (1, 1))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        raise _Unreadable("the file is not UTF-8 text", _after(before)) from None


def _compose(text: str) -> yaml.Node | None:
    try:
        return _Loader(text).get_single_node()
    except yaml.reader.ReaderError as error:
        message = f"the character U+{_code_point(error.character):04X} is not allowed"
        raise _Unreadable(message, _after(text[: error.position])) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = f"not valid YAML: {', '.join(part for part in (error.context, error.problem) if part)}"
        raise _Unreadable(message, mark or (1, 1)) from None
    except yaml.YAMLError:
        raise _Unreadable("not valid YAML", (1, 1)) from None


def _position(mark: Mark) -> tuple[int, int]:
    return mark.line + 1, mark.column + 1


def _after(text: str) -> tuple[int, int]:
    return text.count("\n") + 1, len(text) - text.rfind("\n")


def _code_point(character: int | str) -> int:
    return ord(character) if isinstance(character, str) else character


def _is_null(node: yaml.Node) -> bool:
    return node.tag == "tag:yaml.org,2002:null"


def _text(node: yaml.Node) -> str:
    return shown(node.value) if isinstance(node, yaml.ScalarNode) else "a list"
