"""The work graph's edges, `.beads/deps.jsonl`: which issue blocks which. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from collectord.cyntra.jsonio import JsonObject, loads

# (blocker, blocked) under the names that Beads files of different ages use.
_NAMES = (("from", "to"), ("from_id", "to_id"), ("depends_on_id", "issue_id"))
_BLOCKS = ("blocks", "", None)


def parse_deps(text: str) -> tuple[tuple[str, str], ...]:
    """(blocker, blocked) of every line that says so; other kinds of edges do not hold an issue back."""
    edges = [edge for record in _records(text) if (edge := _edge(record))]
    return tuple(dict.fromkeys(edges))


def _records(text: str) -> Iterator[JsonObject]:
    for line in text.splitlines():
        try:
            value = loads(line) if line.strip() else None
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            yield value


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
