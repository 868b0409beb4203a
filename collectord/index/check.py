"""A full check of the index: pages, references, and the digest of every artifact."""

from __future__ import annotations

from sqlalchemy import select

from collectord.errors import IndexDamaged
from collectord.index import tables
from collectord.index.codec import unpack
from collectord.index.engine import readable_errors
from collectord.index.reader import IndexReader

MAX_FINDINGS = 100


def check_index(reader: IndexReader) -> tuple[list[str], int]:
    """Sentences for what is wrong, at most a hundred, and how many artifacts were looked at."""
    findings: list[str] = []
    with readable_errors(reader.path):
        for (said,) in reader.connection.exec_driver_sql(f"PRAGMA integrity_check({MAX_FINDINGS})"):
            if said != "ok":
                findings.append(f"pages: {said}")
        for row in reader.connection.exec_driver_sql("PRAGMA foreign_key_check"):
            findings.append(f"{row[0]}: row {row[1]} names a row of {row[2]} that is not there")
        table, looked_at = tables.artifacts, 0
        for digest, codec, data in reader.connection.execute(
            select(table.c.sha256, table.c.codec, table.c.data)
        ):
            looked_at += 1
            try:
                unpack(digest, codec, data)
            except IndexDamaged as damage:
                findings.append(str(damage))
    return findings[:MAX_FINDINGS], looked_at
