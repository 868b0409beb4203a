"""Where two environments differ, as single edits; each can be looked at alone. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from collectord.kernel.jsonio import ascii_json
from collectord.kernel.policy import Surface

Path = tuple[str | int, ...]

ADD, REMOVE, REPLACE, MOVE = "add", "remove", "replace", "move"
RULES: Path = ("routing", "rules")
_GONE = object()


@dataclass(frozen=True)
class Edit:
    """One difference. `alone` is the earlier environment with nothing but this edit.

    The path of an added rule counts rules as they are afterwards, every other as they were before. A
    `move` stands for all rules at once: `before` and `after` are their old positions in either order.
    """

    path: Path
    op: str
    before: Any
    after: Any
    alone: Surface


def edits(before: Surface, after: Surface) -> tuple[Edit, ...]:
    """The differences in the order of the components; lists other than the rules count as one value."""
    found = []
    for name, old in before.components.items():
        for path, op, was, becomes, whole in _differences(old, after.components[name], (name,)):
            alone = Surface(_replaced(before.components, *whole), before.unrecognised)
            found.append(Edit(path, op, was, becomes, alone))
    return tuple(found)


# (path, op, before, after, (the path and the value by which the edit is made alone))
_Difference = tuple[Path, str, Any, Any, tuple[Path, Any]]


def _differences(old: Any, new: Any, path: Path) -> Iterator[_Difference]:
    if old == new and type(old) is type(new):
        return
    if path == RULES:
        yield from _rules(old, new)
    elif _is_switch(old, new, path):
        yield (*path, "enabled"), REPLACE, old["enabled"], new["enabled"], (path, new)
    elif isinstance(old, dict) and isinstance(new, dict) and not _is_one_value(path):
        yield from _members(old, new, path)
    else:
        yield path, REPLACE, old, new, (path, new)


def _members(old: Mapping[str, Any], new: Mapping[str, Any], path: Path) -> Iterator[_Difference]:
    for key in sorted({*old, *new}):
        at = (*path, key)
        if key not in new:
            yield at, REMOVE, old[key], None, (at, _GONE)
        elif key not in old:
            yield at, ADD, None, new[key], (at, new[key])
        else:
            yield from _differences(old[key], new[key], at)


def _is_switch(old: Any, new: Any, path: Path) -> bool:
    """A toolchain that was switched on or off: of one that is off nothing else is known."""
    return len(path) == 2 and path[0] == "toolchains" and bool(old["enabled"] != new["enabled"])


def _is_one_value(path: Path) -> bool:
    """A genome that is selected in place of another changes its id and its content at once."""
    return path[0] == "prompts" and len(path) == 2


def _rules(old: list[Any], new: list[Any]) -> Iterator[_Difference]:
    was, becomes = list(map(ascii_json, old)), list(map(ascii_json, new))
    if sorted(was) == sorted(becomes):
        yield RULES, MOVE, list(range(len(old))), _positions(was, becomes), (RULES, new)
        return
    for op, i, i_end, j, j_end in SequenceMatcher(None, was, becomes, autojunk=False).get_opcodes():
        if op == "equal":
            continue
        if i_end - i == j_end - j:
            for at in range(i_end - i):
                yield from _differences(old[i + at], new[j + at], (*RULES, i + at))
            continue
        for at in range(i, i_end):
            yield (*RULES, at), REMOVE, old[at], None, (RULES, [*old[:at], *old[at + 1 :]])
        for at in range(j, j_end):
            yield (*RULES, at), ADD, None, new[at], (RULES, [*old[:i], new[at], *old[i:]])


def _positions(was: list[str], becomes: list[str]) -> list[int]:
    """Where each rule stood before; equal rules keep their order."""
    left: dict[str, list[int]] = {}
    for position, rule in enumerate(was):
        left.setdefault(rule, []).append(position)
    return [left[rule].pop(0) for rule in becomes]


def _replaced(value: Any, path: Path, new: Any) -> Any:
    """A copy with another value at the path; everything beside the path is shared."""
    if not path:
        return new
    key: Any = path[0]
    copy = list(value) if isinstance(value, list) else dict(value)
    if len(path) == 1 and new is _GONE:
        del copy[key]
    else:
        copy[key] = _replaced(copy[key] if len(path) > 1 else None, path[1:], new)
    return copy
