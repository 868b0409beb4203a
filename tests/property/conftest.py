"""What several properties start from."""

from __future__ import annotations

from pathlib import Path

import pytest

from collectord.index.writer import IndexWriter


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index without anything in it; only to be copied."""
    path = tmp_path_factory.mktemp("empty") / "index.sqlite3"
    IndexWriter(path).close()
    return path
