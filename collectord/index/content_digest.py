"""One digest over everything in the index that an export reads."""

from __future__ import annotations

import marshal
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from sqlalchemy import Column, Connection, select

from collectord.index import tables

_BATCH = 256
# Without references between values: the same rows give the same bytes, in half the time of repr.
_MARSHAL = 2
# Looks at a directory that changed nothing in it are not content.
_OF_ARCHIVES = ("id", "kind", "name", "revision", "complete_ms", "gone_ms")
_Columns = Sequence[Column[Any]]


def content_digest(connection: Connection) -> str:
    """sha256 hex; the same digest means the same runs, labels, issues and ends, to the last column.

    The digest of a revision stands for its files. Row ids are in, so two indexes are never alike.
    """
    digest = sha256()
    for columns in _parts():
        query = select(*columns).order_by(*columns[0].table.primary_key)
        # The driver's own rows: SQLAlchemy's cost as much as all the rest.
        cursor = connection.connection.cursor()
        cursor.execute(str(query))
        while batch := cursor.fetchmany(_BATCH):
            digest.update(marshal.dumps(list(batch), _MARSHAL))
        digest.update(b"\0")
    return digest.hexdigest()


def _parts() -> list[_Columns]:
    issues = tables.issue_revisions.c
    return [
        [tables.archives.c[name] for name in _OF_ARCHIVES],
        list(tables.revisions.c),
        list(tables.runs.c),
        list(tables.labels.c),
        [issues.id, issues.issue_id, issues.seen_ms, issues.digest],
        list(tables.workcell_ends.c),
    ]
