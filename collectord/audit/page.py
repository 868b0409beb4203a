"""The audit as one HTML page: self-contained, without a script, readable in print and by a screen reader.

It is made of the document alone. Every text is escaped; a policy in the page forbids scripts and requests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from collectord.audit.charts import CHARTS, Chart, draw
from collectord.audit.document import AuditDocument
from collectord.audit.layout import Table, capitalised, day
from collectord.audit.overview import MOST_TO_DO, more_words, pressing
from collectord.audit.sections import GLOSSARY, Item, Section, shown_sections, waiting_words
from collectord.system.names import printable

if TYPE_CHECKING:
    from markupsafe import Markup

WIDTHS = (("narrow", 300), ("wide", 740))
LONG_TABLE = 6
_DATE = re.compile(r"\b\d{4}-\d{2}-\d{2}\b(?!T)")
_RANGE = re.compile(r"(\d)–(?=\d)")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart as (class, SVG) for each width; `mark` is its id, `words` what it means."""

    mark: str
    title: str
    words: str
    drawn: tuple[tuple[str, Markup], ...]


@dataclass(frozen=True, slots=True)
class Part:
    """One section as the template has it."""

    key: str
    title: str
    lines: list[str]
    figures: list[Figure]
    tables: list[Table]
    items: list[Item]
    items_title: str


def page(document: AuditDocument) -> str:
    """The whole page."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    folder = files("collectord.audit")
    environment = Environment(
        loader=FileSystemLoader(str(folder.joinpath("templates"))),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_shown,
    )
    environment.filters |= {"code": _code, "day": day, "capitalised": capitalised}
    window = document.window
    todo = pressing(document.findings)
    said, waiting = shown_sections(document)
    return environment.get_template("page.html.j2").render(
        document=document,
        style=Markup(folder.joinpath("page.css").read_text(encoding="utf-8")),
        policy=Markup(_POLICY),
        title=f"Audit {day(document.made_ms)}",
        window=f"{window.words}, {document.runs:,} runs in all"
        + (f", epoch {document.epoch}" if document.epoch is not None else ""),
        todo=todo,
        notes=[one for one in document.findings if one not in todo],
        more=more_words(document.findings),
        most=MOST_TO_DO,
        sections=[_part(section, document) for section in said],
        waiting=waiting_words(waiting) if waiting else "",
        keys={section.key for section in said},
        glossary=GLOSSARY,
        long=LONG_TABLE,
    )


def _shown(value: Any) -> Any:
    """What comes from archives and issues holds no character that a page or a log could stumble over."""
    from markupsafe import Markup

    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _code(text: str) -> Markup:
    """A text with what stands in backticks as code; dates, ranges and `18 %` stay on one line."""
    from markupsafe import Markup

    parts = [_together(part) for part in text.split("`")]
    if len(parts) % 2 == 0:
        return Markup("`").join(parts)
    return Markup("").join(
        Markup(f"<code>{part}</code>") if place % 2 else part for place, part in enumerate(parts)
    )


def _together(text: str) -> Markup:
    from markupsafe import Markup, escape

    joined = _RANGE.sub("\\1\u2060–\u2060", printable(text)).replace(" %", "\u00a0%")
    return Markup(_DATE.sub(r"<time>\g<0></time>", str(escape(joined))))


def _part(section: Section, document: AuditDocument) -> Part:
    tables = [table for table in section.tables(document) if table.rows]
    figures = list(_figures(section, document))
    items = section.items(document)
    return Part(
        section.key, section.title, section.lines(document), figures, tables, items, section.items_title
    )


def _figures(section: Section, document: AuditDocument) -> Iterator[Figure]:
    """The charts of a section that have something to draw."""
    for place, chart in enumerate(CHARTS):
        if chart.section == section.key and chart.spec(document, WIDTHS[0][1]) is not None:
            words = chart.words(document)
            drawn = tuple(_drawn(chart, words, document, f"c{place}"))
            yield Figure(f"c{place}", chart.title, words, drawn)


def _drawn(chart: Chart, words: str, document: AuditDocument, mark: str) -> Iterator[tuple[str, Markup]]:
    from markupsafe import Markup, escape

    label = escape(printable(f"{chart.title}. {words} The numbers stand in the text and tables here."))
    for name, width in WIDTHS:
        spec = chart.spec(document, width)
        if spec is not None:
            yield name, Markup(draw(spec, label, f"{mark}-{name}"))
