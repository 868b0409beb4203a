"""What an index file holds and what stands on disk, read without any of collectord's own code.

Everything that the fault tests hold against each other comes from here: SQLite's own checks, the digests of
files, and the shape that rows of a whole run have.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path

CORE = ("manifest.json", "proof.json", "rollout.json", ".workcell")
# What moves without anything having happened.
VOLATILE = {
    "daemon": ("*",),
    "index_info": (
        *("last_ingest_ms", "environment_last_look_ms", "disk_usage", "evaluated_inputs", "passes"),
        *("backup_done_ms", "prune_done_ms", "usage_done_ms", "push_done_ms"),
    ),
    "sources": ("*",),
}
# What a run is made of.
OF_RUNS = ("archives", "revisions", "artifacts", "revision_files", "runs", "labels", "quarantine")
Digests = dict[str, str]

_STANDING = """
    SELECT a.name, a.state, f.name, f.sha256 FROM archives a
    JOIN revisions r ON r.archive_id = a.id AND r.number = a.revision
    LEFT JOIN revision_files f ON f.revision_id = r.id
    WHERE a.kind = 'archive' AND a.state IN ('indexed', 'partial') AND (a.gone_ms IS NULL OR :gone)
"""
_HALF = """
    SELECT a.name || ': revision ' || r.number || ' is indexed and has no run or label'
    FROM revisions r JOIN archives a ON a.id = r.archive_id
    LEFT JOIN runs ON runs.revision_id = r.id LEFT JOIN labels ON labels.revision_id = r.id
    WHERE a.kind = 'archive' AND r.partial IS NULL
      AND (runs.revision_id IS NULL OR labels.revision_id IS NULL)
    UNION ALL
    SELECT a.name || ': revision ' || r.number || ' has no manifest' FROM revisions r
    JOIN archives a ON a.id = r.archive_id WHERE a.kind = 'archive' AND r.partial IS NULL AND NOT EXISTS
      (SELECT 1 FROM revision_files f WHERE f.revision_id = r.id AND f.name = 'manifest.json')
    UNION ALL
    SELECT a.name || ': its current revision is not there' FROM archives a WHERE a.revision IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM revisions r WHERE r.archive_id = a.id AND r.number = a.revision)
    UNION ALL
    SELECT name || ': there twice' FROM archives GROUP BY kind, name HAVING count(*) > 1
"""


@contextmanager
def reading(index: Path) -> Iterator[sqlite3.Connection]:
    """A connection of Python's own SQLite to an index file."""
    with closing(sqlite3.connect(index)) as connection:
        connection.execute("PRAGMA busy_timeout = 5000")
        yield connection


def standing(index: Path, *, gone: bool = False) -> dict[str, Digests]:
    """Archive → core file → sha256 of every current revision; `gone`: also of archives held to be gone."""
    found: dict[str, Digests] = {}
    with reading(index) as connection:
        for name, _state, file, digest in connection.execute(_STANDING, {"gone": gone}):
            found.setdefault(name, {}).update({file: digest} if file else {})
    return found


def states(index: Path) -> dict[str, str]:
    """Archive → its state."""
    with reading(index) as connection:
        return dict(connection.execute("SELECT name, state FROM archives WHERE kind = 'archive'"))


def gone(index: Path) -> set[str]:
    """Archives that are held to be gone."""
    with reading(index) as connection:
        rows = connection.execute("SELECT name FROM archives WHERE gone_ms IS NOT NULL AND kind = 'archive'")
        return {name for (name,) in rows}


def revisions(index: Path) -> dict[str, list[tuple[int, Digests]]]:
    """Archive → its revisions as (number, core file → sha256), oldest first."""
    query = """
        SELECT a.name, r.number, f.name, f.sha256 FROM archives a JOIN revisions r ON r.archive_id = a.id
        LEFT JOIN revision_files f ON f.revision_id = r.id WHERE a.kind = 'archive' ORDER BY a.name, r.number
    """
    found: dict[str, dict[int, Digests]] = {}
    with reading(index) as connection:
        for name, number, file, digest in connection.execute(query):
            found.setdefault(name, {}).setdefault(number, {}).update({file: digest} if file else {})
    return {name: sorted(numbers.items()) for name, numbers in found.items()}


def on_disk(archives: Path, ignore: frozenset[str] = frozenset({"orphaned-workcells"})) -> dict[str, Digests]:
    """Archive → core file → sha256 of what stands in the archives folder."""
    folders = [path for path in archives.iterdir() if path.is_dir() and path.name not in ignore]
    return {folder.name: core_digests(folder) for folder in folders}


def core_digests(folder: Path) -> Digests:
    """Core file → sha256 of one archive."""
    files = (folder / core for core in CORE)
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in files if path.exists()}


def troubles(index: Path) -> list[str]:
    """Everything that is wrong in an index by itself: pages, references, half runs, doubles, bytes."""
    with reading(index) as connection:
        found = [said for (said,) in connection.execute("PRAGMA integrity_check") if said != "ok"]
        found += [f"foreign key: {row}" for row in connection.execute("PRAGMA foreign_key_check")]
        found += [said for (said,) in connection.execute(_HALF)]
        for digest, codec, data in connection.execute("SELECT sha256, codec, data FROM artifacts"):
            if sha256(zlib.decompress(data) if codec == "zlib" else data).hexdigest() != digest:
                found.append(f"artifact {digest}: other bytes")
    return found


def differences(index: Path, archives: Path) -> list[str]:
    """How the archives on disk and those in the index differ, in words; nothing where they are the same."""
    disk, indexed = on_disk(archives), standing(index)
    found = [f"{name}: lost" for name in sorted(disk.keys() - indexed.keys())]
    found += [f"{name}: not on disk" for name in sorted(indexed.keys() - disk.keys())]
    both = sorted(disk.keys() & indexed.keys())
    return found + [f"{n}: {disk[n]} on disk, {indexed[n]} indexed" for n in both if disk[n] != indexed[n]]


def dump(index: Path) -> dict[str, Counter[str]]:
    """Every row of every table, without what moves by itself: equal dumps, nothing changed."""
    with reading(index) as connection:
        tables = [t for (t,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {t: Counter(_rows(connection, t)) for t in tables if VOLATILE.get(t) != ("*",)}


def _rows(connection: sqlite3.Connection, table: str) -> Iterator[str]:
    for row in connection.execute(f"SELECT * FROM {table}"):
        if row[0] not in VOLATILE.get(table, ()):
            yield json.dumps([v.hex() if isinstance(v, bytes) else v for v in row])
