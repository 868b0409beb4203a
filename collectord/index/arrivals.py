"""Times of arrival, where an archive had to be read again that had arrived before."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import update

from collectord.index import tables
from collectord.index.writer import IndexWriter, KnownKey


def set_arrivals(writer: IndexWriter, arrivals: Mapping[KnownKey, tuple[int, int | None]]) -> None:
    """Give archives back when they were first seen and first complete: histories may depend on it."""
    a = tables.archives
    with writer.transaction() as connection:
        for (kind, name), (seen_ms, complete_ms) in arrivals.items():
            of_it = update(a).filter_by(kind=kind, name=name)
            connection.execute(of_it.values(first_seen_ms=seen_ms))
            if complete_ms is not None:
                connection.execute(of_it.where(a.c.complete_ms.is_not(None)).values(complete_ms=complete_ms))
