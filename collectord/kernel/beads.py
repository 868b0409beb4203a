"""Beads issues and the edges between them, as the kernel reads them (CONTRACT.md section 4). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from collectord.kernel.jsonio import JsonObject, is_encodable, loads

_INT_FIELDS = ("dk_attempts", "dk_max_attempts", "dk_required_reviewers", "dk_estimated_tokens")


def parse_issues(text: str) -> dict[str, JsonObject]:
    """Issue id → raw record, the last record of an id winning, in order of first appearance.

    Skipped as the kernel skips them: blank lines, lines that are not JSON objects, records whose
    integers do not convert, empty ids. A record that cannot be written as UTF-8 is skipped too.
    """
    return issues_and_dropped(text)[0]


def dropped_lines(text: str) -> tuple[int, ...]:
    """Numbers, from 1 on, of the lines that no kernel reads: marks of a merge conflict, torn records."""
    return issues_and_dropped(text)[1]


def issues_and_dropped(text: str) -> tuple[dict[str, JsonObject], tuple[int, ...]]:
    """What `parse_issues` and `dropped_lines` give."""
    issues: dict[str, JsonObject] = {}
    dropped = []
    for number, line in enumerate(text.splitlines(), 1):
        record = _record(line)
        issue_id = _issue_id(record) if record is not None else ""
        # Most lines cannot hold a lone surrogate, and to encode a record takes as long as to read it.
        encodable = (line.isascii() and "\\u" not in line) or is_encodable(record)
        if record is not None and issue_id and _integers_convert(record) and encodable:
            issues[issue_id] = record
        elif line.strip():
            dropped.append(number)
    return issues, tuple(dropped)


def dropped_edges(text: str) -> tuple[int, ...]:
    """Numbers, from 1 on, of the lines of edges that no kernel reads."""
    numbered = enumerate(text.splitlines(), 1)
    return tuple(number for number, line in numbered if line.strip() and not any(_records(line)))


def _records(text: str) -> Iterator[JsonObject]:
    return (record for line in text.splitlines() if (record := _record(line)) is not None)


def _record(line: str) -> JsonObject | None:
    """The object in a line; None where there is none."""
    if not line.strip():
        return None
    try:
        value = loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _issue_id(record: JsonObject) -> str:
    raw = record.get("id")
    return "" if raw is None else str(raw)


def _integers_convert(record: JsonObject) -> bool:
    try:
        for field in _INT_FIELDS:
            int(record.get(field, 0))
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def issue_attempts(record: JsonObject) -> int:
    """`dk_attempts` as the kernel converts it; the record passed `parse_issues`."""
    return int(record.get("dk_attempts", 0))


def issue_tags(record: JsonObject) -> list[str]:
    """The tags that are strings and not blank."""
    tags = record.get("tags")
    return [t for t in tags if isinstance(t, str) and t.strip()] if isinstance(tags, list) else []


def first_set(record: JsonObject, *names: str) -> Any:
    """The first of the named fields that is neither missing nor empty."""
    for name in names:
        if value := record.get(name):
            return value
    return None


# (blocker, blocked) under the names that Beads files of different ages use.
_NAMES = (("from", "to"), ("from_id", "to_id"), ("depends_on_id", "issue_id"))
_BLOCKS = ("blocks", "", None)


def parse_deps(text: str) -> tuple[tuple[str, str], ...]:
    """(blocker, blocked) of every line that says so; other kinds of edges do not hold an issue back."""
    edges = [edge for record in _records(text) if (edge := _edge(record))]
    return tuple(dict.fromkeys(edges))


def _edge(record: JsonObject) -> tuple[str, str] | None:
    if record.get("type", record.get("dep_type")) not in _BLOCKS:
        return None
    for blocker, blocked in _NAMES:
        ends = record.get(blocker), record.get(blocked)
        if all(isinstance(end, str | int) and str(end) for end in ends):
            return str(ends[0]), str(ends[1])
    return None


def blockers(edges: tuple[tuple[str, str], ...], open_ids: frozenset[str]) -> dict[str, tuple[str, ...]]:
    """Issue id → the open issues that block it."""
    found: dict[str, list[str]] = {}
    for blocker, blocked in edges:
        if blocker in open_ids and blocker != blocked:
            found.setdefault(blocked, []).append(blocker)
    return {issue: tuple(ids) for issue, ids in found.items()}


def critical_path(blocked_by: Mapping[str, tuple[str, ...]], open_ids: frozenset[str]) -> frozenset[str]:
    """Every issue on a longest chain of two or more open issues; an issue in a cycle is on none."""
    below = _depths({i: tuple(b for b in blocked_by.get(i, ()) if b in open_ids) for i in open_ids})
    after: dict[str, tuple[str, ...]] = {}
    for issue in below:
        for blocker in blocked_by.get(issue, ()):
            after[blocker] = (*after.get(blocker, ()), issue)
    above = _depths({issue: after.get(issue, ()) for issue in below})
    longest = max((below[i] + above[i] for i in below if i in above), default=0)
    if longest < 1:
        return frozenset()
    return frozenset(i for i in below if i in above and below[i] + above[i] == longest)


def _depths(before: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    """Longest chain of edges that leads to each node, without the nodes in or behind a cycle."""
    waiting = {node: set(nodes) & set(before) for node, nodes in before.items()}
    next_of: dict[str, list[str]] = {}
    for node, nodes in waiting.items():
        for earlier in nodes:
            next_of.setdefault(earlier, []).append(node)
    depth = {node: 0 for node, nodes in waiting.items() if not nodes}
    queue = list(depth)
    for node in queue:
        for later in next_of.get(node, ()):
            waiting[later].discard(node)
            if not waiting[later]:
                depth[later] = 1 + max(depth[n] for n in before[later] if n in depth)
                queue.append(later)
    return depth
