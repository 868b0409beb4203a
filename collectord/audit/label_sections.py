"""Lanes, coverage, fill, backlog and consistency as text. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from collectord.audit.layout import NOTHING, JsonObject, Table, count, percent, share_words, span

# Lanes


def lanes_lines(document: JsonObject) -> list[str]:
    """Lanes: what is said of it."""
    lanes = document["lanes"]
    said = f"{count(lanes['runs'], 'labelled run')} in {lanes['window']}"
    if lanes["unlabelled"]:
        said += f", {lanes['unlabelled']} more without an executed plan"
    if lanes["other"]:
        said += f"; {lanes['other']} in no lane"
    return [said]


def lanes_tables(document: JsonObject) -> list[Table]:
    """Lanes: its tables."""
    lanes = document["lanes"]
    rows = [
        [
            f"{a['key']} {a['name']}",
            f"{a['runs']:,}",
            share_words(a["interval"]),
            span(a["low"], a["high"]),
            _verdict(a),
        ]
        for a in lanes["lanes"]
    ]
    minutes = [
        [f"{a['minutes']} min", f"{a['runs']:,}", share_words(a["interval"])] for a in lanes["minutes"]
    ]
    return [
        Table("Shares", ("lane", "runs", "share (95 % together)", "wanted", "verdict"), rows),
        Table("Minutes", ("bin", "runs", "share (95 %)"), minutes),
        Table("Trend", ("week", "runs", "A", "B", "C", "other"), [_week(week) for week in lanes["trend"]]),
    ]


def _verdict(answer: JsonObject) -> str:
    more = answer["runs_to_settle"]
    if answer["verdict"] != "undetermined":
        return str(answer["verdict"])
    return "undetermined" + (f", {more:,} more runs would settle it" if more is not None else "")


def _week(week: JsonObject) -> list[str]:
    shares = week["shares"]
    return [week["week"], f"{week['runs']:,}"] + [
        percent(shares[lane]) if shares else NOTHING for lane in week["lanes"]
    ]


# Coverage


def coverage_lines(document: JsonObject) -> list[str]:
    """Coverage: what is said of it."""
    cover = document["coverage"]
    states = ", ".join(f"{number} {state}" for state, number in cover["states"].items() if number)
    said = [
        f"{len(cover['cells'])} cells of action × risk × size: {states} "
        f"(thin: under {cover['thin_below']} rows)"
    ]
    said += _unreachable(cover["grid"])
    if cover["outside"]:
        said.append(f"{count(cover['outside'], 'row')} with an action outside of the grid")
    return said


def _unreachable(grid: Sequence[JsonObject]) -> Iterator[str]:
    """A line for each reason: `unreachable: serial_handoff×1 with 15, 30 or 120 min: …`."""
    reasons: dict[str, dict[str, list[str]]] = {}
    for row in grid:
        if row["state"] == "unreachable":
            action = row["action"]
            kind = f"{action['swarm']}×{action['candidates']}"
            reasons.setdefault(row["why"], {}).setdefault(kind, []).append(str(action["minutes"]))
    for why, kinds in reasons.items():
        actions = "; ".join(f"{kind} with {_either(minutes)} min" for kind, minutes in kinds.items())
        yield f"unreachable: {actions}: {why}"


def _either(words: Sequence[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def coverage_tables(document: JsonObject) -> list[Table]:
    """Coverage: its tables."""
    cover = document["coverage"]
    risks = list(cover["grid"][0]["by_risk"])
    states: dict[tuple[str, str], set[str]] = {}
    for cell in cover["cells"]:
        states.setdefault((cell["action"]["words"], cell["risk"]), set()).add(cell["state"])
    rows = []
    for row in cover["grid"]:
        if row["state"] == "unreachable":
            continue
        words = row["action"]["words"]
        cells = [_cell(row["by_risk"][risk], states[words, risk]) for risk in risks]
        rows.append([words, *cells, row["state"]])
    caption = "Rows by risk (×: no issue of that risk can get it, 0: none yet)"
    return [Table(caption, ("action", *risks, "state"), rows)]


def _cell(rows: int, states: set[str]) -> str:
    if rows:
        return f"{rows:,}"
    return next(
        mark for state, mark in (("empty", "0"), ("unknown", "?"), ("unreachable", "×")) if state in states
    )


# Fill and backlog


def fill_lines(document: JsonObject) -> list[str]:
    """Fill: what is said of it."""
    fill = document["fill"]
    said = [f"{wanted['words']}" for wanted in fill["add"]] + list(fill["stop"])
    return said or ["no lane is out of its band for certain: nothing to add or to stop for that"]


def backlog_lines(document: JsonObject) -> list[str]:
    """Backlog: what is said of it."""
    backlog = document["backlog"]
    said = [backlog["pressure"]]
    if backlog["held_back"]:
        held = ", ".join(f"{number} {why}" for why, number in backlog["held_back"].items())
        said.append(f"open but not ready: {held}")
    if backlog["lanes"]:
        mix = ", ".join(f"{lane} {percent(share)}" for lane, share in backlog["lanes"].items() if share)
        said.append(f"what the policy would make of them: {mix}")
    return said


def backlog_tables(document: JsonObject) -> list[Table]:
    """Backlog: its tables."""
    backlog = document["backlog"]
    labels = [[label, f"{number:,}"] for label, number in backlog["labels"].items()]
    risks = [[risk, f"{number:,}"] for risk, number in backlog["ready_by_risk"].items()]
    tables = [Table("Ready issues by the label they would get", ("label", "issues"), labels)]
    return [*tables, Table("Ready issues by risk", ("risk", "issues"), risks if backlog["ready"] else [])]


# Consistency and agreement


def consistency_lines(document: JsonObject) -> list[str]:
    """Consistency: what is said of it."""
    found = document["consistency"]
    asked = found["requested"]
    said = []
    if asked["compared"]:
        differ = ", ".join(f"{part} {asked[part]:,}" for part in ("swarm", "candidates", "minutes"))
        said.append(
            f"executed as requested in {asked['equal']:,} of {asked['compared']:,}; differing in {differ}"
        )
    broken = ", ".join(f"{what}: {number}" for what, number in found["invalid"].items())
    said.append(f"validity rules: {broken or 'kept by every row'}")
    fallbacks = ", ".join(f"{what}: {number}" for what, number in found["fallbacks"].items())
    said.append(f"fallbacks: {fallbacks or 'none'}")
    said += [_by_design(one) for one in found["by_design"]]
    return said


def _by_design(one: JsonObject) -> str:
    """Several labels of one rule: no fault, and what would make it one label."""
    rule = "no rule" if one["rule"] is None else f"rule {one['rule']}"
    labels = " | ".join(one["labels"])
    return (
        f"by design of the policy (epoch {one['epoch']}, {rule}): {labels} for equal issues, "
        f"{count(one['rows'], 'row')}, {percent(one['g3'])} of g3; {one['remedy']} would make it one label"
    )


def consistency_tables(document: JsonObject) -> list[Table]:
    """Consistency: its tables."""
    found = document["consistency"]
    keys = [
        [f"{k['key']} {k['words']}", f"{k['rows']:,}", f"{k['groups']:,}"]
        + [percent(k[name]) for name in ("conflicting", "g3", "singletons")]
        for k in found["keys"]
    ]
    epochs = [
        [str(e["epoch"]), f"{e['rows']:,}", percent(e["conflicting"]), percent(e["g3"])]
        for e in found["epochs"]
    ]
    flips = [
        [f["situation"], f["before"], f["after"], f"{f['epochs'][0]} → {f['epochs'][1]}"]
        for f in found["flips"]
    ]
    names = ("key", "rows", "situations", "conflicting", "g3: no policy errs less", "seen once")
    return [
        Table("Equal situations, equal labels?", names, keys),
        Table("By epoch (K1)", ("epoch", "rows", "conflicting", "g3"), epochs if len(epochs) > 1 else []),
        Table(
            "Worst contradictions (K1)",
            ("situation", "labels", "cause", "such as"),
            _clusters(found["keys"][1]),
        ),
        Table("Changed from one epoch to the next (K2)", ("situation", "before", "after", "epochs"), flips),
    ]


def _clusters(key: JsonObject) -> list[list[str]]:
    return [
        [
            f"{place}. {c['situation']}",
            "; ".join(f"{number} {label}" for label, number in c["labels"].items()),
            c["cause"],
            ", ".join(c["runs"][:2]),
        ]
        for place, c in enumerate(key["worst"], 1)
    ]
