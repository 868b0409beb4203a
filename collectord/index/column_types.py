"""Values on their way into typed columns: what SQLite cannot hold is written so that it can."""

from __future__ import annotations

from typing import overload

MAX_INT = 2**63 - 1


@overload
def db_text(value: str) -> str: ...
@overload
def db_text(value: None) -> None: ...
def db_text(value: str | None) -> str | None:
    """The text with lone surrogates and NULs written as escapes; for looking at, not for hashing."""
    if value is None or value.isprintable():
        return value
    return value.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")


def db_int(value: int | None) -> int | None:
    """The integer, or None where it does not fit into 64 bits."""
    return int(value) if value is not None and -MAX_INT - 1 <= value <= MAX_INT else None


def db_real(value: float | None) -> float | None:
    """The number, or None for NaN, which SQLite would turn into NULL by itself."""
    return None if value is None or value != value else float(value)
