"""Which index this is, wherever its file lies, and whether it holds anything that it did not hold before."""

from __future__ import annotations

import secrets
from hashlib import sha256

from sqlalchemy import Connection, Table, select
from sqlalchemy.dialects.sqlite import insert as upsert

from collectord.index import tables
from collectord.index.engine import readable_errors
from collectord.index.reader import IndexReader, content_digest
from collectord.index.writer import IndexWriter, info
from collectord.kernel.jsonio import ascii_json

IDENTITY = "identity"  # where in index_info it stands
PUSHED = "push_done_ms"  # where in index_info stands when it was pushed to a fleet last
# When a process of the kernel was seen last moves every half a minute and changes no row.
_MOVING = frozenset({"last_seen_ms"})
_OF_ENVIRONMENTS = (
    tables.environments,
    tables.environment_observations,
    tables.kernel_sessions,
    tables.epoch_cuts,
    tables.sealed_epochs,
)


def identity(reader: IndexReader) -> str | None:
    """32 hexadecimal digits that were drawn for this index once; None before that."""
    return reader.info(IDENTITY)


def give_identity(writer: IndexWriter) -> str:
    """Draw the identity of an index that has none; gives the one that it has from then on."""
    drawn = upsert(tables.index_info).values(key=IDENTITY, value=secrets.token_hex(16))
    with readable_errors(writer.path), writer.transaction() as connection:
        connection.execute(drawn.on_conflict_do_nothing())
        return str(info(connection, IDENTITY))


def lasting_content(reader: IndexReader) -> str:
    """sha256 hex of all that datasets, environments and epochs are made of; signs of life are not in it."""
    with readable_errors(reader.path):
        environments = [_rows(reader.connection, table) for table in _OF_ENVIRONMENTS]
        parts = [content_digest(reader.connection), *environments]
    return sha256("\0".join(parts).encode("ascii")).hexdigest()


def _rows(connection: Connection, table: Table) -> str:
    columns = [column for column in table.columns if column.name not in _MOVING]
    query = select(*columns).order_by(*table.primary_key)
    return ascii_json([list(row) for row in connection.execute(query)])
