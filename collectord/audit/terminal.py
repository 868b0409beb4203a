"""The audit on a terminal: first what to do, then why. It reads the JSON document alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from collectord.audit.document import AuditDocument
from collectord.audit.findings import Finding
from collectord.audit.layout import Table, day
from collectord.audit.sections import SECTIONS, Section
from collectord.system.names import printable

if TYPE_CHECKING:
    from rich.console import Console

_NOTES = frozenset({"note", "undetermined"})
_MOST_TO_DO = 10
_PLAIN_WIDTH = 110


def show(document: AuditDocument, file: TextIO, *, width: int | None = None) -> None:
    """Write the page; in colour and as wide as the terminal where the file is one."""
    from rich.console import Console

    console = Console(file=file, width=width or (None if file.isatty() else _PLAIN_WIDTH), highlight=False)
    _head(console, document)
    _to_do(console, document.findings)
    for section in SECTIONS:
        _section(console, section, document)


def _line(console: Console, text: str, style: str = "") -> None:
    from rich.text import Text

    console.print(Text(printable(text), style))


def _head(console: Console, document: AuditDocument) -> None:
    window = document.window
    _line(console, f"Audit of {document.repo}", "bold")
    epoch = f", epoch {document.epoch}" if document.epoch is not None else ""
    days = f"{day(window.from_ms)} to {day(window.to_ms)}"
    _line(console, f"{window.words} ({days}), {document.runs:,} runs in all{epoch}")
    _line(console, document.phase.words)
    console.print()


def _to_do(console: Console, findings: Sequence[Finding]) -> None:
    pressing = [finding for finding in findings if finding.kind not in _NOTES]
    _line(console, "What to do" if pressing else "Nothing presses", "bold underline")
    for number, finding in enumerate(pressing[:_MOST_TO_DO], 1):
        _finding(console, f"{number}. ", finding)
    if len(pressing) > _MOST_TO_DO:
        _line(console, f"… and {len(pressing) - _MOST_TO_DO} more in --json", "dim")
    notes = [finding for finding in findings if finding.kind in _NOTES]
    if notes:
        _line(console, "Less pressing", "bold")
        for finding in notes:
            _finding(console, "·  ", finding)
    console.print()


def _finding(console: Console, mark: str, finding: Finding) -> None:
    from rich.table import Table as Drawn
    from rich.text import Text

    text = Text(printable(finding.do), "bold" if mark[0].isdigit() else "")
    text.append(f"  [{finding.kind}]", "cyan")
    row = Drawn.grid(padding=0)
    row.add_column(width=len(mark))
    row.add_column(overflow="fold")
    row.add_row(Text(mark), text)
    row.add_row(Text(""), Text(printable(finding.why), "dim"))
    console.print(row)


def _section(console: Console, section: Section, document: AuditDocument) -> None:
    _line(console, section.title, "bold underline")
    for line in section.lines(document):
        _line(console, line)
    for table in section.tables(document):
        if table.rows:
            _table(console, table)
    console.print()


def _table(console: Console, shown: Table) -> None:
    from rich.table import Table as Drawn
    from rich.text import Text

    drawn = Drawn(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for place, name in enumerate(shown.columns):
        drawn.add_column(name, justify="right" if shown.is_number(place) else "left", overflow="fold")
    for row in shown.rows:
        drawn.add_row(*[Text(printable(cell)) for cell in row])
    _line(console, shown.caption, "italic")
    console.print(drawn)
