"""The first screen of an audit: one sentence, a tile for each question that a person comes with. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from collectord.audit.answers import Answers
from collectord.audit.facts import AuditFacts
from collectord.audit.fill import short_words
from collectord.audit.findings import DAY_MS, FEW_CONFLICTS, LAST_PHASE, LEAST_RUNS, Finding, Kind
from collectord.audit.lanes import LaneAnswer, Verdict
from collectord.audit.layout import NOTHING, capitalised, count, day, percent, span
from collectord.audit.outcomes import MOSTLY_EMPTY

# Nobody has to do anything about these this week.
NOT_PRESSING = frozenset({Kind.NOTE, Kind.UNDETERMINED, Kind.DRIFT})
MOST_TO_DO = 5
_MANY_CONFLICTS = 0.10
_ENVIRONMENT_FAILURES = (0.0, 0.10)
_OLD_DATASET_DAYS = 14
# A weekend without runs is nothing to see to.
_QUIET_DAYS = 3


class State(StrEnum):
    """How something is: nothing to do, keep an eye on it, do something about it."""

    GOOD = "good"
    WATCH = "watch"
    ACT = "act"


@dataclass(frozen=True, slots=True)
class Tile:
    """One answer at a glance; `section` is where the page has the rest, `share` what a bar shows of it."""

    key: str
    title: str
    value: str
    detail: str
    state: State
    section: str
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Overview:
    """What stands above everything else."""

    sentence: str
    tiles: tuple[Tile, ...]


def overview(facts: AuditFacts, answers: Answers) -> Overview:
    """From the answers of an audit."""
    tiles = (
        _rows(answers),
        _phase(answers),
        _lanes(answers),
        _consistency(answers),
        _success(answers),
        _environment(facts, answers),
        _dataset(facts, answers),
        _collection(facts, answers),
    )
    return Overview(_sentence(answers), tiles)


def pressing(findings: Sequence[Finding]) -> list[Finding]:
    """What somebody has to do something about, the first five of it are shown."""
    return [one for one in findings if one.kind not in NOT_PRESSING]


def more_words(findings: Sequence[Finding]) -> str:
    """What is folded in every form: `3 more to do, 2 notes`; nothing where nothing is."""
    todo = len(pressing(findings))
    more, notes = max(0, todo - MOST_TO_DO), len(findings) - todo
    said = [f"{more:,} more to do"] if more else []
    return ", ".join([*said, count(notes, "note")] if notes else said)


_NOTHING_YET = "Nothing was collected yet: `collectord run` takes in each run as it ends."


def _sentence(answers: Answers) -> str:
    if not answers.phase.archives:
        return _NOTHING_YET
    others = [one for one in pressing(answers.findings) if one.answer not in ("fill", "lanes")]
    first = f" First {_short(others[0].do)}." if others else ""
    return f"{_pace(answers)}.{first} {capitalised(_mix(answers))}."


def _short(do: str) -> str:
    """What to do, without its reason and what stands in brackets."""
    return do.partition(":")[0].partition(" (")[0]


def _pace(answers: Answers) -> str:
    steadiness = answers.steadiness
    if not steadiness.runs:
        return "Nothing was collected in this window"
    if steadiness.active_days == 1 < steadiness.days:
        return "Collected on one day only"
    if steadiness.active_days * 2 < steadiness.days or steadiness.gaps:
        return "Collecting in bursts"
    return "Collecting steadily"


def _mix(answers: Answers) -> str:
    lanes = answers.lanes.lanes
    if all(lane.verdict is Verdict.TOO_FEW for lane in lanes):
        return "too few runs to judge the mix"
    how = {lane.key: short_words(lane) for lane in lanes}
    wanted = next((one for one in answers.fill.add if one.issues), None)
    if wanted is not None and wanted.issues is not None and not wanted.blocked:
        size = f"add about {count(wanted.issues[0], f'{wanted.risk}-risk issue')}"
        return f"lane {wanted.lane} {how[wanted.lane]}: {size}"
    blocked = next((one for one in answers.fill.add if one.blocked), None)
    if blocked is not None:
        return f"lane {blocked.lane} {how[blocked.lane]}, and no issue can get there: {blocked.blocked[0]}"
    if answers.fill.stop:
        return answers.fill.stop[0].partition(", as ")[0]
    return "the mix is right"


def _rows(answers: Answers) -> Tile:
    snapshot, labelled = answers.health.snapshot, answers.phase.labelled
    if snapshot is None:
        detail = f"published yet, of {count(labelled, 'labelled run')}"
        return Tile("rows", "Rows", "none", detail, State.WATCH, "health")
    detail = f"published, of {count(labelled, 'labelled run')}"
    return Tile("rows", "Rows", f"{snapshot.rows:,}", detail, State.GOOD, "health")


def _phase(answers: Answers) -> Tile:
    phase = answers.phase
    if phase.next_at is None:
        detail, state, share = "the last one that is about numbers", State.GOOD, None
    else:
        state = State.WATCH if phase.next_ms is None else State.GOOD
        when = f"no date: {phase.undated}"
        if phase.next_ms is not None:
            when = f"phase {phase.next_phase} about {day(phase.next_ms)}"
        detail = f"{phase.labelled:,} of {phase.next_at:,} labelled runs; {when}"
        share = min(1.0, phase.labelled / phase.next_at)
    return Tile("phase", "Phase", f"{phase.phase} of {LAST_PHASE}", detail, state, "phase", share)


def _lanes(answers: Answers) -> Tile:
    lanes = answers.lanes.lanes
    verdicts = {lane.verdict for lane in lanes}
    state = State.WATCH
    if verdicts & {Verdict.LOW, Verdict.HIGH}:
        state = State.ACT
    elif verdicts <= {Verdict.IN, Verdict.ABOUT_RIGHT}:
        state = State.GOOD
    numbers = [percent(lane.interval.share).removesuffix(" %") for lane in lanes]
    shares = f"{' · '.join(numbers)} %" if answers.lanes.runs else NOTHING
    return Tile("lanes", "Lanes A · B · C", shares, _lanes_detail(lanes, state), state, "lanes")


def _lanes_detail(lanes: Sequence[LaneAnswer], state: State) -> str:
    if any(lane.verdict is Verdict.TOO_FEW for lane in lanes):
        return "too few runs to judge"
    if state is State.GOOD:
        return "all in their bands"
    wrong = sorted((lane for lane in lanes if lane.is_low or lane.is_high), key=_out_by, reverse=True)
    return "; ".join(f"{lane.key} {lane.verdict}, {span(lane.low, lane.high)} wanted" for lane in wrong)


def _out_by(lane: LaneAnswer) -> float:
    return max(lane.low - lane.interval.share, lane.interval.share - lane.high) / (lane.high - lane.low)


def _state(share: float, watch: float, act: float) -> State:
    """By what a share may be at most to be good, and at most to be watched."""
    return State.GOOD if share <= watch else State.WATCH if share <= act else State.ACT


def _consistency(answers: Answers) -> Tile:
    """Of the runs that can contradict each other: those of situations that were seen more than once."""
    key = answers.consistency.keys[1]
    repeated = key.rows - round(key.singletons * key.rows)
    title = "Consistent labels"
    if not repeated:
        return Tile("consistency", title, NOTHING, _no_situation_twice(key.rows), State.GOOD, "consistency")
    conflicting = min(1.0, key.conflicting * key.rows / repeated)
    detail = f"of the {count(repeated, 'labelled run')} in situations seen more than once"
    if not conflicting and repeated < LEAST_RUNS:
        detail = (
            f"only {repeated:,} of {count(key.rows, 'labelled run')} are in situations seen more than once"
        )
        return Tile("consistency", title, "no conflict", detail, State.GOOD, "consistency")
    state = _state(key.conflicting, FEW_CONFLICTS, _MANY_CONFLICTS)
    return Tile("consistency", title, percent(1 - conflicting), detail, state, "consistency")


def _no_situation_twice(rows: int) -> str:
    return (
        f"none of {count(rows, 'labelled run')} is in a situation of another" if rows else "no labelled runs"
    )


def _success(answers: Answers) -> Tile:
    """How runs end, and whether that says anything: gates can be empty, and a success can change nothing."""
    window = answers.outcomes.window
    value = percent(window.success_share.share) if window.runs else NOTHING
    state, detail = _success_state(answers)
    return Tile("success", "Success", value, f"of {count(window.runs, 'run')}{detail}", state, "outcomes")


def _success_state(answers: Answers) -> tuple[State, str]:
    window, empty = answers.outcomes.window, answers.outcomes.empty_successes
    if not window.runs:
        return State.WATCH, ""
    if not answers.phase.meaningful_gates:
        return State.ACT, "; says nothing: no gate tests anything"
    if window.success and empty >= MOSTLY_EMPTY * window.success:
        return State.ACT, f"; {empty:,} of {count(window.success, 'success')} changed nothing"
    watch, act = _ENVIRONMENT_FAILURES
    failures = f"; {count(window.environment, 'failure')} not of the task" if window.environment else ""
    return _state(window.environment / window.runs, watch, act), failures


def _environment(facts: AuditFacts, answers: Answers) -> Tile:
    alerts = [
        alert.event for alert in answers.health.alerts if alert.event.startswith(("environment.", "kernel."))
    ]
    if facts.policy_unknown is not None:
        return Tile("environment", "Environment", "unreadable", facts.policy_unknown, State.ACT, "health")
    epochs = answers.health.epochs
    if not epochs:
        return Tile("environment", "Environment", NOTHING, "no epoch yet", State.WATCH, "health")
    days = max(0, (facts.now_ms - epochs[-1].from_ms) // DAY_MS)
    detail = f"epoch {epochs[-1].number}"
    if "environment.stale_kernel" in alerts:
        return Tile(
            "environment", "Environment", "restart", f"{detail}; the kernel is stale", State.ACT, "health"
        )
    if alerts:
        detail += f"; {count(len(alerts), 'open alert')}"
    if facts.unrun_since_ms is not None:
        detail = f"in effect since {day(facts.unrun_since_ms)}, no run has it yet; the last run: {detail}"
        return Tile("environment", "Environment", "new", detail, State.WATCH, "health")
    state = State.WATCH if alerts else State.GOOD
    value = f"{count(days, 'day')} stable" if days else f"since {day(epochs[-1].from_ms)}"
    return Tile("environment", "Environment", value, detail, state, "health")


def _dataset(facts: AuditFacts, answers: Answers) -> Tile:
    snapshot = answers.health.snapshot
    if snapshot is None:
        return Tile("dataset", "Dataset", "none", "`collectord export` publishes one", State.WATCH, "health")
    age = max(0, (facts.now_ms - snapshot.published_ms) // DAY_MS)
    said = {
        None: "not rebuilt in this audit",
        True: "rebuilt to the same hash",
        False: "CANNOT be rebuilt",
    }
    state = State.WATCH if age > _OLD_DATASET_DAYS else State.GOOD
    if not snapshot.exists or snapshot.rebuilt is False:
        state = State.ACT
    there = said[snapshot.rebuilt] if snapshot.exists else "no longer there"
    old = f"{count(age, 'day')} old" if age else "of today"
    return Tile("dataset", "Dataset", old, f"hash {snapshot.dataset_hash[:8]}; {there}", state, "health")


def _collection(facts: AuditFacts, answers: Answers) -> Tile:
    health = answers.health
    indexed = health.archives.get("indexed", 0) + health.archives.get("unchanged", 0)
    not_taken = {name: health.archives.get(name, 0) for name in ("quarantined", "partial")}
    quiet_days = (facts.now_ms - facts.runs[-1].started_ms) // DAY_MS if facts.runs else 0
    state = State.WATCH if not_taken["partial"] or quiet_days >= _QUIET_DAYS else State.GOOD
    state = State.ACT if not_taken["quarantined"] else state
    listed = [f"{number:,} {name}" for name, number in not_taken.items() if number]
    listed = listed or ([] if quiet_days >= _QUIET_DAYS else ["none left out"])
    if quiet_days >= _QUIET_DAYS:
        listed.append(f"none started for {count(quiet_days, 'day')}")
    elif health.lag.median_s is not None:
        soon = f"{health.lag.median_s:.0f} s after" if health.lag.median_s >= 1 else "as soon as"
        listed.append(f"indexed {soon} a run ends")
    return Tile("collection", "Collected", count(indexed, "archive"), "; ".join(listed), state, "health")


def overview_lines(found: Overview) -> Iterator[str]:
    """Each tile as a line: state, title, value, detail."""
    width = max(len(tile.title) for tile in found.tiles)
    for tile in found.tiles:
        yield f"{tile.state:<5}  {tile.title:<{width}}  {tile.value}: {tile.detail}"
