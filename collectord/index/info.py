"""Small values of an index by key: when it was last brought up to date, what stood in a file at that time."""

from __future__ import annotations

from collectord.index.engine import IndexConnection
from collectord.index.statements import insert, scalar

# Keys that one room writes and another reads.
CURRENT_EPOCH = "current_epoch"  # the newest epoch, for who only wants a glance
DROPPED_LINES = "issue_lines_dropped"  # the numbers of the lines of Beads that no kernel reads
EVALUATED = "evaluated_inputs"  # what epochs and alerts were found from (`epoch_inputs`), by a pass by hand
PUSHED = "push_done_ms"  # when the index was pushed to a fleet last
DISK_USAGE = "disk_usage"  # bytes on disk as they were measured last


def info(connection: IndexConnection, key: str) -> str | None:
    """A value of index_info."""
    found: str | None = scalar(connection, "SELECT value FROM index_info WHERE key = ?", (key,))
    return found


def put_info(connection: IndexConnection, key: str, value: str) -> None:
    """Write a value of index_info in a transaction that is open."""
    insert(connection, "index_info", {"key": key, "value": value}, keys=("key",))
