"""Connections to the index file: one writer, and readers that cannot write."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from collectord.errors import CollectordError, IndexBusy, IndexDamaged, IndexFull, IndexMissing, IndexUnusable

BUSY_TIMEOUT_MS = 5000
# What the rooms above hand around without knowing the library behind it. Rows have their columns by name.
IndexConnection = sqlite3.Connection
# The shared memory of the log begins and grows by truncating a file: a full disk shows itself there so.
_FULL = ("SQLITE_FULL", "SQLITE_IOERR_SHMOPEN", "SQLITE_IOERR_SHMSIZE")


def connect(path: Path, *, read_only: bool) -> IndexConnection:
    """Open an index file; a read-only connection never makes the file and refuses every write."""
    if read_only and not path.exists():
        raise IndexMissing(f"{path}: there is no index yet; run `collectord ingest` first")
    # Opened read-only, not only told so: the last of other connections to close writes the log into the
    # index and removes it, and after a crash that is for the writer alone, who looks at the log first.
    uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
    # The driver's own transaction handling would hide BEGIN IMMEDIATE and break DDL transactions.
    connection = sqlite3.connect(uri, uri=True, isolation_level=None)
    try:
        _set_up(connection, read_only)
    except BaseException:
        connection.close()
        raise
    return connection


def _set_up(connection: IndexConnection, read_only: bool) -> None:
    connection.row_factory = sqlite3.Row
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA foreign_keys = ON")
    # An index can come from elsewhere: nothing in its schema may call a function that has effects.
    connection.execute("PRAGMA trusted_schema = OFF")
    if read_only:
        connection.execute("PRAGMA query_only = ON")
        return
    connection.execute("PRAGMA journal_mode = WAL")
    _demand_full_sync(connection)


def _demand_full_sync(connection: IndexConnection) -> None:
    # NORMAL lost acknowledged commits in a power cut, and a pruned archive is only here.
    connection.execute("PRAGMA synchronous = FULL")


@contextmanager
def transaction(connection: IndexConnection) -> Iterator[IndexConnection]:
    """One write transaction, durable when it ends; an error undoes it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk ends it by itself
            connection.execute("ROLLBACK")
        raise


def quick_check(path: Path) -> None:
    """Look at every page of an index file; raises IndexDamaged with what SQLite found."""
    with readable_errors(path), closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as connection:
        found = [" ".join(str(row[0]).split()) for row in connection.execute("PRAGMA quick_check(3)")]
    if found != ["ok"]:
        raise IndexDamaged(
            f"{path}: the index is damaged ({'; '.join(found)}): keep the file and everything beside it, "
            "and run `collectord db recover`"
        )


@contextmanager
def readable_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite says into a sentence: damage stops everything, the rest is an error of the command."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise explain(path, error) from error
    except UnicodeDecodeError as error:  # in the driver: the message cites a schema that is damaged
        said = f"{path}: its schema is damaged; stop the daemon, check the disk"
        raise IndexDamaged(f"{said}, then run `collectord db recover`") from error


def explain(path: Path, error: BaseException) -> CollectordError:
    """The error as a sentence for a person, IndexDamaged where the file can no longer be trusted."""
    code = getattr(error, "sqlite_errorname", "") or ""
    said = f"{path}: {error}"
    if code.startswith(_FULL):
        return IndexFull(f"{said}; the disk is full: free some space and run the command again")
    if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_IOERR")):
        return IndexDamaged(
            f"{said} ({code}); the index is damaged or its disk is failing: "
            "stop the daemon, check the disk, then run `collectord db recover`"
        )
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return IndexBusy(f"{said}; another process is writing to the index: try again in a moment")
    if code.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return IndexUnusable(f"{said}; check the rights of the file and of its folder")
    return CollectordError(said)
