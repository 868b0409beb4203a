"""What views show beside the findings: sections of plain lines and tables, not escaped yet. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from collectord.audit.formatting import percent, span

JsonObject = dict[str, Any]
NOTHING = "–"


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a caption."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def is_number(self, place: int) -> bool:
        """Whether a column holds numbers alone; the first one names the rows."""
        return place > 0 and all(_is_number(row[place]) for row in self.rows)


def _is_number(cell: str) -> bool:
    return cell.replace(",", "").replace(".", "").replace(" %", "").strip("–-").isdigit() or cell in ("", "–")


@dataclass(frozen=True, slots=True)
class Section:
    """One answer: `lines` come first, then `tables`."""

    key: str
    title: str
    lines: Callable[[JsonObject], list[str]]
    tables: Callable[[JsonObject], list[Table]]


def share_words(interval: JsonObject) -> str:
    """A share with its interval, from the document."""
    return f"{percent(interval['share'])} ({span(interval['low'], interval['high'])})"


def no_tables(_document: JsonObject) -> list[Table]:
    """For answers that are lines alone."""
    return []
