"""Which split a row belongs to. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable

from collectord.cyntra.jsonio import ITEM, Marked, compact
from collectord.cyntra.planner_input import recorded_issue_id
from collectord.cyntra.rows import RowPieces, split_of, split_of_issue
from collectord.export.options import BY_ISSUE

Splitter = Callable[[int, RowPieces], str]


def splitter(split_by: str, total: int) -> Splitter:
    """Gives the split of the row at a position among `total`."""
    if split_by == BY_ISSUE:
        return lambda _position, row: split_of_issue(issue_of(row))
    return lambda position, _row: split_of(position, total)


def issue_of(row: RowPieces) -> str:
    """The issue that a row shows, else its run id: a row without an issue is alone."""
    head = json.loads(compact(Marked(row.before.removesuffix(ITEM) + "}")))
    return recorded_issue_id(head["planner_input"]) or str(head["run_id"])
