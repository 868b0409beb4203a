"""What stands beside a figure: the same work by others, or the least of it; each is a process of its own."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

CORE = ("manifest.json", "proof.json", "rollout.json", ".workcell")
_CHUNK = 2**20


def lstat(archives: str) -> None:
    """An lstat of each archive and of each entry in it."""
    for folder in _folders(archives):
        os.lstat(folder)
        with os.scandir(folder) as entries:
            for entry in entries:
                entry.stat(follow_symlinks=False)


def parse(archives: str) -> None:
    """Open, read, json.loads and sha256 of the core files."""
    for folder in _folders(archives):
        for name in CORE:
            try:
                with open(f"{folder}/{name}", "rb") as file:
                    data = file.read()
            except FileNotFoundError:
                continue
            json.loads(data)
            sha256(data).hexdigest()


def _folders(archives: str) -> Iterator[str]:
    with os.scandir(archives) as folders:
        for folder in folders:
            yield folder.path


def duckdb_table(archives: str, target: str) -> None:
    """DuckDB's reader of JSON over the manifests, into a table."""
    import duckdb

    Path(target).unlink(missing_ok=True)
    with duckdb.connect(target) as connection:
        connection.execute("SET threads = 1")
        connection.execute(
            "CREATE TABLE runs AS SELECT * FROM "
            f"read_json_objects('{archives}/*/manifest.json', format = 'unstructured')"
        )


def copy_and_hash(dataset: str, folder: str) -> None:
    """Read the files of a dataset, write them again, fsync and sha256; Parquet by pyarrow alone."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    for source in sorted(Path(dataset).rglob("*")):
        if source.is_file() and source.suffix != ".parquet":
            _copy(source, target / source.name)
        elif source.suffix == ".parquet":
            _rewrite(source, target / source.name)


def _copy(source: Path, target: Path) -> None:
    digest = sha256()
    with source.open("rb") as read, target.open("wb", buffering=0) as write:
        while block := read.read(_CHUNK):
            digest.update(block)
            write.write(block)
        os.fsync(write.fileno())


def _rewrite(source: Path, target: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(pq.read_table(source), target, compression="zstd")
    sha256(target.read_bytes()).hexdigest()


PEERS: dict[str, Callable[..., None]] = {
    peer.__name__: peer for peer in (lstat, parse, duckdb_table, copy_and_hash)
}

if __name__ == "__main__":
    PEERS[sys.argv[1]](*sys.argv[2:])
