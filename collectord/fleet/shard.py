"""An index that somebody else pushed: fetched within its limits, opened only when it is what it should be."""

from __future__ import annotations

import shutil
import sqlite3
import zlib
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, cast

from collectord.errors import CollectordError
from collectord.fleet.manifest import Push
from collectord.fleet.storage import CHUNK, Storage, as_storage_error
from collectord.index.runs import fill_older
from collectord.index.schema import HEAD, REVISIONS, version_of
from collectord.index.tables import metadata
from collectord.index.writer import IndexWriter

INDEX = "index.sqlite3"  # how it is called in scratch
# What zstd may keep in memory; level 3 asks for 2 MiB.
_MAX_WINDOW = 2**27
# The largest core file that any configuration lets in is 1 GiB, and the default 8 MiB.
MAX_BLOB = 2**28
# zlib makes at most 1032 bytes of one: what is smaller than this cannot become too large.
_SMALL_BLOB = MAX_BLOB // 1040
_OWN_TABLES = frozenset({*metadata.tables, "alembic_version"})
_OF_SQLITE = frozenset({"sqlite_sequence", "sqlite_stat1", "sqlite_stat4"})
_EXPRESSION = -2  # instead of a column, in an index
_BLOBS = (("artifacts", "sha256"), ("kept_rows", "hex(key)"))


class ShardRefused(CollectordError):
    """A pushed index is not what its manifest says, or holds what no index of ours does."""


def fetch(storage: Storage, push: Push, folder: Path) -> Path:
    """The index of a push as a file, byte for byte what was pushed; raises ShardRefused and StorageError.

    Nothing is unpacked beyond the size that the manifest names. Raises OSError where there is no room.
    """
    if shutil.disk_usage(folder).free < push.index_size:
        raise OSError(28, f"no room to unpack {push.index_size} bytes of {push.shard}", str(folder))
    target = folder / INDEX
    with storage.open(push.shard) as file, target.open("xb") as write:
        packed = _Counted(file, push.size, storage.url)
        digest, size = _unpack(packed, write, push)
        packed.drain()
    if (packed.size, packed.digest.hexdigest()) != (push.size, push.sha256):
        raise ShardRefused(f"{push.shard}: is not what its manifest says: other bytes lie there")
    if (size, digest) != (push.index_size, push.index_sha256):
        raise ShardRefused(f"{push.shard}: is not what its manifest says: another index is in it")
    return target


class _Counted:
    """Reads a file no further than it should be long, and digests what was read."""

    def __init__(self, file: BinaryIO, limit: int, where: str) -> None:
        self._file, self._limit, self._where = file, limit, where
        self.size, self.digest = 0, sha256()

    def read(self, size: int = -1) -> bytes:
        """At most so many more bytes."""
        with as_storage_error(self._where, "reading"):
            data = self._file.read(min(size if size >= 0 else CHUNK, self._limit + 1 - self.size))
        self.size += len(data)
        self.digest.update(data)
        return data

    def drain(self) -> None:
        """Read what is left: the digest is that of the whole file."""
        while self.read(CHUNK):
            pass


def _unpack(packed: _Counted, write: BinaryIO, push: Push) -> tuple[str, int]:
    import zstandard

    digest, size = sha256(), 0
    try:
        source = cast("BinaryIO", packed)  # it only reads
        with zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).stream_reader(source) as reader:
            while data := reader.read(CHUNK):
                size += len(data)
                if size > push.index_size:
                    raise ShardRefused(
                        f"{push.shard}: unpacks to more than the {push.index_size} bytes of its manifest"
                    )
                digest.update(data)
                write.write(data)
    except zstandard.ZstdError as error:
        raise ShardRefused(f"{push.shard}: cannot be unpacked ({error})") from error
    return digest.hexdigest(), size


def make_readable(index: Path, push: Push) -> None:
    """Let an index that was fetched be one that this collectord reads; raises ShardRefused.

    An older one is upgraded in place. Nothing in its schema is anything but a table or an index of ours.
    """
    try:
        _require_ours(index)
        version = version_of(index)
        if version != HEAD:
            if version not in REVISIONS:
                raise ShardRefused(
                    f"its index has schema {version}, and this collectord knows up to {HEAD}: "
                    "install a newer one here"
                )
            _upgrade(index)
    except ShardRefused as refused:
        raise ShardRefused(f"{push.shard}: {refused}") from None
    except (sqlite3.Error, CollectordError, ValueError, TypeError) as error:
        raise ShardRefused(f"{push.shard}: is no index that can be read ({error})") from error


def _upgrade(index: Path) -> None:
    writer = IndexWriter(index)
    try:
        with writer.transaction() as connection:
            fill_older(connection)
    finally:
        writer.close()


def _require_ours(index: Path) -> None:
    with closing(sqlite3.connect(f"{index.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "query_only = ON"):
            connection.execute(f"PRAGMA {pragma}")
        tables = set()
        for kind, name, table, sql in connection.execute(
            "SELECT type, name, tbl_name, sql FROM sqlite_master"
        ):
            _require_own_object(str(kind), str(name), str(table), str(sql or ""))
            if kind == "table" and name in _OWN_TABLES:
                tables.add(name)
            elif kind == "index":
                _require_plain(connection, str(name))
        for table in sorted(tables):
            _require_columns(connection, table)
        found = [said for (said,) in connection.execute("PRAGMA integrity_check(3)")]
        if found != ["ok"]:
            raise ShardRefused(f"its index is damaged ({'; '.join(map(str, found))[:300]})")
        for table, key in _BLOBS:
            if table in tables:
                _refuse_bombs(connection, table, key)


def _require_own_object(kind: str, name: str, table: str, sql: str) -> None:
    text = " ".join(sql.upper().split())
    is_table = kind == "table" and name in _OWN_TABLES | _OF_SQLITE and not text.startswith("CREATE VIRTUAL")
    is_index = kind == "index" and table in _OWN_TABLES and " WHERE " not in text
    if not (is_table or is_index):
        raise ShardRefused(f"its index holds a {kind} that no collectord makes ({name[:100]!r})")


def _require_plain(connection: sqlite3.Connection, name: str) -> None:
    for row in connection.execute("SELECT cid FROM pragma_index_xinfo(?)", (name,)):
        if row[0] == _EXPRESSION:
            raise ShardRefused(f"its index holds an expression that no collectord makes (in {name[:100]!r})")


def _require_columns(connection: sqlite3.Connection, table: str) -> None:
    known = set(metadata.tables[table].columns.keys()) if table in metadata.tables else {"version_num"}
    for name, hidden in connection.execute("SELECT name, hidden FROM pragma_table_xinfo(?)", (table,)):
        if hidden or name not in known:
            raise ShardRefused(f"its index has a column that no collectord makes ({table}.{str(name)[:100]})")


def _refuse_bombs(connection: sqlite3.Connection, table: str, key: str) -> None:
    query = f"SELECT {key}, data FROM {table} WHERE length(data) > {_SMALL_BLOB}"
    for name, data in connection.execute(query):
        if _unpacks_beyond(data, MAX_BLOB):
            raise ShardRefused(
                f"its index holds what unpacks to more than {MAX_BLOB} bytes ({table}: {name})"
            )


def _unpacks_beyond(data: Any, limit: int) -> bool:
    unpacking = zlib.decompressobj()
    size = 0
    try:
        left = bytes(data)
        while left and size <= limit:
            size += len(unpacking.decompress(left, CHUNK))
            left = unpacking.unconsumed_tail
    except (zlib.error, TypeError, ValueError):
        return False  # no bomb; who reads it says what it is
    return size > limit
