"""The index of a repo opened for reading or writing, and the time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from collectord.index.files import finish_exchange
from collectord.index.reader import IndexReader
from collectord.system.durable import ensure_private_dir
from collectord.system.lock import StateLock

if TYPE_CHECKING:
    from collectord.config import Settings
    from collectord.index.schema import Upgrade
    from collectord.index.writer import IndexWriter


def now_ms() -> int:
    """The wall clock, UTC epoch milliseconds."""
    return time.time_ns() // 1_000_000


@contextmanager
def writer_for(settings: Settings, command: str) -> Iterator[IndexWriter]:
    """The index for writing, behind the state lock; raises LockHeld naming the holder."""
    from collectord.index.writer import IndexWriter

    ensure_private_dir(settings.state_dir)
    with StateLock.acquire(settings.lock_path, command):
        finish_exchange(settings.index_path)
        writer = IndexWriter(settings.index_path)
        try:
            yield writer
        finally:
            writer.close()


@contextmanager
def reader_for(settings: Settings) -> Iterator[IndexReader]:
    """One consistent view of the index, beside whatever writes it."""
    with IndexReader(settings.index_path) as reader:
        yield reader


def upgrade(settings: Settings) -> Upgrade:
    """Bring the index to the newest schema, behind the state lock."""
    from collectord.index.schema import require_exists, upgrade

    require_exists(settings.index_path)
    with StateLock.acquire(settings.lock_path, "collectord db upgrade"):
        return upgrade(settings.index_path)
