"""Whether equal situations have equal labels: what any policy can learn at most. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from collectord.audit.clusters import Cluster, grouped, lost_rows, situation_words, worst
from collectord.audit.facts import Action, AuditFacts, AuditRun
from collectord.audit.findings import SERIAL, Finding, Kind
from collectord.audit.layout import count, listing, percent

KEYS = (
    ("k0", "the whole input"),
    ("k1", "the input without id, history, attempts and times"),
    ("k2", "job type, risk, size, hint and tags"),
)
_WORST = 5


@dataclass(frozen=True, slots=True)
class KeyAnswer:
    """One key: shares of its rows. `g3` is the error that no deterministic policy on this key gets below."""

    key: str
    words: str
    rows: int
    groups: int
    conflicting: float
    g3: float
    singletons: float
    worst: tuple[Cluster, ...]


@dataclass(frozen=True, slots=True)
class EpochAnswer:
    """The same within one epoch, by the situation (K1)."""

    epoch: int
    rows: int
    conflicting: float
    g3: float


@dataclass(frozen=True, slots=True)
class Flip:
    """A situation whose usual label changed from one epoch to another."""

    situation: str
    before: str
    after: str
    epochs: tuple[int, int]
    rows: int


@dataclass(frozen=True, slots=True)
class ByDesign:
    """Several labels that a rule gives to equal issues; `g3` is their share of the error among all rows."""

    epoch: int
    rule: int | None
    labels: tuple[str, ...]
    rows: int
    g3: float
    remedy: str


@dataclass(frozen=True, slots=True)
class Consistency:
    """The answer; `requested` counts where executed and requested actions agree and in what they differ."""

    rows: int
    keys: tuple[KeyAnswer, ...]
    epochs: tuple[EpochAnswer, ...]
    flips: tuple[Flip, ...]
    flips_total: int
    invalid: dict[str, int]
    fallbacks: dict[str, int]
    requested: dict[str, int]
    by_design: tuple[ByDesign, ...]
    findings: tuple[Finding, ...]


def consistency(facts: AuditFacts) -> Consistency:
    """Over all labelled runs."""
    runs = [run for run in facts.runs if run.label]
    keys = tuple(_key_answer(key, words, runs) for key, words in KEYS)
    flips = list(_flips(runs))
    invalid = _invalid(runs)
    fallbacks = Counter(run.told.fallback for run in runs if run.told.fallback)
    return Consistency(
        rows=len(runs),
        keys=keys,
        epochs=tuple(_epochs(runs)),
        flips=tuple(flips[:_WORST]),
        flips_total=len(flips),
        invalid=dict(invalid),
        fallbacks=dict(fallbacks.most_common()),
        requested=_requested(runs),
        by_design=tuple(
            ByDesign(v.epoch, v.rule, v.labels, v.rows, v.lost / (len(runs) or 1), v.remedy)
            for v in facts.varieties
        ),
        findings=tuple(_findings(keys, flips, invalid, fallbacks, len(runs))),
    )


def _key_answer(key: str, words: str, runs: Sequence[AuditRun]) -> KeyAnswer:
    groups = grouped(runs, key)
    rows, conflicting, lost = _shares(list(groups.values()))
    singles = sum(len(found) == 1 for found in groups.values())
    whole = rows or 1
    return KeyAnswer(
        key.upper(), words, rows, len(groups), conflicting, lost, singles / whole, worst(groups, _WORST)
    )


def _shares(groups: Sequence[Sequence[AuditRun]]) -> tuple[int, float, float]:
    """(rows, share of rows in groups with several labels, g3)."""
    rows = sum(len(group) for group in groups)
    lost = [(lost_rows(group), len(group)) for group in groups]
    conflicting = sum(size for wrong, size in lost if wrong)
    return rows, conflicting / (rows or 1), sum(wrong for wrong, _ in lost) / (rows or 1)


def _epochs(runs: Sequence[AuditRun]) -> Iterator[EpochAnswer]:
    for epoch in sorted({run.epoch for run in runs}):
        groups = grouped((run for run in runs if run.epoch == epoch), "k1")
        yield EpochAnswer(epoch, *_shares(list(groups.values())))


def _flips(runs: Sequence[AuditRun]) -> Iterator[Flip]:
    """Situations (K2) whose most frequent label in an epoch is not that of the epoch before."""
    found = []
    for group in grouped(runs, "k2").values():
        epochs = sorted({run.epoch for run in group})
        if len(epochs) < 2:
            continue
        usual = {epoch: _usual([run for run in group if run.epoch == epoch]) for epoch in epochs}
        for before, after in pairwise(epochs):
            if usual[before] != usual[after]:
                found.append(_flip(group, before, after, usual[before], usual[after]))
    yield from sorted(found, key=lambda flip: (-flip.rows, flip.situation))


def _flip(group: Sequence[AuditRun], before: int, after: int, old: Action, new: Action) -> Flip:
    rows = sum(run.epoch in (before, after) for run in group)
    return Flip(situation_words(group[0]), old.words, new.words, (before, after), rows)


def _usual(runs: Sequence[AuditRun]) -> Action:
    counts = Counter(run.label for run in runs if run.label)
    return max(counts, key=lambda action: (counts[action], action.words))


def _invalid(runs: Sequence[AuditRun]) -> dict[str, int]:
    """Labels that break the validity rules of the action space (CONTRACT.md 6.4), by rule."""
    broken: Counter[str] = Counter()
    for run in runs:
        assert run.label is not None
        if run.label.swarm == SERIAL and run.label.candidates != 1:
            broken["serial_handoff with more than one candidate"] += 1
        if run.job_type == "code" and run.told.iterations != "NA":
            broken["code with a number of iterations"] += 1
        if run.job_type == "fab-world" and run.label.candidates == "NA":
            broken["fab-world without a number of candidates"] += 1
    return dict(sorted(broken.items()))


def _requested(runs: Sequence[AuditRun]) -> dict[str, int]:
    found = {"compared": 0, "equal": 0, "swarm": 0, "candidates": 0, "minutes": 0}
    for run in runs:
        asked, got = run.told.requested, run.label
        if asked is None or got is None:
            continue
        found["compared"] += 1
        found["equal"] += asked == got
        for part in ("swarm", "candidates", "minutes"):
            found[part] += getattr(asked, part) != getattr(got, part)
    return found


def _findings(
    keys: Sequence[KeyAnswer],
    flips: Sequence[Flip],
    invalid: dict[str, int],
    fallbacks: Counter[Hashable] | Counter[str],
    rows: int,
) -> Iterator[Finding]:
    for answer in keys[:2]:
        if answer.worst:
            yield _conflict(answer)
            break
    if flips:
        do = "train on one epoch, or leave out what changed"
        why = f"{count(len(flips), 'situation')} got another usual label: {flips[0].situation}: "
        why += f"{flips[0].before} → {flips[0].after} (epochs {flips[0].epochs[0]} and {flips[0].epochs[1]})"
        yield Finding(Kind.CONFLICT, "consistency", do, why)
    if invalid:
        why = listing(f"{what}: {count(number, 'row')}" for what, number in invalid.items())
        do = "leave out the rows whose label breaks a validity rule, and find out what executed them"
        yield Finding(Kind.CONFLICT, "consistency", do, why)
    if sum(fallbacks.values()) > rows / 20:
        why = listing(f"{what}: {count(number, 'row')}" for what, number in fallbacks.most_common())
        do = "look into the fallbacks: these rows teach what was possible, not what the policy chose"
        yield Finding(Kind.CONFLICT, "consistency", do, f"{percent(sum(fallbacks.values()) / rows)}: {why}")


def _conflict(answer: KeyAnswer) -> Finding:
    top = answer.worst[0]
    labels = listing(f"{number} {label}" for label, number in top.labels.items())
    why = (
        f"{percent(answer.conflicting)} of rows contradict others that share {answer.words} ({answer.key}), "
        f"so every policy on it is wrong on {percent(answer.g3)}; the worst: {top.situation} "
        f"({labels}), such as {listing(top.runs, 2)}"
    )
    return Finding(Kind.CONFLICT, "consistency", f"take away the cause of contradictions: {top.cause}", why)
