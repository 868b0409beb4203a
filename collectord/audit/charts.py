"""The charts of an audit: Vega-Lite specifications, drawn to SVG in our process."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any

from collectord.audit.coverage import Cell
from collectord.audit.document import AuditDocument
from collectord.audit.facts import RISKS, SIZES
from collectord.audit.findings import DAY_MS
from collectord.audit.layout import week
from collectord.errors import ExtraMissing

_VEGA_LITE = "5.20"
_INNER = re.compile(r' (?:role|aria-[a-z]+)="[^"]*"')
_ID = re.compile(r'(\bid="|url\(#)')
_OPENING = re.compile(r"<svg [^>]*>")
_SIZE = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')


def require_drawing() -> None:
    """Raise ExtraMissing where what draws the page is not installed."""
    if not (find_spec("vl_convert") and find_spec("jinja2")):
        raise ExtraMissing("the HTML page wants", "report")


def draw(spec: dict[str, Any], label: str, mark: str) -> str:
    """The chart as one inline SVG that is an image named `label`; `mark` keeps its ids apart from others'.

    What stands in it is escaped by Vega; its inner roles are taken out, because a table beside it tells a
    screen reader more.
    """
    import vl_convert

    svg = str(vl_convert.vegalite_to_svg(spec, vl_version=_VEGA_LITE))
    found = _SIZE.search(svg)
    width, height = (found[1], found[2]) if found else ("0", "0")
    inner = _ID.sub(rf"\g<1>{mark}-", _INNER.sub("", svg[_OPENING.match(svg).end() :]))  # type: ignore[union-attr]
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{label}" {size}>{inner}'


JsonObject = dict[str, Any]
Spec = dict[str, Any]
# Okabe and Ito's, which can be told apart by whoever sees few colours.
COLOURS = {"A": "#0072b2", "B": "#d55e00", "C": "#009e73", "other": "#808080"}
_STATES = {
    "enough": "#3b8a3e",
    "thin": "#d9a441",
    "empty": "#c2590c",
    "unknown": "#9a6fb0",
    "unreachable": "#8a8a8a66",
}
_TEXT = {"enough": "white", "thin": "black", "empty": "white", "unknown": "white", "unreachable": "white"}
_NARROW = 480


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart: where it stands, what it shows in words, and its specification for a width in pixels."""

    section: str
    title: str
    words: str
    spec: Callable[[AuditDocument, int], Spec | None]


def _base(values: Sequence[JsonObject], width: int, height: int | None = 220) -> Spec:
    muted = {"stroke": "#8888"}
    axis = {
        "labelColor": "currentColor",
        "titleColor": "currentColor",
        "gridColor": "#8884",
        "domainColor": "#888",
        "tickColor": "#888",
        "labelLimit": 150 if width > _NARROW else 110,
    }
    config = {
        "axis": axis,
        "legend": {"labelColor": "currentColor", "titleColor": "currentColor", "orient": "bottom"},
        "view": {"stroke": None},
        "rule": muted,
        "font": "sans-serif",
    }
    spec: Spec = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "data": {"values": list(values)},
        "width": width,
        "background": None,
        "padding": 4,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "config": config,
    }
    return {**spec, "height": height} if height else spec


def _lane_scale(keys: Sequence[str]) -> JsonObject:
    return {"domain": list(keys), "range": [COLOURS[key] for key in keys]}


def _x_weeks() -> JsonObject:
    return {"field": "week", "type": "ordinal", "title": None, "axis": {"labelAngle": -45, "grid": False}}


def _percent_axis(title: str, **scale: object) -> JsonObject:
    return {"axis": {"format": "%", "title": title, "tickCount": 5}, "scale": {"domain": [0, 1], **scale}}


def weekly_labels(document: AuditDocument, width: int) -> Spec | None:
    """Stacked shares of lanes by week, with a line where an epoch began."""
    weeks = [one for one in document.lanes.trend if one.runs]
    if not weeks:
        return None
    values = [
        {"week": one.week, "lane": lane, "share": share}
        for one in weeks
        for lane, share in (one.shares or {}).items()
        if share
    ]
    lane = {"field": "lane", "type": "nominal", "title": "lane", "scale": _lane_scale(tuple(COLOURS))}
    bars = {
        "mark": {"type": "bar"},
        "encoding": {
            "x": _x_weeks(),
            "y": {"field": "share", "type": "quantitative", **_percent_axis("share of labels")},
            "color": lane,
        },
    }
    shown = {one.week for one in weeks}
    begun = {week(epoch.from_ms) for epoch in document.health.epochs} & shown
    lines = {
        "data": {"values": [{"week": name} for name in sorted(begun)]},
        "mark": {"type": "rule", "strokeDash": [4, 3], "strokeWidth": 2, "stroke": "currentColor"},
        "encoding": {"x": {"field": "week", "type": "ordinal", "bandPosition": 0}},
    }
    return {**_base(values, width), "layer": [bars, lines] if begun else [bars]}


def lane_bars(document: AuditDocument, width: int) -> Spec | None:
    """Each lane's share with its interval, over the band that is wanted."""
    if not document.lanes.runs:
        return None
    values = [
        {"lane": one.key, "from": one.low, "to": one.high, **asdict(one.interval)}
        for one in document.lanes.lanes
    ]
    y = {"field": "lane", "type": "nominal", "title": "lane"}
    bounds = _percent_axis("share")
    band = {
        "mark": {"type": "bar", "color": "#88888855", "height": {"band": 0.95}},
        "encoding": {
            "y": y,
            "x": {"field": "from", "type": "quantitative", **bounds},
            "x2": {"field": "to"},
        },
    }
    colour = {"field": "lane", "type": "nominal", "legend": None, "scale": _lane_scale(("A", "B", "C"))}
    bar = {
        "mark": {"type": "bar", "height": {"band": 0.45}},
        "encoding": {"y": y, "x": {"field": "share", "type": "quantitative"}, "color": colour},
    }
    whisker = {
        "mark": {"type": "rule", "strokeWidth": 2, "stroke": "currentColor"},
        "encoding": {"y": y, "x": {"field": "low", "type": "quantitative"}, "x2": {"field": "high"}},
    }
    return {**_base(values, width, 150), "layer": [band, bar, whisker]}


def coverage_map(document: AuditDocument, width: int) -> Spec | None:
    """Each action by risk, and by size too where there is room; coloured by state, with the rows in it."""
    wide = width > _NARROW
    cells = _cells_by(document, lambda cell: f"{cell.risk} {cell.size}" if wide else cell.risk)
    # No issue can get there: the section has a line for these.
    possible = {cell["action"] for cell in cells if cell["state"] != "unreachable"}
    values = [cell for cell in cells if cell["action"] in possible]
    if not values:
        return None
    order = [f"{risk} {size}" for risk in RISKS for size in SIZES] if wide else list(RISKS)
    x = {"field": "kind", "type": "ordinal", "sort": order, "title": None, "axis": {"labelAngle": -45}}
    labels = {"minExtent": 112, "labelLimit": 120}
    y = {"field": "action", "type": "ordinal", "sort": None, "title": None, "axis": labels}
    states = {"domain": list(_STATES), "range": list(_STATES.values())}
    boxes = {
        "mark": {"type": "rect", "stroke": "#8888", "strokeWidth": 1},
        "encoding": {
            "x": x,
            "y": y,
            "color": {
                "field": "state",
                "type": "nominal",
                "title": None,
                "scale": states,
                "legend": {"columns": len(_STATES) if wide else 2},
            },
        },
    }
    inks = {"domain": list(_TEXT), "range": list(_TEXT.values())}
    numbers = {
        "transform": [{"filter": "datum.rows > 0"}],
        "mark": {"type": "text", "fontSize": 10},
        "encoding": {
            "x": x,
            "y": y,
            "text": {"field": "rows", "type": "quantitative"},
            "color": {"field": "state", "type": "nominal", "legend": None, "scale": inks},
        },
    }
    base = _base(values, width, 60 + 26 * len(possible))
    return {**base, "layer": [boxes, numbers], "resolve": {"scale": {"color": "independent"}}}


def _cells_by(document: AuditDocument, key: Callable[[Cell], str]) -> list[JsonObject]:
    """Cells merged by a key: their rows, and the best state of them."""
    merged: dict[tuple[str, str], JsonObject] = {}
    for cell in document.coverage.cells:
        words = cell.action.words.replace("serial_handoff", "serial").replace("speculate_vote", "spec")
        place = words, key(cell)
        found = merged.setdefault(
            place, {"action": words, "kind": place[1], "rows": 0, "state": "unreachable"}
        )
        found["rows"] += cell.rows
        found["state"] = min(found["state"], cell.state, key=list(_STATES).index)
    for found in merged.values():
        if found["rows"] >= document.coverage.thin_below:
            found["state"] = "enough"
    return list(merged.values())


def pass_rates(document: AuditDocument, width: int) -> Spec | None:
    """The success share of each lane by week."""
    values = document.outcomes.lanes_by_week
    if not values:
        return None
    encoding = {
        "x": _x_weeks(),
        "y": {"field": "success_share", "type": "quantitative", **_percent_axis("success")},
        "color": {"field": "lane", "type": "nominal", "scale": _lane_scale(tuple(COLOURS))},
        # Of one domain with the colours, or there would be a legend for each.
        "shape": {"field": "lane", "type": "nominal", "scale": {"domain": list(COLOURS)}},
    }
    mark = {"type": "line", "point": {"size": 60, "filled": True}, "strokeWidth": 2}
    return {**_base(values, width), "mark": mark, "encoding": encoding}


def conflicts(document: AuditDocument, width: int) -> Spec | None:
    """The worst contradictions: rows of each label in a situation."""
    clusters = document.consistency.keys[1].worst
    if not clusters:
        return None
    values = [
        {"cluster": f"{place}.", "label": label, "rows": number}
        for place, c in enumerate(clusters, 1)
        for label, number in c.labels.items()
    ]
    encoding = {
        "y": {"field": "cluster", "type": "nominal", "sort": None, "title": None},
        "x": {
            "field": "rows",
            "type": "quantitative",
            "title": "rows",
            "axis": {"tickMinStep": 1, "tickCount": 8, "format": ",d"},
        },
        "color": {
            "field": "label",
            "type": "nominal",
            "title": None,
            "legend": {"columns": 1, "labelLimit": 260},
            "scale": {"range": [*COLOURS.values(), "#9a6fb0", "#d9a441"]},
        },
    }
    height = 40 + 34 * len(clusters)
    return {**_base(values, width, height), "mark": {"type": "bar"}, "encoding": encoding}


def arrivals(document: AuditDocument, width: int) -> Spec | None:
    """Runs that arrived in each week."""
    counts = document.health.by_week
    if not any(counts.values()):
        return None
    values = [{"week": name, "runs": number} for name, number in counts.items()]
    y = {"field": "runs", "type": "quantitative", "title": "runs"}
    mark = {"type": "bar", "color": COLOURS["A"]}
    return {**_base(values, width, 160), "mark": mark, "encoding": {"x": _x_weeks(), "y": y}}


def environments(document: AuditDocument, width: int) -> Spec | None:
    """When each environment was in force."""
    epochs = document.health.epochs
    if not epochs:
        return None
    values = [{"epoch": str(e.number), "from": e.from_ms, "to": e.to_ms or document.made_ms} for e in epochs]
    days = {"format": "%Y-%m-%d", "tickMinStep": DAY_MS, "tickCount": width // 120, "labelOverlap": True}
    encoding = {
        "y": {"field": "epoch", "type": "ordinal", "title": "epoch", "sort": None},
        "x": {"field": "from", "type": "temporal", "title": None, "scale": {"type": "utc"}, "axis": days},
        "x2": {"field": "to"},
    }
    mark = {"type": "bar", "color": COLOURS["A"], "height": {"band": 0.6}}
    return {**_base(values, width, 40 + 24 * len(epochs)), "mark": mark, "encoding": encoding}


CHARTS = (
    Chart(
        "lanes",
        "Lanes against their bands",
        "Share of each lane as a bar, its interval as a line, the wanted band in grey.",
        lane_bars,
    ),
    Chart(
        "lanes",
        "Labels by week",
        "Share of each lane in each week; a dashed line where an epoch began.",
        weekly_labels,
    ),
    Chart("coverage", "Coverage", "State and rows of each action by risk and size.", coverage_map),
    Chart(
        "consistency",
        "Worst contradictions",
        "Rows of each label in the worst situations, numbered as in the table.",
        conflicts,
    ),
    Chart("outcomes", "Success by lane and week", "Success share of each lane in each week.", pass_rates),
    Chart("health", "Runs by week", "Runs that arrived in each week.", arrivals),
    Chart("health", "Environments", "From when to when each environment was in force.", environments),
)
