"""Columns of Python values as Arrow arrays, built from their buffers.

`pyarrow.array` would import pandas wherever that is installed: half a second and 60 MB for nothing.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import accumulate, chain
from typing import Any

from collectord.export.columns import FLAG, INTEGER, REAL, TEXT, TEXTS, Column

_Validity = tuple[Any, int]


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
    validity = _validity(values)
    if kind == TEXTS:
        return _texts(values, validity)
    if kind == TEXT:
        return _text(values, validity)
    if kind == FLAG:
        bits = _bits([bool(value) for value in values])
        return _from_buffers(kind, len(values), validity, [bits])
    numbers = array("q" if kind == INTEGER else "d", [0 if value is None else value for value in values])
    return _from_buffers(kind, len(values), validity, [_buffer(numbers)])


def _text(values: Sequence[str | None], validity: _Validity) -> Any:
    parts: Sequence[Sequence[Any]] = [value or "" for value in values]
    joined = "".join(value for value in values if value)
    data = joined.encode("utf-8", "backslashreplace")
    if len(data) != len(joined):
        parts = [(value or "").encode("utf-8", "backslashreplace") for value in values]
    return _from_buffers(TEXT, len(values), validity, [_offsets(parts), _buffer(data)])


def _texts(values: Sequence[Sequence[str] | None], validity: _Validity) -> Any:
    import pyarrow as pa

    lists = [value or () for value in values]
    items = list(chain.from_iterable(lists))
    children = [_text(items, (None, 0))]
    buffers = [validity[0], _offsets(lists)]
    return pa.Array.from_buffers(arrow_type(TEXTS), len(values), buffers, validity[1], children=children)


def _from_buffers(kind: str, length: int, validity: _Validity, buffers: list[Any]) -> Any:
    import pyarrow as pa

    return pa.Array.from_buffers(arrow_type(kind), length, [validity[0], *buffers], validity[1])


def _offsets(parts: Sequence[Sequence[Any]]) -> Any:
    return _buffer(array("i", accumulate(map(len, parts), initial=0)))


def _validity(values: Sequence[object]) -> _Validity:
    nulls = sum(value is None for value in values)
    return (_bits([value is not None for value in values]) if nulls else None), nulls


def _bits(flags: Sequence[bool]) -> Any:
    # Arrow's bitmaps have the first value in the lowest bit of the first byte.
    text = "".join("1" if flag else "0" for flag in reversed(flags))
    return _buffer(int(text or "0", 2).to_bytes((len(flags) + 7) // 8, "little"))


def _buffer(data: object) -> Any:
    import pyarrow as pa

    return pa.py_buffer(data)
