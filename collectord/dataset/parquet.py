"""Parquet files from columns of values, and back. The only room that knows pyarrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

from collectord.dataset.columns import FLAG, INTEGER, REAL, TEXT, TEXTS, Column


def arrow_type(kind: str) -> Any:
    """The Arrow type of a kind of column."""
    import pyarrow as pa

    plain = {TEXT: pa.string(), INTEGER: pa.int64(), REAL: pa.float64(), FLAG: pa.bool_()}
    return pa.list_(pa.string()) if kind == TEXTS else plain[kind]


def arrow_schema(columns: Sequence[Column]) -> Any:
    """The Arrow schema of columns; a column that is null throughout keeps its type."""
    import pyarrow as pa

    return pa.schema([pa.field(column.name, arrow_type(column.kind)) for column in columns])


def arrow_array(kind: str, values: Sequence[Any]) -> Any:
    """One column; None is null, a lone surrogate is written as an escape. OverflowError beyond 64 bits."""
    import pyarrow as pa

    try:
        return pa.array(values, arrow_type(kind))
    except UnicodeEncodeError:
        return pa.array([_escaped(value) for value in values], arrow_type(kind))


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    return value and [_escaped(item) for item in value]


# A row group ends at whichever comes first; recorded inputs can have megabytes each. 1024 rows took 65 MB
# more at their peak, and were not faster.
_GROUP_ROWS = 256
_GROUP_TEXT = 8 * 2**20
_READ_ROWS = 256


def pyarrow_version() -> str | None:
    """The installed version of pyarrow, or None where the extra `parquet` is not installed."""
    try:
        return version("pyarrow") if find_spec("pyarrow") else None
    except PackageNotFoundError:
        return None


class ParquetFile:
    """A Parquet file that rows are added to, one after the other."""

    def __init__(self, path: Path, columns: Sequence[Column], group_rows: int = _GROUP_ROWS) -> None:
        import pyarrow.parquet as pq

        self._columns, self._group_rows = columns, group_rows
        self._schema = arrow_schema(columns)
        self._writer: Any = pq.ParquetWriter(path, self._schema, compression="zstd", compression_level=1)
        self._rows: list[Sequence[Any]] = []
        self._text = 0

    def __enter__(self) -> ParquetFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._write_group()
        self._writer.close()

    def add(self, row: Sequence[Any], size: int = 0) -> None:
        """One row in the order of the columns; `size` says how much text is in it."""
        self._rows.append(row)
        self._text += size
        if len(self._rows) == self._group_rows or self._text >= _GROUP_TEXT:
            self._write_group()

    def _write_group(self) -> None:
        import pyarrow as pa

        if not self._rows:
            return
        values = zip(*self._rows, strict=True)
        pairs = zip(self._columns, values, strict=True)
        arrays = [arrow_array(column.kind, column_values) for column, column_values in pairs]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._rows, self._text = [], 0


def read_parquet(path: Path, columns: Sequence[Column]) -> Iterator[dict[str, Any]]:
    """The rows of a file, a few at a time; ValueError where it is damaged or has other columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            if not file.schema_arrow.equals(arrow_schema(columns)):
                raise ValueError("has other columns than those of this collectord")
            for batch in file.iter_batches(batch_size=_READ_ROWS):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ValueError(f"{path.name}: {error}") from error
