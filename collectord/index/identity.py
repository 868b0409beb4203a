"""Which index this is, wherever its file lies, and whether it holds anything that it did not hold before."""

from __future__ import annotations

import secrets
from hashlib import sha256

from collectord.index.engine import IndexConnection, readable_errors
from collectord.index.info import info
from collectord.index.reader import IndexReader, content_digest
from collectord.index.statements import insert
from collectord.index.writer import IndexWriter
from collectord.kernel.jsonio import ascii_json

IDENTITY = "identity"  # where in index_info it stands
# When a process of the kernel was seen last moves every half a minute and changes no row.
_MOVING = frozenset({"last_seen_ms"})
_OF_ENVIRONMENTS = (
    "SELECT * FROM environments ORDER BY fingerprint",
    "SELECT * FROM environment_observations ORDER BY id",
    "SELECT * FROM kernel_sessions ORDER BY id",
    "SELECT * FROM epoch_cuts ORDER BY id",
    "SELECT * FROM sealed_epochs ORDER BY key",
)


def identity(reader: IndexReader) -> str | None:
    """32 hexadecimal digits that were drawn for this index once; None before that."""
    return reader.info(IDENTITY)


def give_identity(writer: IndexWriter) -> str:
    """Draw the identity of an index that has none; gives the one that it has from then on."""
    drawn = {"key": IDENTITY, "value": secrets.token_hex(16)}
    with readable_errors(writer.path), writer.transaction() as connection:
        insert(connection, "index_info", drawn, keys=())
        return str(info(connection, IDENTITY))


def lasting_content(reader: IndexReader) -> str:
    """sha256 hex of all that datasets, environments and epochs are made of; signs of life are not in it."""
    with readable_errors(reader.path):
        environments = [_rows(reader.connection, query) for query in _OF_ENVIRONMENTS]
        parts = [content_digest(reader.connection), *environments]
    return sha256("\0".join(parts).encode("ascii")).hexdigest()


def _rows(connection: IndexConnection, query: str) -> str:
    found = connection.execute(query)
    moving = [place for place, column in enumerate(found.description) if column[0] in _MOVING]
    return ascii_json([[value for place, value in enumerate(row) if place not in moving] for row in found])
