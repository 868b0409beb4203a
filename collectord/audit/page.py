"""The audit as one HTML page: self-contained, without a script, readable in print and by a screen reader.

It reads the JSON document alone. Every text is escaped; a policy in the page forbids scripts and requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files

from collectord.audit.charts import CHARTS, Chart, draw
from collectord.audit.document import AuditDocument
from collectord.audit.findings import Finding
from collectord.audit.layout import Table, day
from collectord.audit.sections import SECTIONS, Section
from collectord.system.names import printable

WIDTHS = (("narrow", 300), ("wide", 760))
_NOTES = frozenset({"note", "undetermined"})
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def page(document: AuditDocument) -> str:
    """The whole page."""
    style = files("collectord.audit").joinpath("page.css").read_text(encoding="utf-8")
    title = _text(f"Audit {day(document.made_ms)}")
    head = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
    )
    return head + "\n".join(_body(document)) + "\n</body>\n</html>\n"


def _text(value: object) -> str:
    return escape(printable(str(value)))


def _body(document: AuditDocument) -> Iterator[str]:
    window = document.window
    span = f"{day(window.from_ms)} to {day(window.to_ms)}"
    epoch = f", epoch {document.epoch}" if document.epoch is not None else ""
    yield f"<header><h1>Audit of <code>{_text(document.repo)}</code></h1>"
    yield f"<p>{_text(window.words)} ({span}), {document.runs:,} runs in all{epoch}.</p>"
    yield f"<p>{_text(document.phase.words)}</p></header>\n<main>"
    yield from _to_do(document.findings)
    for section in SECTIONS:
        yield from _section(section, document)
    yield "</main>\n<footer><p>Made by collectord from its index; the same numbers stand in "
    yield "<code>collectord audit --json</code>.</p></footer>"


def _to_do(findings: Sequence[Finding]) -> Iterator[str]:
    pressing = [one for one in findings if one.kind not in _NOTES]
    notes = [one for one in findings if one.kind in _NOTES]
    title = "What to do" if pressing else "Nothing presses"
    yield f'<section aria-labelledby="todo"><h2 id="todo">{title}</h2>'
    yield from _findings(pressing, "ol")
    if notes:
        yield "<h3>Less pressing</h3>"
        yield from _findings(notes, "ul")
    yield "</section>"


def _findings(findings: Sequence[Finding], element: str) -> Iterator[str]:
    if not findings:
        return
    yield f'<{element} class="findings">'
    for one in findings:
        kind = f'<span class="kind">{_text(one.kind)}</span>'
        yield f"<li><strong>{_text(one.do)}</strong> {kind}<p>{_text(one.why)}</p></li>"
    yield f"</{element}>"


def _section(section: Section, document: AuditDocument) -> Iterator[str]:
    yield f'<section aria-labelledby="{section.key}"><h2 id="{section.key}">{_text(section.title)}</h2>'
    for line in section.lines(document):
        yield f"<p>{_text(line)}</p>"
    for place, chart in enumerate(CHARTS):
        if chart.section == section.key:
            yield from _figure(chart, f"c{place}", document)
    for place, table in enumerate(section.tables(document)):
        if table.rows:
            yield from _table(table, f"{section.key}-{place}")
    yield "</section>"


def _figure(chart: Chart, mark: str, document: AuditDocument) -> Iterator[str]:
    drawn = [(name, chart.spec(document, width)) for name, width in WIDTHS]
    yield f'<figure id="{mark}"><figcaption>{_text(chart.title)}</figcaption>'
    label = f"{_text(chart.title)}. {_text(chart.words)} The numbers stand in the text and tables here."
    for name, spec in drawn:
        if spec is not None:
            yield f'<div class="{name}">{draw(spec, label, f"{mark}-{name}")}</div>'
    if all(spec is None for _, spec in drawn):
        yield '<p class="nothing">Nothing to draw yet.</p>'
    yield "</figure>"


def _table(table: Table, mark: str) -> Iterator[str]:
    classes = [' class="number"' if table.is_number(place) else "" for place in range(len(table.columns))]
    heads = "".join(
        f'<th scope="col"{of}>{_text(name)}</th>' for name, of in zip(table.columns, classes, strict=True)
    )
    yield f'<div class="scroll" role="region" tabindex="0" aria-labelledby="t-{mark}">'
    yield f'<table><caption id="t-{mark}">{_text(table.caption)}</caption>'
    yield f"<thead><tr>{heads}</tr></thead><tbody>"
    for row in table.rows:
        first, *rest = row
        cells = "".join(f"<td{of}>{_text(cell)}</td>" for cell, of in zip(rest, classes[1:], strict=True))
        yield f'<tr><th scope="row">{_text(first)}</th>{cells}</tr>'
    yield "</tbody></table></div>"
