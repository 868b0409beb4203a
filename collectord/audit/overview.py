"""The first screen of an audit: one sentence, a tile for each question that a person comes with. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from collectord.audit.answers import Answers
from collectord.audit.facts import AuditFacts
from collectord.audit.findings import DAY_MS, FEW_CONFLICTS, Finding, Kind
from collectord.audit.lanes import LaneAnswer, Verdict
from collectord.audit.layout import NOTHING, count, day, percent, span

# Nobody has to do anything about these this week.
NOT_PRESSING = frozenset({Kind.NOTE, Kind.UNDETERMINED, Kind.DRIFT})
MOST_TO_DO = 5
_MANY_CONFLICTS = 0.10
_ENVIRONMENT_FAILURES = (0.0, 0.10)
_OLD_DATASET_DAYS = 14


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
        _collection(answers),
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
    said = f"{_pace(answers)}; {_mix(answers)}." if answers.phase.archives else _NOTHING_YET
    others = [one for one in pressing(answers.findings) if one.answer not in ("fill", "lanes")]
    return f"{said} First: {others[0].do}." if others else said


def _pace(answers: Answers) -> str:
    steadiness = answers.steadiness
    if not steadiness.runs:
        return "Nothing was collected in this window"
    if steadiness.active_days * 2 < steadiness.days or steadiness.gaps:
        return "Collecting in bursts"
    return "Collecting steadily"


def _mix(answers: Answers) -> str:
    lanes = answers.lanes.lanes
    if all(lane.verdict is Verdict.TOO_FEW for lane in lanes):
        return "too few runs to judge the mix"
    how = {lane.key: "is short" if lane.is_low else "would be short by the ready issues" for lane in lanes}
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
        detail, state = "the last one that is about numbers", State.GOOD
    elif phase.next_ms is None:
        detail = f"{phase.labelled:,} of {phase.next_at:,} labelled runs"
        detail += "; none came lately" if phase.labelled else ""
        state = State.WATCH
    else:
        detail = f"{phase.labelled:,} of {phase.next_at:,} labelled runs; the next about {day(phase.next_ms)}"
        state = State.GOOD
    if not phase.meaningful_gates and phase.labelled:
        detail, state = f"{detail}; no gate tests anything", State.ACT
    share = min(1.0, phase.labelled / phase.next_at) if phase.next_at else None
    return Tile("phase", "Phase", str(phase.phase), detail, state, "phase", share)


def _lanes(answers: Answers) -> Tile:
    lanes = answers.lanes.lanes
    verdicts = {lane.verdict for lane in lanes}
    worst = max(lanes, key=_out_by)
    state = State.WATCH
    if verdicts & {Verdict.LOW, Verdict.HIGH}:
        state = State.ACT
    elif verdicts <= {Verdict.IN, Verdict.ABOUT_RIGHT}:
        state = State.GOOD
    numbers = [percent(lane.interval.share).removesuffix(" %") for lane in lanes]
    shares = f"{' · '.join(numbers)} %" if answers.lanes.runs else NOTHING
    detail = "all in their bands" if state is State.GOOD else f"lane {worst.key} {worst.verdict}"
    if worst.verdict is Verdict.TOO_FEW:
        detail = "too few runs to judge"
    elif state is not State.GOOD:
        detail += f", {span(worst.low, worst.high)} wanted"
    return Tile("lanes", "Lanes A · B · C", shares, detail, state, "lanes")


def _out_by(lane: LaneAnswer) -> float:
    return max(lane.low - lane.interval.share, lane.interval.share - lane.high) / (lane.high - lane.low)


def _state(share: float, watch: float, act: float) -> State:
    """By what a share may be at most to be good, and at most to be watched."""
    return State.GOOD if share <= watch else State.WATCH if share <= act else State.ACT


def _consistency(answers: Answers) -> Tile:
    key = answers.consistency.keys[1]
    watch, act = FEW_CONFLICTS, _MANY_CONFLICTS
    state = _state(key.conflicting, watch, act) if key.rows else State.WATCH
    value = percent(1 - key.conflicting) if key.rows else NOTHING
    detail = f"of {count(key.rows, 'labelled run')}: equal issues, equal labels"
    return Tile("consistency", "Consistent labels", value, detail, state, "consistency")


def _success(answers: Answers) -> Tile:
    window = answers.outcomes.window
    failed = window.environment / window.runs if window.runs else 0.0
    watch, act = _ENVIRONMENT_FAILURES
    state = _state(failed, watch, act) if window.runs else State.WATCH
    value = percent(window.success_share.share) if window.runs else NOTHING
    detail = f"of {count(window.runs, 'run')}"
    if window.environment:
        detail += f"; {count(window.environment, 'failure')} not of the task"
    return Tile("success", "Success", value, detail, state, "outcomes")


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
    value = f"{count(days, 'day')} stable" if days else "began today"
    return Tile("environment", "Environment", value, detail, state, "health")


def _dataset(facts: AuditFacts, answers: Answers) -> Tile:
    snapshot = answers.health.snapshot
    if snapshot is None:
        return Tile("dataset", "Dataset", "none", "`collectord export` publishes one", State.WATCH, "health")
    age = max(0, (facts.now_ms - snapshot.published_ms) // DAY_MS)
    said = {None: "not rebuilt in this audit", True: "rebuilt to the same hash", False: "CANNOT be rebuilt"}
    state = State.WATCH if age > _OLD_DATASET_DAYS else State.GOOD
    if not snapshot.exists or snapshot.rebuilt is False:
        state = State.ACT
    there = said[snapshot.rebuilt] if snapshot.exists else "no longer there"
    old = f"{count(age, 'day')} old" if age else "made today"
    return Tile("dataset", "Dataset", f"{snapshot.dataset_hash[:8]}", f"{old}; {there}", state, "health")


def _collection(answers: Answers) -> Tile:
    health = answers.health
    indexed = health.archives.get("indexed", 0) + health.archives.get("unchanged", 0)
    not_taken = {name: health.archives.get(name, 0) for name in ("quarantined", "partial")}
    state = State.ACT if not_taken["quarantined"] else State.WATCH if not_taken["partial"] else State.GOOD
    listed = [f"{number:,} {name}" for name, number in not_taken.items() if number] or ["nothing left out"]
    if health.lag.median_s is not None:
        soon = f"{health.lag.median_s:.0f} s" if health.lag.median_s >= 1 else "at once"
        listed.append(f"{soon} after a run ends")
    return Tile("collection", "Collected", f"{indexed:,}", "; ".join(listed), state, "health")


def overview_lines(found: Overview) -> Iterator[str]:
    """Each tile as a line: state, title, value, detail."""
    width = max(len(tile.title) for tile in found.tiles)
    for tile in found.tiles:
        yield f"{tile.state:<5}  {tile.title:<{width}}  {tile.value}: {tile.detail}"
