"""The schema's version: making, upgrading and refusing index files.

Alembic, and SQLAlchemy for it, are imported only to migrate.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from collectord.errors import CollectordError, IndexMissing, IndexTooNew, IndexTooOld
from collectord.index.engine import connect, readable_errors
from collectord.index.files import backup_file

if TYPE_CHECKING:
    from sqlalchemy import Connection

# The newest revision in migrations/versions, in order; a test holds this list against the folder.
REVISIONS = ("0001", "0002", "0003", "0004", "0005")
HEAD = REVISIONS[-1]


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What an upgrade did; `backup` is the copy of the file as it was before."""

    before: str | None
    after: str
    backup: Path | None


def migrations_dir() -> Path:
    """`migrations/` beside the package in a checkout, or inside the installed package."""
    package = Path(__file__).resolve().parent.parent
    for candidate in (package / "_migrations", package.parent / "migrations"):
        if (candidate / "env.py").is_file():
            return candidate
    raise CollectordError(f"the migrations are missing beside {package}: install collectord again")


def version_of(path: Path) -> str | None:
    """The schema revision of an index file; None where the file has none yet."""
    with readable_errors(path), closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if found else None
    return str(row[0]) if row else None


def require_exists(path: Path) -> None:
    """Raise IndexMissing if there is no index file."""
    if not path.exists():
        raise IndexMissing(f"{path}: there is no index yet; run `collectord ingest` first")


def require_current(path: Path) -> None:
    """Raise the sentence that fits if the index file is missing, older or newer than this code."""
    require_exists(path)
    version = version_of(path)
    if version == HEAD:
        return
    if version is None or version in REVISIONS:
        raise IndexTooOld(
            f"{path}: the index has schema {version or 'none'}, this collectord wants {HEAD}: "
            "run `collectord db upgrade`, which makes a backup first"
        )
    raise _too_new(path, version)


def _too_new(path: Path, version: str) -> IndexTooNew:
    return IndexTooNew(
        f"{path}: the index has schema {version}, which this collectord does not know (up to {HEAD}): "
        "it was written by a newer collectord; install that one, or name another state folder"
    )


def upgrade(path: Path) -> Upgrade:
    """Bring an index file to the newest schema, in one transaction, after a backup if it held anything."""
    before = version_of(path) if path.exists() else None
    if before is not None and before not in REVISIONS:
        raise _too_new(path, before)
    if before == HEAD:
        return Upgrade(before, HEAD, None)
    backup = None
    if before is not None:
        backup = path.with_name(f"{path.name}.before-{HEAD}")
        backup_file(path, backup)
    _migrate(path)
    return Upgrade(before, HEAD, backup)


def _migrate(path: Path) -> None:
    from alembic import command
    from alembic.config import Config

    if not path.exists():
        path.touch(mode=0o600)
    config = Config()
    config.set_main_option("script_location", str(migrations_dir()).replace("%", "%%"))
    with readable_errors(path), migrating(path) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def migrating(path: Path) -> Iterator[Connection]:
    """One write transaction of SQLAlchemy, for Alembic and for nothing else; makes the file."""
    from sqlalchemy import create_engine, event
    from sqlalchemy.exc import DatabaseError
    from sqlalchemy.pool import NullPool

    def raw() -> sqlite3.Connection:
        connection = connect(path, read_only=False)
        connection.row_factory = None
        return connection

    engine = create_engine("sqlite://", poolclass=NullPool, creator=raw)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        with engine.begin() as connection:
            yield connection
    except DatabaseError as error:
        raise (error.orig or error) from error
    finally:
        engine.dispose()
