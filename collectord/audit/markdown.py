"""The first screen of an audit as Markdown, for a chat or a pull request. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from collectord.audit.document import AuditDocument
from collectord.audit.layout import day
from collectord.audit.overview import MOST_TO_DO, more_words, pressing
from collectord.system.names import printable

_MARKS = {"good": "✓", "watch": "◐", "act": "▲"}


def markdown(document: AuditDocument) -> str:
    """The sentence, the tiles as a table, what to do."""
    return "\n".join(_lines(document)) + "\n"


def _lines(document: AuditDocument) -> Iterator[str]:
    yield f"**{_text(document.overview.sentence)}**"
    yield ""
    yield f"Audit of {day(document.made_ms)}, {document.window.words}, {document.runs:,} runs in all."
    yield ""
    yield "| | | | |"
    yield "| --- | --- | --- | --- |"
    for tile in document.overview.tiles:
        state = f"{_MARKS[tile.state]} {tile.state}"
        yield f"| {state} | {_text(tile.title)} | {_text(tile.value)} | {_text(tile.detail)} |"
    yield ""
    todo = pressing(document.findings)
    for number, one in enumerate(todo[:MOST_TO_DO], 1):
        yield f"{number}. **{_text(one.do)}**: {_text(one.why)}"
    if not todo:
        yield "Nothing to do this week."
    if more := more_words(document.findings):
        yield f"\nThe page has {more}."


def _text(text: str) -> str:
    """On one line, with what Markdown would take for its own escaped; code in backticks stays code."""
    plain = printable(" ".join(text.split()))
    for character in "\\*_[]<>|#":
        plain = plain.replace(character, f"\\{character}")
    return plain
