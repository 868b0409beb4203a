"""A full check of the index: pages, references, and the digest of every artifact."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, select

from collectord.errors import IndexDamaged
from collectord.index import tables
from collectord.index.codec import unpack
from collectord.index.engine import readable_errors
from collectord.index.reader import IndexReader

MAX_FINDINGS = 100
_ARTIFACT = (tables.artifacts.c.sha256, tables.artifacts.c.codec, tables.artifacts.c.data)


def check_index(reader: IndexReader) -> tuple[list[str], int]:
    """Sentences for what is wrong, at most a hundred, and how many artifacts were looked at."""
    findings: list[str] = []
    looked_at = 0
    try:
        with readable_errors(reader.path):
            findings += _pages(reader.connection)
            for digest, codec, data in reader.connection.execute(select(*_ARTIFACT)):
                looked_at += 1
                findings += _artifact(digest, codec, data)
    except IndexDamaged as damage:
        cause = damage.__cause__
        findings.append(f"cannot be read to its end: {getattr(cause, 'orig', None) or cause}")
    return findings[:MAX_FINDINGS], looked_at


def _pages(connection: Connection) -> Iterator[str]:
    for (said,) in connection.exec_driver_sql(f"PRAGMA integrity_check({MAX_FINDINGS})"):
        if said != "ok":
            yield f"pages: {said}"
    for row in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        yield f"{row[0]}: row {row[1]} names a row of {row[2]} that is not there"


def _artifact(digest: str, codec: str, data: bytes) -> list[str]:
    try:
        unpack(digest, codec, data)
    except IndexDamaged as damage:
        return [str(damage).partition(";")[0]]
    return []
