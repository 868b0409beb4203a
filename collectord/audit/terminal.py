"""The audit on a terminal: first what to do, then why. It reads the JSON document alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from collectord.audit.document import AuditDocument
from collectord.audit.findings import Finding
from collectord.audit.layout import Table, day
from collectord.audit.overview import MOST_TO_DO, more_words, overview_lines, pressing
from collectord.audit.sections import Section, shown_sections, waiting_words
from collectord.system.names import printable

if TYPE_CHECKING:
    from rich.console import Console

_PLAIN_WIDTH = 110
SCREEN = 24
_STYLES = {"good": "green", "watch": "yellow", "act": "bold red"}


def show(document: AuditDocument, file: TextIO, *, width: int | None = None, full: bool = True) -> None:
    """Write the first screen, or the `full` audit; in colour and as wide as the terminal, if it is one."""
    from rich.console import Console

    console = Console(file=file, width=width or (None if file.isatty() else _PLAIN_WIDTH), highlight=False)
    if not full:
        _first_screen(console, document)
        return
    _head(console, document)
    _to_do(console, document.findings)
    _since(console, document)
    said, waiting = shown_sections(document)
    for section in said:
        _section(console, section, document)
    if waiting:
        _line(console, waiting_words(waiting))


def _first_screen(console: Console, document: AuditDocument) -> None:
    """At most 24 lines: the sentence, the tiles, as many things to do as fit."""
    window = document.window
    sentence = _wrapped(document.overview.sentence, console.width)
    _line(console, f"Audit of {document.repo}, {window.words}, {document.runs:,} runs in all", "dim")
    for text in sentence:
        _line(console, text, "bold")
    for tile, text in zip(document.overview.tiles, overview_lines(document.overview), strict=True):
        _line(console, text[: console.width], _STYLES[tile.state])
    room = SCREEN - 1 - len(sentence) - len(document.overview.tiles) - 3
    todo = pressing(document.findings)
    _line(console, "This week" if todo else "Nothing to do this week", "bold")
    listed = [_wrapped(f"{n}. {finding.do}", console.width) for n, finding in enumerate(todo[:MOST_TO_DO], 1)]
    for lines in _fitted(listed, room):
        for text in lines:
            _line(console, text)
    more = more_words(document.findings)
    _line(console, f"{more}, the reasons and every section: --full" if more else "All of it: --full", "dim")


def _fitted(listed: list[list[str]], room: int) -> list[list[str]]:
    """All of them in so many lines: the longest lose their ends, each keeps its first line."""
    fitted = [list(lines) for lines in listed]
    while sum(map(len, fitted)) > room and (longest := max(fitted, key=len))[1:]:
        longest.pop()
        longest[-1] = f"{longest[-1][:-1]}…"
    return fitted


def _wrapped(text: str, width: int) -> list[str]:
    from textwrap import wrap

    return wrap(printable(text), max(20, width - 1), subsequent_indent="   " if text[:1].isdigit() else "")


def _since(console: Console, document: AuditDocument) -> None:
    if (since := document.since) is None:
        return
    _line(console, f"Since {day(since.made_ms)}", "bold underline")
    for text in (
        f"{since.runs:,} runs since the audit before",
        *since.advised,
        *(f"{one.title}: {one.before} → {one.now}" for one in since.changes),
        *(f"new: {do}" for do in since.new),
        *(f"no longer so: {do}" for do in since.gone),
    ):
        _line(console, text)
    console.print()


def _line(console: Console, text: str, style: str = "") -> None:
    from rich.text import Text

    console.print(Text(printable(text), style))


def _head(console: Console, document: AuditDocument) -> None:
    window = document.window
    _line(console, f"Audit of {document.repo}", "bold")
    epoch = f", epoch {document.epoch}" if document.epoch is not None else ""
    days = f"{day(window.from_ms)} to {day(window.to_ms)}"
    _line(console, f"{window.words} ({days}), {document.runs:,} runs in all{epoch}")
    _line(console, document.overview.sentence, "bold")
    for tile, text in zip(document.overview.tiles, overview_lines(document.overview), strict=True):
        _line(console, text, _STYLES[tile.state])
    console.print()


def _to_do(console: Console, findings: Sequence[Finding]) -> None:
    todo = pressing(findings)
    _line(console, "This week" if todo else "Nothing to do this week", "bold underline")
    for number, finding in enumerate(todo[:MOST_TO_DO], 1):
        _finding(console, f"{number}. ", finding)
    if more := more_words(findings):
        _line(console, more, "bold")
    for number, finding in enumerate(todo[MOST_TO_DO:], MOST_TO_DO + 1):
        _finding(console, f"{number}. ", finding)
    for finding in findings:
        if finding not in todo:
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
    items = section.items(document)
    if items:
        _line(console, section.items_title, "italic")
    for place, item in enumerate(items, 1):
        _line(console, f"{place}. {item.what}")
        for words in item.words:
            _line(console, f"   {words}")
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
