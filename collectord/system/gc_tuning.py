"""Python's search for cycles, made rarer during bulk work."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# Parsed JSON is freed by its last reference and holds no cycles; searching thousands of fresh containers for
# some took a tenth of an ingest. Rarer, not off: what does make cycles is still found.
_OBJECTS = 500_000


@contextmanager
def rare_collections() -> Iterator[None]:
    """Look for cycles every 500,000 new objects instead of every 700; the old rate comes back at the end."""
    before = gc.get_threshold()
    gc.set_threshold(_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
