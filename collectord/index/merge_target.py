"""What a transplant of rows gave, and the one door through which it writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.exc import DatabaseError, OperationalError

DbRow = dict[str, Any]
Key = tuple[str, str]
UNREADABLE = ""  # in place of the digest of a revision whose row cannot be read
MAX_ID = 2**53
# Rows that are brought up to date later: those of the source are newer than those of the target.
_MUTABLE = frozenset(
    {
        "environment_observations",
        "kernel_sessions",
        "sealed_epochs",
        "epoch_snapshots",
        "alerts",
        "snapshots",
    }
)


@dataclass
class Transplanted:
    """What was taken: rows by table. `lost` revisions are (kind, name, digest), `refused` rows by table.

    `from_disk` artifacts came from archives; `arrivals` are the times of archives whose revision is lost;
    `doubtful` are sentences about what was taken although two places in the source disagree about it.
    """

    taken: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    from_disk: int = 0
    lost: list[tuple[str, str, str]] = field(default_factory=list)
    arrivals: dict[Key, tuple[int, int | None]] = field(default_factory=dict)
    doubtful: list[str] = field(default_factory=list)
    lost_issues: list[str] = field(default_factory=list)

    def count(self, table: str, *, taken: bool) -> None:
        """One row more of a table, taken or refused."""
        counts = self.taken if taken else self.refused
        counts[table] = counts.get(table, 0) + 1


@dataclass(frozen=True, slots=True)
class Target:
    """The index that rows go into, in the caller's transaction, and the count of what was taken."""

    connection: Connection
    done: Transplanted

    def insert(self, table: Table, row: DbRow) -> bool:
        """Insert a row unless its key is there; whether the target now has such a row.

        A row that the table cannot hold is refused, which undoes nothing but its own statement. Raises
        OperationalError where the target cannot be written at all (a full disk).
        """
        statement = upsert(table)
        if table.name in _MUTABLE:
            keys = [column.name for column in table.primary_key]
            newest = statement.on_conflict_do_update(index_elements=keys, set_=row)
        else:
            newest = statement.on_conflict_do_nothing()
        try:
            done = self.connection.execute(newest, row)
        except OperationalError:
            raise
        except (DatabaseError, TypeError, ValueError, OverflowError):
            self.done.count(table.name, taken=False)
            return False
        if done.rowcount:
            self.done.count(table.name, taken=True)
        return True
