"""Parquet files on a storage, read a row group at a time so that memory stays bounded."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from collectord.dataset.columns import Column
from collectord.dataset.parquet import arrow_schema
from collectord.fleet.storage import Storage, StorageError, as_storage_error


class StoredTable:
    """One Parquet file of so many `rows`; no handle stays open, as there can be thousands of files."""

    def __init__(self, storage: Storage, name: str, columns: Sequence[Column]) -> None:
        import pyarrow.parquet as pq

        self._storage, self.name = storage, name
        self._names = [column.name for column in columns]
        with (
            as_storage_error(self._said, "reading"),
            storage.open(name) as file,
            pq.ParquetFile(file) as parquet,
        ):
            self._metadata = parquet.metadata
            if not parquet.schema_arrow.equals(arrow_schema(columns)):
                raise StorageError(f"{self._said}: has other columns than those of this collectord")
        sizes = [self._metadata.row_group(number).num_rows for number in range(self._metadata.num_row_groups)]
        self._ends = list(accumulate(sizes))
        self.rows = self._metadata.num_rows

    @property
    def _said(self) -> str:
        return f"{self._storage.url}/{self.name}"

    @property
    def groups(self) -> int:
        """How many row groups there are."""
        return len(self._ends)

    def place(self, row: int) -> tuple[int, int]:
        """(row group, row in it) of a row."""
        group = bisect_right(self._ends, row)
        return group, row - (self._ends[group - 1] if group else 0)

    def read(self, group: int, columns: Sequence[str] | None = None) -> Any:
        """A row group as an Arrow table."""
        import pyarrow.parquet as pq

        with (
            as_storage_error(self._said, "reading"),
            self._storage.open(self.name) as file,
            pq.ParquetFile(file, metadata=self._metadata) as parquet,
        ):
            return parquet.read_row_group(group, columns=columns or self._names, use_threads=False)

    def records(self, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """Every row, in order."""
        for group in range(self.groups):
            yield from self.read(group, columns).to_pylist()
