"""Giving an archive in quarantine another chance without a change on disk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from sqlalchemy import update

from collectord.index import tables
from collectord.index.writer import IndexWriter, KnownKey


def requeue(writer: IndexWriter, keys: Iterable[KnownKey]) -> None:
    """Forget what the directories looked like and how often they were tried: the next pass reads them."""
    forgotten: dict[str, object] = {"signature": None, "tries": 0}
    found = [(key, replace(writer.known[key], signature=None, tries=0)) for key in keys]
    with writer.transaction() as connection:
        for (kind, name), _ in found:
            connection.execute(update(tables.archives).filter_by(kind=kind, name=name).values(forgotten))
    writer.known.update(found)
