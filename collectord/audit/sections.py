"""The sections of both views as text, in their order. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from collectord.audit.consistency import ByDesign
from collectord.audit.coverage import Row
from collectord.audit.document import AuditDocument
from collectord.audit.lanes import Week
from collectord.audit.layout import (
    NOTHING,
    Table,
    count,
    day,
    interval_words,
    percent,
    span,
)
from collectord.audit.outcomes import Group


@dataclass(frozen=True, slots=True)
class Item:
    """One of a list: what it is, and what there is to say of it."""

    what: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """One answer: `lines` come first, then `tables`, then `items` under `items_title`.

    Without any run there is nothing to say in it, unless `without_runs`.
    """

    key: str
    title: str
    lines: Callable[[AuditDocument], list[str]]
    tables: Callable[[AuditDocument], list[Table]] = lambda _document: []
    items: Callable[[AuditDocument], list[Item]] = lambda _document: []
    items_title: str = ""
    without_runs: bool = False


def shown_sections(document: AuditDocument) -> tuple[list[Section], list[Section]]:
    """(those that have something to say, those that wait for the first run)."""
    said = [section for section in SECTIONS if document.runs or section.without_runs]
    return said, [section for section in SECTIONS if section not in said]


def waiting_words(sections: Sequence[Section]) -> str:
    """One line in place of sections that have nothing to say."""
    named = ", ".join(section.title.lower() for section in sections)
    return f"Nothing was collected yet. With the first runs come: {named}."


# Lanes


def lanes_lines(document: AuditDocument) -> list[str]:
    """Lanes: what is said of it."""
    lanes = document.lanes
    said = f"{count(lanes.runs, 'labelled run')} in {lanes.window}"
    if lanes.unlabelled:
        said += f", {lanes.unlabelled} more without an executed plan"
    if lanes.other:
        said += f"; {lanes.other} in no lane"
    return [said]


def lanes_tables(document: AuditDocument) -> list[Table]:
    """Lanes: its tables."""
    lanes = document.lanes
    rows = [
        [
            f"{a.key} {a.name}",
            str(a.verdict),
            f"{a.runs:,}",
            interval_words(a.interval),
            span(a.low, a.high),
        ]
        for a in lanes.lanes
    ]
    minutes = [[f"{a.minutes} min", f"{a.runs:,}", interval_words(a.interval)] for a in lanes.minutes]
    return [
        Table("Shares", ("lane", "verdict", "runs", "share (interval)", "wanted"), rows),
        Table("Minutes", ("time limit", "runs", "share (interval)"), minutes),
        Table(
            "Trend",
            ("week", "runs", "A", "B", "C", "other"),
            [_week(week) for week in lanes.trend if week.runs],
        ),
    ]


def _week(week: Week) -> list[str]:
    shares = week.shares
    return [week.week, f"{week.runs:,}"] + [
        percent(shares[lane]) if shares else NOTHING for lane in week.lanes
    ]


# Coverage


def coverage_lines(document: AuditDocument) -> list[str]:
    """Coverage: what is said of it."""
    cover = document.coverage
    states = ", ".join(f"{number} {state}" for state, number in cover.states.items() if number)
    thin = f"(thin: under {cover.thin_below} labelled runs)"
    said = [f"{len(cover.cells)} cells of plan × risk × size: {states} {thin}"]
    said += _unreachable(cover.grid)
    open_rows = [row.action for row in cover.grid if row.state != "unreachable"]
    others = sum(cell.state == "unreachable" and cell.action in open_rows for cell in cover.cells)
    if others:
        said.append(
            f"unreachable too: {count(others, 'cell')} whose risk and size the policy gives another plan"
        )
    if cover.outside:
        said.append(f"{count(cover.outside, 'labelled run')} with an action outside of the grid")
    return said


def _unreachable(grid: Sequence[Row]) -> Iterator[str]:
    """A line for each reason: `unreachable: serial_handoff×1 with 15, 30 or 120 min: …`."""
    reasons: dict[str, dict[str, list[str]]] = {}
    for row in grid:
        if row.state == "unreachable":
            action = row.action
            kind = f"{action.swarm}×{action.candidates}"
            reasons.setdefault(row.why, {}).setdefault(kind, []).append(str(action.minutes))
    for why, kinds in reasons.items():
        actions = "; ".join(f"{kind} with {_either(minutes)} min" for kind, minutes in kinds.items())
        yield f"unreachable: {actions}: {why}"


def _either(words: Sequence[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def coverage_tables(document: AuditDocument) -> list[Table]:
    """Coverage: its tables."""
    cover = document.coverage
    risks = list(cover.grid[0].by_risk)
    states: dict[tuple[str, str], Counter[str]] = {}
    for cell in cover.cells:
        states.setdefault((cell.action.words, cell.risk), Counter())[cell.state] += 1
    rows = []
    for row in cover.grid:
        if row.state == "unreachable":
            continue
        words = row.action.words
        cells = [_cell(row.by_risk[risk], states[words, risk]) for risk in risks]
        rows.append([words, *cells, _states(sum((states[words, risk] for risk in risks), Counter()))])
    caption = "Labelled runs by risk (×: no issue of that risk can get it, 0: none yet)"
    return [Table(caption, ("plan", *risks, "cells of risk and size"), rows)]


def _states(cells: Counter[str]) -> str:
    """`5 thin, 5 empty`: of the cells that an issue can reach."""
    return ", ".join(
        f"{cells[state]} {state}" for state in ("enough", "thin", "empty", "unknown") if cells[state]
    )


def _cell(rows: int, states: Mapping[str, int]) -> str:
    if rows:
        return f"{rows:,}"
    return next(
        mark for state, mark in (("empty", "0"), ("unknown", "?"), ("unreachable", "×")) if state in states
    )


# Fill and backlog


def fill_lines(document: AuditDocument) -> list[str]:
    """Fill: what is said of it."""
    fill = document.fill
    said = [f"{wanted.words}" for wanted in fill.add] + list(fill.stop)
    return said or ["no lane is out of its band for certain: nothing to add or to stop for that"]


def backlog_lines(document: AuditDocument) -> list[str]:
    """Backlog: what is said of it."""
    backlog = document.backlog
    said = [backlog.pressure]
    if backlog.held_back:
        held = ", ".join(f"{number} {why}" for why, number in backlog.held_back.items())
        said.append(f"open but not ready: {held}")
    if backlog.lanes:
        mix = ", ".join(f"{lane} {percent(share)}" for lane, share in backlog.lanes.items() if share)
        said.append(f"what the policy would make of them: {mix}")
    return said


def backlog_tables(document: AuditDocument) -> list[Table]:
    """Backlog: its tables."""
    backlog = document.backlog
    labels = [[label, f"{number:,}"] for label, number in backlog.labels.items()]
    risks = [[risk, f"{number:,}"] for risk, number in backlog.ready_by_risk.items()]
    tables = [Table("Ready issues by the label they would get", ("label", "issues"), labels)]
    return [*tables, Table("Ready issues by risk", ("risk", "issues"), risks if backlog.ready else [])]


# Consistency and agreement


def consistency_lines(document: AuditDocument) -> list[str]:
    """Consistency: what is said of it."""
    found = document.consistency
    asked = found.requested
    said = []
    if asked["compared"]:
        differ = ", ".join(
            f"{asked[part]:,} in {part}" for part in ("swarm", "candidates", "minutes") if asked[part]
        )
        others = f"; others differ: {differ}" if differ else ""
        said.append(
            f"{asked['equal']:,} of {count(asked['compared'], 'run')} were executed as requested{others}"
        )
    broken = ", ".join(f"{what}: {number}" for what, number in found.invalid.items())
    said.append(f"validity rules: {broken or 'kept by every labelled run'}")
    fallbacks = ", ".join(f"{what}: {number}" for what, number in found.fallbacks.items())
    said.append(f"fallbacks: {fallbacks or 'none'}")
    said += [_by_design(one) for one in found.by_design]
    return said


def _by_design(one: ByDesign) -> str:
    """Several labels of one rule: no fault, and what would make it one label."""
    rule = "no rule" if one.rule is None else f"rule {one.rule}"
    labels = " | ".join(one.labels)
    return (
        f"by design of the policy (epoch {one.epoch}, {rule}): {labels} for equal issues, "
        f"{count(one.rows, 'labelled run')}, {percent(one.g3)} of g3; {one.remedy} would make it one label"
    )


def consistency_tables(document: AuditDocument) -> list[Table]:
    """Consistency: its tables."""
    found = document.consistency
    keys = [
        [f"{k.key} {k.words}", f"{k.rows:,}", f"{k.groups:,}"]
        + [percent(share) for share in (k.conflicting, k.g3, k.singletons)]
        for k in found.keys
    ]
    epochs = [[str(e.epoch), f"{e.rows:,}", percent(e.conflicting), percent(e.g3)] for e in found.epochs]
    flips = [[f.situation, f.before, f.after, f"{f.epochs[0]} → {f.epochs[1]}"] for f in found.flips]
    least = "least error of any policy (g3)"
    names = ("situations by", "labelled runs", "situations", "in conflict", least, "seen once")
    columns = ("epoch", "labelled runs", "in conflict", least)
    return [
        Table("Equal situations, equal labels?", names, keys),
        Table("By epoch (K1)", columns, epochs if len(epochs) > 1 else []),
        Table("Changed from one epoch to the next (K2)", ("situation", "before", "after", "epochs"), flips),
    ]


def contradictions(document: AuditDocument) -> list[Item]:
    """The situations (K1) that cost the most, each with its labels, the likely cause and some of its runs."""
    return [
        Item(
            cluster.situation,
            (
                "; ".join(f"{number} {label}" for label, number in cluster.labels.items()),
                f"cause: {cluster.cause}",
                f"runs: {', '.join(cluster.runs)}",
            ),
        )
        for cluster in document.consistency.keys[1].worst
    ]


_MOST_ALERTS = 20


def agreement_lines(document: AuditDocument) -> list[str]:
    """Agreement: what is said of it."""
    found = document.agreement
    hashes = found.hashes
    said = [
        f"recorded inputs: {hashes['verified']:,} have the hash that was recorded with them, "
        f"{hashes['mismatch']:,} another one, {hashes['absent']:,} none"
    ]
    if found.compared:
        said.append(
            f"of {found.compared} recorded histories {found.histories_equal} name the runs that one made "
            f"from the index would, {found.contents_equal} of them with the same outcomes; what was recorded "
            "is what the planner saw, and stays as it is"
        )
    if found.issues_compared:
        said.append(
            f"of {found.issues_compared} recorded issues, {found.issues_equal} are as Beads had them then"
        )
    if found.issue_fields:
        fields = ", ".join(f"{name} {number}" for name, number in found.issue_fields.items())
        said.append(f"issue fields that differ: {fields}")
    return said


# Outcomes and drift


def outcomes_lines(document: AuditDocument) -> list[str]:
    """Outcomes: what is said of it."""
    found = document.outcomes
    all_, window = found.overall, found.window
    success = (
        f"success: {interval_words(window.success_share)} of {count(window.runs, 'run')} of {window.name}"
    )
    failed = f"failed outside of the task: {window.environment:,} of them"
    if window.runs != all_.runs:
        success += f", {interval_words(all_.success_share)} of all {all_.runs:,}"
        failed += f", {all_.environment:,} of all"
    empty = f"{found.empty_successes:,} of {count(window.success, 'success')} changed nothing"
    return [success, failed, empty] if window.runs else [success, failed]


def outcomes_tables(document: AuditDocument) -> list[Table]:
    """Outcomes: its tables."""
    found = document.outcomes
    names = ("", "runs", "success", "failed", "timeout", "environment", "success (interval)")
    causes = [[c.cause, f"{c.runs:,}", day(c.first_ms), day(c.last_ms), c.evidence] for c in found.causes]
    tables = [Table("Failed outside of the task", ("cause", "runs", "first", "last", "evidence"), causes)]
    for by, groups in found.by.items():
        if by != "genome" or len(groups) > 1:
            tables.append(Table(f"By {by}", (by, *names[1:]), [_group(group) for group in groups]))
    return tables


def _group(group: Group) -> list[str]:
    numbers = (group.runs, group.success, group.failed, group.timeout, group.environment)
    return [group.name, *(f"{number:,}" for number in numbers), interval_words(group.success_share)]


def drift_lines(document: AuditDocument) -> list[str]:
    """Drift: what is said of it."""
    drift = document.drift
    promise = drift.false_alarms_a_year
    return [drift.words, f"a weekly audit calls chance a drift about once in {1 / promise:.0f} years at most"]


def drift_tables(document: AuditDocument) -> list[Table]:
    """Drift: its tables."""
    rows = [
        [
            t.what,
            percent(t.before),
            percent(t.recent),
            f"{t.p:.4f}",
            "drift" if t.drifted else "none",
        ]
        for t in document.drift.tested
    ]
    return [
        Table("Window against the epoch before it", ("", "before", "window", "p (Holm)", "verdict"), rows)
    ]


# Quality, steadiness, phase, health


def quality_lines(document: AuditDocument) -> list[str]:
    """Quality: what is said of it."""
    found = document.quality
    if not found.looked_at:
        return ["no issue is open and none was run"]
    return [f"{found.faultless:,} of {count(found.looked_at, 'issue')} break no rule"]


def quality_tables(document: AuditDocument) -> list[Table]:
    """Quality: its tables."""
    rows = [[r.rule, f"{r.broken:,}", ", ".join(r.issues[:8])] for r in document.quality.rules if r.broken]
    return [Table("Rules that issues break", ("rule", "issues", "such as"), rows)]


def steadiness_lines(document: AuditDocument) -> list[str]:
    """Steadiness: what is said of it."""
    found = document.steadiness
    said = [f"{found.active_days} of {found.days} days active"]
    if found.busiest_day:
        said.append(f"busiest day: {found.busiest_day} with {percent(found.busiest_day_share)} of runs")
    if found.busiest_issue:
        share = f"{percent(found.busiest_issue_share)} of runs"
        said.append(f"issue with the most runs: {found.busiest_issue} with {share}")
    said.append(f"gaps of more than a day without a dispatch: {len(found.gaps)}")
    return said


def phase_lines(document: AuditDocument) -> list[str]:
    """Phase: what is said of it."""
    found = document.phase
    label = found.majority_label
    right = f"{percent(found.majority_share)} of labelled runs"
    beat = f"always saying “{label}” is right in {right}: a model must beat that"
    return [
        found.words,
        f"manifest and proof: {percent(found.consistent_share)} of archives",
        beat if label else "no label yet",
        f"entropy of the labels: {found.label_entropy_bits:.2f} bits (0 where all are one)",
        f"issues with several runs and a pass, for best-of-K: {found.best_of_total:,}",
    ]


def phase_tables(document: AuditDocument) -> list[Table]:
    """Phase: its tables."""
    rows = [[b.issue_id, str(b.candidates), str(b.passed)] for b in document.phase.best_of[:10]]
    return [Table("For best-of-K, the most runs first", ("issue", "runs", "passed"), rows)]


def health_lines(document: AuditDocument) -> list[str]:
    """Health: what is said of it."""
    found = document.health
    archives = ", ".join(f"{number:,} {state}" for state, number in found.archives.items())
    lag, snapshot = found.lag, found.snapshot
    said = [f"archives: {found.seen:,} seen: {archives or 'none'}"]
    said.append(
        f"pruned unseen, or never archived: {count(found.unseen, 'failed workcell')} of the event log"
    )
    if found.last_ingest_ms is not None:
        said.append(f"last ingest: {day(found.last_ingest_ms)}")
    if lag.median_s is not None:
        said.append(
            f"from end to complete archive: median {lag.median_s:.0f} s, 95 % within {lag.p95_s:.0f} s"
        )
    if snapshot is None:
        return [*said, "dataset: none published yet"]
    rebuilt = {None: "not rebuilt in this audit", True: "rebuilt to the same hash", False: "NOT rebuilt"}
    dataset = f"{snapshot.rows:,} rows, hash {snapshot.dataset_hash[:16]}…"
    return [*said, f"dataset: {snapshot.path}: {dataset}, {rebuilt[snapshot.rebuilt]}"]


def health_tables(document: AuditDocument) -> list[Table]:
    """Health: its tables."""
    found = document.health
    epochs = [
        [str(e.number), day(e.from_ms), day(e.to_ms) if e.to_ms else "now", e.words] for e in found.epochs
    ]
    alerts = [[a.event, day(a.opened_ms), a.words] for a in found.alerts[:_MOST_ALERTS]]
    attention = [[a["name"], a["state"], a["reason"]] for a in found.attention]
    return [
        Table("Environments", ("epoch", "from", "to", "what"), epochs),
        Table("Archives that are not whole", ("archive", "state", "reason"), attention),
        Table("Open alerts", ("alert", "since", "what"), alerts),
    ]


GLOSSARY = (
    ("kernel", "what runs AI coding agents on issues, `cyntra run`, and leaves an archive of each run"),
    (
        "plan",
        "how a run was executed: swarm (one agent or several that compete), candidates (how many), minutes",
    ),
    ("lane", "a kind of plan: A runs one agent, B two and C three agents that compete on the same issue"),
    ("label", "the plan that was executed, which a model is to learn from the issue"),
    ("labelled run", "a run whose executed plan is known: what lanes, coverage and phases count"),
    ("row", "one example of a published dataset, made of a labelled run"),
    ("gate", "a command that decides whether a run passed, such as the tests; set in `gates`"),
    ("situation", "all that a model sees of an issue except its id, its history and the time"),
    ("toolchain", "the agent that works on an issue, with its model and its time limit"),
    ("policy", "what the kernel decides a plan by: its routing rules, toolchains and limits"),
    ("environment", "the configuration that the kernel runs with, as far as it decides labels"),
    ("epoch", "the runs under one environment, from its beginning to its end; each has a dataset of its own"),
    ("interval", "where a share may truly lie, at 95 %: `18 % (10–32 %)`"),
    ("leaning", "outside of the band by the estimate, while its interval reaches into it"),
    (
        "phase",
        "how far a collection is, by labelled runs: 1 is enough for a first planner, 2 for one to trust",
    ),
    ("ready", "an issue that the kernel may take now"),
    ("tentative", "advice by an estimate whose interval does not decide yet"),
)

SECTIONS = (
    Section("lanes", "Lanes", lanes_lines, lanes_tables),
    Section("coverage", "Coverage", coverage_lines, coverage_tables),
    Section("fill", "Targeted fill", fill_lines),
    Section("backlog", "Backlog", backlog_lines, backlog_tables, without_runs=True),
    Section(
        "consistency",
        "Label consistency",
        consistency_lines,
        consistency_tables,
        contradictions,
        "Equal issues with different labels, the most expensive first",
    ),
    Section("agreement", "Train and serve", agreement_lines),
    Section("outcomes", "Outcomes", outcomes_lines, outcomes_tables),
    Section("drift", "Drift", drift_lines, drift_tables),
    Section("quality", "Issue quality", quality_lines, quality_tables, without_runs=True),
    Section("steadiness", "Steadiness", steadiness_lines),
    Section("phase", "Phase", phase_lines, phase_tables),
    Section("health", "Collection", health_lines, health_tables, without_runs=True),
)
