"""The audit of a fleet's dataset in words: lines for a terminal, and one page without scripts. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from collectord.audit.document import AuditDocument
from collectord.audit.layout import Table, day
from collectord.audit.sections import SECTIONS, Section
from collectord.fleet.audit import ANSWERS, FleetAudit
from collectord.system.names import printable

_SECTIONS = [section for section in SECTIONS if section.key in ANSWERS]
_COLUMNS = ("source", "rows", "A", "B", "C", "conflicting", "success")


def source_table(found: FleetAudit) -> Table:
    """A row for each source, after one for all of them."""
    rows = [_row("all", found.whole), *(_row(name, one) for name, one in found.by_source.items())]
    return Table("Rows, shares of the lanes, equal situations with several labels, passes", _COLUMNS, rows)


def _row(name: str, one: AuditDocument) -> tuple[str, ...]:
    lanes = {lane.key: lane.runs for lane in one.lanes.lanes}
    shares = [_percent(lanes.get(key, 0), one.lanes.runs) for key in ("A", "B", "C")]
    overall = one.outcomes.overall
    conflicting = f"{one.verdicts.conflicting:.0%}"
    return name, f"{one.runs:,}", *shares, conflicting, _percent(overall.success, overall.runs)


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "-"


def title(found: FleetAudit) -> str:
    """What it is about."""
    window = found.whole.window
    days = f"{day(window.from_ms)} to {day(window.to_ms)}"
    return f"Audit of {found.url}: {found.whole.runs:,} rows of {len(found.by_source)} sources, {days}"


def text_lines(document: AuditDocument) -> Iterator[str]:
    """The answers that rows alone give, for a terminal."""
    for section in _SECTIONS:
        yield section.title
        yield from (f"  {line}" for line in section.lines(document))
        for table in section.tables(document):
            if table.rows:
                yield f"  {table.caption}"
                yield from (f"    {line}" for line in _aligned([table.columns, *table.rows]))


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    cells = [[" ".join(printable(cell).split()) for cell in row] for row in rows]
    widths = [max(len(row[place]) for row in cells) for place in range(len(cells[0]))]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def page(found: FleetAudit) -> str:
    """One self-contained page; every text is escaped, and nothing is fetched."""
    parts = [_HEAD, f"<h1>{_text(title(found))}</h1>", _table(source_table(found)), *_sections(found.whole)]
    for name, one in found.by_source.items():
        parts += [f"<details><summary>{_text(name)}</summary>", *_sections(one), "</details>"]
    return "\n".join([*parts, "</body></html>", ""])


_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Audit of a fleet</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.3em; } h2 { font-size: 1.1em; margin-top: 2em; }
table { border-collapse: collapse; margin: 1em 0; } caption { text-align: left; font-style: italic; }
td, th { padding: .15em .8em .15em 0; text-align: left; vertical-align: top; }
th { border-bottom: 1px solid; }
.number { text-align: right; } summary { font-weight: bold; cursor: pointer; margin-top: 1em; }
:root { color-scheme: light dark; }
</style></head><body>"""


def _sections(document: AuditDocument) -> Iterator[str]:
    for section in _SECTIONS:
        yield f"<h2>{_text(section.title)}</h2>"
        yield from (f"<p>{_text(line)}</p>" for line in section.lines(document))
        yield from (_table(table) for table in _filled(section, document))


def _filled(section: Section, document: AuditDocument) -> list[Table]:
    return [table for table in section.tables(document) if table.rows]


def _table(table: Table) -> str:
    kinds = [' class="number"' if table.is_number(place) else "" for place in range(len(table.columns))]
    head = "".join(f'<th scope="col"{k}>{_text(c)}</th>' for k, c in zip(kinds, table.columns, strict=True))
    rows = [
        "".join(f"<td{kind}>{_text(cell)}</td>" for kind, cell in zip(kinds, row, strict=True))
        for row in table.rows
    ]
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table><caption>{_text(table.caption)}</caption><tr>{head}</tr>{body}</table>"


def _text(text: str) -> str:
    return escape(printable(text))
