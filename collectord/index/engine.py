"""Connections to the index file: one writer, and readers that cannot write."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool

from collectord.errors import CollectordError, IndexBusy, IndexDamaged, IndexFull, IndexMissing, IndexUnusable

BUSY_TIMEOUT_MS = 5000
# What the rooms above hand around without knowing the library behind it.
IndexConnection = Connection
# The shared memory of the log grows by truncating a file: a full disk shows itself there in this way.
_FULL = ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE")


def _demand_full_sync(connection: sqlite3.Connection) -> None:
    # NORMAL lost acknowledged commits in a power cut, and a pruned archive is only here.
    connection.execute("PRAGMA synchronous = FULL")


def open_engine(path: Path, *, read_only: bool) -> Engine:
    """An engine on an index file; a read-only one never makes the file and refuses every write."""
    if read_only and not path.exists():
        raise IndexMissing(f"{path}: there is no index yet; run `collectord ingest` first")
    engine = _reading_engine(path) if read_only else create_engine(f"sqlite:///{path}", poolclass=NullPool)
    event.listen(engine, "connect", _set_up(read_only))
    event.listen(engine, "begin", _begin_reading if read_only else _begin_immediate)
    return engine


def _reading_engine(path: Path) -> Engine:
    # Opened read-only, not only told so: the last of other connections to close writes the log into the
    # index and removes it, and after a crash that is for the writer alone, who looks at the log first.
    uri = f"{path.absolute().as_uri()}?mode=ro"
    return create_engine("sqlite://", poolclass=NullPool, creator=lambda: sqlite3.connect(uri, uri=True))


def _set_up(read_only: bool) -> Any:
    def on_connect(connection: sqlite3.Connection, _record: object) -> None:
        # The driver's own transaction handling would hide BEGIN IMMEDIATE and break DDL transactions.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA foreign_keys = ON")
        # An index can come from elsewhere: nothing in its schema may call a function that has effects.
        connection.execute("PRAGMA trusted_schema = OFF")
        if read_only:
            connection.execute("PRAGMA query_only = ON")
            return
        connection.execute("PRAGMA journal_mode = WAL")
        _demand_full_sync(connection)

    return on_connect


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_reading(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


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
    except DatabaseError as error:
        raise explain(path, error.orig or error) from error
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
