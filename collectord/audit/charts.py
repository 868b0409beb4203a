"""The charts of an audit: Vega-Lite specifications, drawn to SVG in our process."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any

from collectord.audit.document import AuditDocument
from collectord.audit.facts import RISKS, SIZES
from collectord.audit.findings import DAY_MS
from collectord.audit.layout import capitalised, day, percent, span, week
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
_STATES = {"enough": "#2f7d33", "thin": "#e0b252", "empty": "#d55e0033", "unknown": "#8a5fa3"}
_NARROW = 480
_FONT = 12
_BAND = "#88888844"


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart: where it stands, what it shows, what that means, its specification for a width in pixels.

    The specification is None where there is nothing to draw, and then `words` are not asked for.
    """

    section: str
    title: str
    words: Callable[[AuditDocument], str]
    spec: Callable[[AuditDocument, int], Spec | None]


def _base(values: Sequence[JsonObject], width: int) -> Spec:
    axis = {
        "labelColor": "currentColor",
        "titleColor": "currentColor",
        "gridColor": "#8884",
        "domainColor": "#888",
        "tickColor": "#888",
        "labelFontSize": _FONT,
        "titleFontSize": _FONT,
        "labelLimit": 150 if width > _NARROW else 110,
    }
    config = {
        "axis": axis,
        "legend": {"labelColor": "currentColor", "labelFontSize": _FONT, "orient": "bottom", "title": None},
        "header": {"labelColor": "currentColor", "labelFontSize": _FONT, "labelFontWeight": "bold"},
        "text": {"fontSize": _FONT},
        "view": {"stroke": None},
        "font": "sans-serif",
    }
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "data": {"values": list(values)},
        "background": None,
        "padding": 4,
        "config": config,
    }


def _single(values: Sequence[JsonObject], width: int, height: int) -> Spec:
    """One plot as wide as it may be, with its axes."""
    size = {"width": width, "height": height}
    return {**_base(values, width), **size, "autosize": {"type": "fit-x", "contains": "padding"}}


def _lane_scale(keys: Sequence[str]) -> JsonObject:
    return {"domain": list(keys), "range": [COLOURS[key] for key in keys]}


def _x_weeks() -> JsonObject:
    axis = {
        "labelAngle": 0,
        "labelExpr": "slice(datum.value, -3)",
        "labelOverlap": True,
        "labelSeparation": 6,
        "grid": False,
    }
    return {"field": "week", "type": "ordinal", "title": None, "axis": axis}


def _percent_axis(**scale: object) -> JsonObject:
    return {"type": "quantitative", "title": None, "axis": {"format": "%", "tickCount": 4}, "scale": scale}


def epoch_weeks(document: AuditDocument, shown: Sequence[str]) -> dict[str, str]:
    """The shown week in which, or after which, each later epoch began: `{"2026-W44": "epoch 2"}`."""
    found: dict[str, str] = {}
    for epoch in document.health.epochs[1:]:
        began = week(epoch.from_ms)
        place = next((name for name in shown if name >= began), None)
        if place is not None and place != shown[0]:
            found[place] = f"epoch {epoch.number}"
    return found


def _panels(document: AuditDocument, values: Sequence[JsonObject], width: int, y: JsonObject) -> Spec | None:
    """A panel for each lane: its share by week as a line, the wanted band, a mark where an epoch began.

    A value has `lane`, `panel`, `week`, `share`, and perhaps `low` and `high`. None for a single week.
    """
    weeks = sorted({one["week"] for one in values})
    if len(weeks) < 2:
        return None
    begun = epoch_weeks(document, weeks)
    told = [{**one, "epoch": begun.get(one["week"])} for one in values]
    panels = list(dict.fromkeys(one["panel"] for one in values))
    columns = len(panels) if width > _NARROW else 1
    bands = {
        "mark": {"type": "rect", "color": _BAND},
        "encoding": {
            "y": {"field": "low", "aggregate": "min", "type": "quantitative"},
            "y2": {"field": "high", "aggregate": "max"},
        },
    }
    x = _x_weeks()
    colour = {"field": "lane", "type": "nominal", "legend": None, "scale": _lane_scale(tuple(COLOURS))}
    line = {
        "mark": {"type": "line", "point": {"size": 40, "filled": True}, "strokeWidth": 2},
        "encoding": {"x": x, "y": {"field": "share", **y}, "color": colour},
    }
    began: Spec = {
        "transform": [{"filter": "datum.epoch != null"}],
        "encoding": {"x": {**x, "bandPosition": 0}},
    }
    dash = {"type": "rule", "strokeDash": [4, 3], "strokeWidth": 1.5, "stroke": "currentColor"}
    name = {"type": "text", "baseline": "bottom", "y": -3, "fill": "currentColor"}
    marks = [{**began, "mark": dash}]
    if len(begun) <= _MOST_NAMED:
        marks.append({**began, "mark": name, "encoding": {**began["encoding"], "text": {"field": "epoch"}}})
    layers = [bands] if any("low" in one for one in values) else []
    return {
        **_base(told, width),
        "facet": {
            "field": "panel",
            "type": "nominal",
            "title": None,
            "sort": panels,
            "header": {"labelPadding": 20 if begun else 8, "labelAnchor": "start"},
        },
        "columns": columns,
        "bounds": "flush",
        "spacing": {"column": _AXIS_ROOM, "row": 84},
        "resolve": {"scale": {"y": "independent"}, "axis": {"x": "independent", "y": "independent"}},
        "spec": {
            "width": (width - 16) // columns - _AXIS_ROOM,
            "height": 130,
            "layer": [*layers, *(marks if begun else []), line],
        },
    }


_AXIS_ROOM = 52
_MOST_NAMED = 3


def weekly_lanes(document: AuditDocument, width: int) -> Spec | None:
    """The share of each lane by week, beside the band that is wanted."""
    bands = {lane.key: lane for lane in document.targets.lanes}
    weeks = [(one.week, one.shares) for one in document.lanes.trend if one.shares]
    values = [
        {
            "lane": key,
            "panel": f"{key}: {percent(weeks[-1][1][key])}, {span(lane.low, lane.high)} wanted",
            "week": name,
            "share": shares[key],
            "low": lane.low,
            "high": lane.high,
        }
        for key, lane in bands.items()
        for name, shares in weeks
    ]
    return _panels(document, values, width, _percent_axis(zero=True, nice=True))


def pass_rates(document: AuditDocument, width: int) -> Spec | None:
    """The success share of each lane by week."""
    values = []
    for key in COLOURS:
        weeks = [one for one in document.outcomes.lanes_by_week if one["lane"] == key]
        values += [
            {
                "lane": key,
                "panel": f"lane {key}: {percent(_share(weeks[-1]))}",
                "week": one["week"],
                "share": _share(one),
            }
            for one in weeks
        ]
    return _panels(document, values, width, _percent_axis(domain=[0, 1]))


def lane_bars(document: AuditDocument, width: int) -> Spec | None:
    """Each lane's share with its interval, over the band that is wanted."""
    if not document.lanes.runs:
        return None
    values = [
        {
            "lane": one.key,
            "said": f"lane {one.key}: {percent(one.interval.share)}|{_placed(one.verdict)}",
            "from": one.low,
            "to": one.high,
            **asdict(one.interval),
        }
        for one in document.lanes.lanes
    ]
    # The extent of a label of several lines is not measured.
    lines = {"labelExpr": "split(datum.value, '|')", "labelLineHeight": 15, "minExtent": 88}
    labels = {**lines, "ticks": False, "domain": False}
    y = {"field": "said", "type": "nominal", "title": None, "axis": labels}
    bounds = _percent_axis(domain=[0, 1])
    band = {
        "mark": {"type": "bar", "color": _BAND, "height": {"band": 0.9}},
        "encoding": {"y": y, "x": {"field": "from", **bounds}, "x2": {"field": "to"}},
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
    return {**_single(values, width, 150), "layer": [band, bar, whisker]}


def coverage_map(document: AuditDocument, width: int) -> Spec | None:
    """Each action by risk, and by size too where there is room, with the labelled runs in it.

    What no issue can reach is left blank: the section has a line for it.
    """
    if not any(cell.rows for cell in document.coverage.cells):
        return None
    wide = width > _NARROW
    values = _cells(document, by_size=wide)
    risks = [risk for risk in RISKS if any(cell["risk"] == risk for cell in values)]
    actions = list(dict.fromkeys(cell["action"] for cell in values))
    states = [state for state in _STATES if any(cell["state"] == state for cell in values)]
    x = {
        "field": "size" if wide else "risk",
        "type": "ordinal",
        "sort": list(SIZES) if wide else list(RISKS),
        "title": None,
        "axis": {"labelAngle": 0 if wide else -45, "ticks": False, "domain": False},
    }
    lines = {"labelExpr": "split(datum.value, ', ')", "labelLineHeight": 14, "labelOffset": -7}
    y_axis = {**lines, "minExtent": 112, "labelLimit": 120, "ticks": False, "domain": False}
    y = {"field": "action", "type": "ordinal", "sort": actions, "title": None, "axis": y_axis}
    scale = {"domain": states, "range": [_STATES[state] for state in states]}
    legend = {"columns": len(states) if wide else 2}
    boxes = {
        "mark": {"type": "rect", "stroke": "#8888", "strokeWidth": 1},
        "encoding": {
            "x": x,
            "y": y,
            "color": {"field": "state", "type": "nominal", "title": None, "scale": scale, "legend": legend},
        },
    }
    ink = {"condition": {"test": "datum.state == 'thin'", "value": "black"}, "value": "white"}
    numbers = {
        "transform": [{"filter": "datum.rows > 0"}],
        "mark": {"type": "text"},
        "encoding": {"x": x, "y": y, "text": {"field": "said"}, "color": ink},
    }
    layers = {"layer": [boxes, numbers]}
    height = 34 * len(actions)
    if not wide:
        return {**_single(values, width, height + 90), **layers}
    return {
        **_base(values, width),
        "facet": {
            "column": {
                "field": "risk",
                "type": "ordinal",
                "sort": risks,
                "title": None,
                "header": {"labelExpr": "datum.value + ' risk'"},
            }
        },
        "spacing": 6,
        "spec": {"width": (width - 124) // len(risks) - 6, "height": height, **layers},
    }


def _cells(document: AuditDocument, *, by_size: bool) -> list[JsonObject]:
    """The cells that an issue can reach, merged over sizes unless `by_size`: their runs, the best state."""
    merged: dict[tuple[str, str, str], JsonObject] = {}
    for cell in document.coverage.cells:
        if cell.state == "unreachable":
            continue
        place = cell.action.words, cell.risk, cell.size if by_size else ""
        named = dict(zip(("action", "risk", "size"), place, strict=True))
        found = merged.setdefault(place, {**named, "rows": 0, "state": "unknown"})
        found["rows"] += cell.rows
        found["state"] = min(found["state"], cell.state, key=list(_STATES).index)
    for found in merged.values():
        found["said"] = f"{found['rows']}" if found["rows"] < 1000 else f"{found['rows'] / 1000:.1f}k"
    return list(merged.values())


def arrivals(document: AuditDocument, width: int) -> Spec | None:
    """Runs that arrived in each week, from the first one with any."""
    values = _arrived(document)
    if len(values) < 2:
        return None
    x = _x_weeks()
    y = {"field": "runs", "type": "quantitative", "axis": None}
    bars = {"mark": {"type": "bar", "color": COLOURS["A"]}, "encoding": {"x": x, "y": y}}
    text = {"field": "runs", "type": "quantitative", "format": "," if width > _NARROW else ".2~s"}
    numbers = {
        "mark": {"type": "text", "dy": -8, "fill": "currentColor"},
        "encoding": {"x": x, "y": y, "text": text},
    }
    return {**_single(values, width, 140), "layer": [bars, numbers]}


def _arrived(document: AuditDocument) -> list[JsonObject]:
    counts = list(document.health.by_week.items())
    first = next((place for place, (_, runs) in enumerate(counts) if runs), len(counts))
    return [{"week": name, "runs": runs} for name, runs in counts[first:]]


def environments(document: AuditDocument, width: int) -> Spec | None:
    """When the environment of each epoch was in effect; one alone is told by the table."""
    epochs = document.health.epochs
    if len(epochs) < 2:
        return None
    values = [
        {"epoch": f"epoch {e.number}", "from": e.from_ms, "to": e.to_ms or document.made_ms} for e in epochs
    ]
    days = {"format": "%Y-%m-%d", "tickMinStep": DAY_MS, "tickCount": width // 140}
    # Fonts of browsers are wider than that by which a label is measured here.
    days |= {"labelOverlap": True, "labelSeparation": 24}
    y_axis = {"ticks": False, "domain": False}
    encoding = {
        "y": {"field": "epoch", "type": "ordinal", "title": None, "sort": None, "axis": y_axis},
        "x": {"field": "from", "type": "temporal", "title": None, "scale": {"type": "utc"}, "axis": days},
        "x2": {"field": "to"},
    }
    mark = {"type": "bar", "color": COLOURS["A"], "height": {"band": 0.6}}
    # The last date may stand at the very end of the axis, half of it beyond.
    padding = {"left": 4, "top": 4, "bottom": 4, "right": 40}
    single = {**_single(values, width, 40 + 24 * len(epochs)), "padding": padding}
    return {**single, "mark": mark, "encoding": encoding}


def _lanes_mean(document: AuditDocument) -> str:
    """`Lane A is in the band, lane B is leaning low, lane C is about right.`"""
    placed = [_placed(lane.verdict) for lane in document.lanes.lanes]
    judged = ", ".join(f"lane {lane.key} is {_placed(lane.verdict)}" for lane in document.lanes.lanes)
    if len(set(placed)) == 1:
        judged = f"all three lanes: {placed[0]}"
    how = "The grey field is the band; the line shows where the share may truly lie, at 95 % for all three."
    return f"{capitalised(judged)}. {how}"


def _placed(verdict: str) -> str:
    return "in the band" if verdict == "in" else verdict


def _trend_means(document: AuditDocument) -> str:
    weeks = [(one.week, one.shares) for one in document.lanes.trend if one.shares]
    (first, before), (last, now) = weeks[0], weeks[-1]
    went = ", ".join(f"{key} from {percent(before[key])} to {percent(now[key])}" for key in _keys(document))
    return f"From {first} to {last} the shares of labelled runs went: {went}. {_HOW}"


def _keys(document: AuditDocument) -> list[str]:
    return [lane.key for lane in document.targets.lanes]


_HOW = "A dashed line stands where an epoch began."


def _pass_rates_mean(document: AuditDocument) -> str:
    found = document.outcomes.lanes_by_week
    went = []
    for key in COLOURS:
        of_lane = [one for one in found if one["lane"] == key]
        if len(of_lane) > 1:
            first, last = (str(percent(_share(one))) for one in (of_lane[0], of_lane[-1]))
            went.append(f"{key} from {first} to {last}")
    return f"From the first week to the last: lane {', '.join(went)}. {_HOW}"


def _share(one: Mapping[str, object]) -> float:
    share = one["success_share"]
    assert isinstance(share, float | int)
    return float(share)


def _coverage_means(document: AuditDocument) -> str:
    states = document.coverage.states
    few = f"{states['thin']} cells are thin (under {document.coverage.thin_below} labelled runs)"
    few += f" and {states['empty']} empty: a model has little to learn from there."
    return f"{few} What is blank no issue can get."


def _arrivals_mean(document: AuditDocument) -> str:
    most = max(_arrived(document), key=lambda one: one["runs"])
    return f"The most came in {most['week']}: {most['runs']:,}. The last week may not be over yet."


def _environments_mean(document: AuditDocument) -> str:
    last = document.health.epochs[-1]
    return f"Epoch {last.number} began on {day(last.from_ms)}; each epoch is a dataset of its own."


CHARTS = (
    Chart("lanes", "Share of each lane, against the band that is wanted", _lanes_mean, lane_bars),
    Chart("lanes", "Share of each lane by week", _trend_means, weekly_lanes),
    Chart("coverage", "Labelled runs of each plan, by risk and size", _coverage_means, coverage_map),
    Chart("outcomes", "Runs that succeeded, by lane and week", _pass_rates_mean, pass_rates),
    Chart("health", "Runs by week", _arrivals_mean, arrivals),
    Chart("health", "When the environment of each epoch was in effect", _environments_mean, environments),
)
