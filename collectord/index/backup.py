"""Copies of the index file that are consistent while it is being written."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from collectord.errors import CollectordError
from collectord.fs import fsync_dir
from collectord.index.engine import readable_errors


def backup_file(source: Path, target: Path) -> None:
    """Copy an index file through SQLite's online backup, check the copy, and put it in place atomically."""
    partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
    try:
        with readable_errors(source):
            _copy(source, partial)
        partial.chmod(0o600)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    fsync_dir(target.parent)


def _copy(source: Path, partial: Path) -> None:
    uri = f"{source.as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as old, closing(sqlite3.connect(partial)) as new:
        old.backup(new)
        new.execute("PRAGMA journal_mode = DELETE")
        found = new.execute("PRAGMA integrity_check").fetchone()[0]
    if found != "ok":
        raise CollectordError(
            f"{source}: the copy did not pass its check ({found}); run `collectord db recover`"
        )
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
