"""Whether equal situations have equal labels: what any policy can learn at most. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from collectord.audit.facts import Action, AuditFacts, AuditRun
from collectord.audit.findings import FEW_CONFLICTS, SERIAL, Finding, Kind
from collectord.audit.layout import count, listing, percent

Groups = Mapping[Hashable, Sequence[AuditRun]]
_MOST_RUNS = 6
AUTO_TRIGGER_RISKS = ("high", "critical")


@dataclass(frozen=True, slots=True)
class Cluster:
    """One situation with several labels; `runs` are the first few of them, `lost` the rows no policy gets."""

    situation: str
    rows: int
    lost: int
    labels: dict[str, int]
    runs: tuple[str, ...]
    issues: int
    cause: str


def grouped(runs: Iterable[AuditRun], key: str) -> dict[Hashable, list[AuditRun]]:
    """Labelled runs by `k0`, `k1` or `k2`; those without that key are left out.

    An input without a recorded hash is made anew for its row, and holds the time of its dispatch: no other is
    equal to it.
    """
    groups: dict[Hashable, list[AuditRun]] = {}
    for run in runs:
        value = run.k2 if key == "k2" else getattr(run.recorded, key)
        value = run.name if key == "k0" and value is None else value
        if run.label is not None and value is not None:
            groups.setdefault(value, []).append(run)
    return groups


def lost_rows(runs: Sequence[AuditRun]) -> int:
    """Rows that a policy which gives one action to this situation must get wrong."""
    first = runs[0].label
    if len(runs) == 1 or all(run.label is first or run.label == first for run in runs):
        return 0  # most situations: nothing to count
    return len(runs) - max(Counter(run.label for run in runs).values())


def worst(groups: Groups, most: int) -> tuple[Cluster, ...]:
    """The clusters that cost the most rows, the largest first."""
    conflicting = [(lost, runs) for runs in groups.values() if (lost := lost_rows(runs))]
    conflicting.sort(key=lambda found: (-found[0], -len(found[1]), found[1][0].started_ms, found[1][0].name))
    return tuple(_cluster(runs) for _, runs in conflicting[:most])


def _cluster(runs: Sequence[AuditRun]) -> Cluster:
    labels = Counter(run.label.words for run in runs if run.label)
    return Cluster(
        situation=situation_words(runs[0]),
        rows=len(runs),
        lost=lost_rows(runs),
        labels=dict(labels.most_common()),
        runs=_a_few(runs),
        issues=len({run.block for run in runs}),
        cause=likely_cause(runs),
    )


def _a_few(runs: Sequence[AuditRun]) -> tuple[str, ...]:
    """Some runs of each label, so that the difference can be looked at."""
    by_label: dict[Action | None, list[str]] = {}
    for run in runs:
        by_label.setdefault(run.label, []).append(run.name)
    each = max(1, _MOST_RUNS // len(by_label))
    return tuple(name for names in by_label.values() for name in names[:each])[:_MOST_RUNS]


def situation_words(run: AuditRun) -> str:
    """`code, high/M, no hint, area:cache, kernel`."""
    recorded = run.recorded
    hint = f"hint {recorded.hint}" if recorded.hint else "no hint"
    tags = listing(sorted(recorded.tags), 4) or "no tags"
    return f"{run.job_type}, {recorded.risk or '?'}/{recorded.size or '?'}, {hint}, {tags}"


def likely_cause(runs: Sequence[AuditRun]) -> str:
    """The first difference between the runs that goes along with their labels, in the order of certainty."""
    labels = {run.label for run in runs if run.label}
    if _explains(runs, lambda run: run.epoch):
        epochs = sorted({run.epoch for run in runs})
        return f"the policy changed between epochs {listing(epochs)}: train on one of them"
    fallbacks = sorted({run.recorded.fallback for run in runs if run.recorded.fallback})
    if fallbacks and _explains(runs, lambda run: run.recorded.fallback):
        return f"fallbacks: {listing(fallbacks, 2)}"
    if _explains(runs, lambda run: run.recorded.timeout_overridden):
        return "some timeouts were overridden by hand or by a planner"
    if len({(a.swarm, a.candidates) for a in labels}) > 1:
        return _cause_of_widths(runs, labels)
    if _explains(runs, lambda run: run.toolchain):
        tools = sorted({run.toolchain or "none" for run in runs})
        return f"another toolchain, and so another timeout: {listing(tools)}"
    return "nothing recorded tells them apart: an edit of the policy that no epoch shows, or chance"


def _cause_of_widths(runs: Sequence[AuditRun], labels: set[Action]) -> str:
    if _explains(runs, lambda run: run.recorded.control):
        modes = sorted({run.recorded.control or "none" for run in runs})
        return f"the control mode changes the width: {listing(modes)}"
    serial = {action.swarm == SERIAL for action in labels}
    if serial == {True, False}:
        risks = {run.recorded.risk for run in runs}
        if risks <= set(AUTO_TRIGGER_RISKS):
            return (
                "the critical path: an issue of this risk speculates only while it lies on it, "
                "and no input says whether it does"
            )
        return "dk_speculate, which stands in no input"
    return "how many toolchains were available at dispatch"


def _explains(runs: Sequence[AuditRun], feature: object) -> bool:
    """Whether the feature differs, and within each of its values all labels are one."""
    assert callable(feature)
    labels: dict[Hashable, set[Action | None]] = {}
    for run in runs:
        labels.setdefault(feature(run), set()).add(run.label)
    return len(labels) > 1 and all(len(found) == 1 for found in labels.values())


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
    fallbacks = Counter(run.recorded.fallback for run in runs if run.recorded.fallback)
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
        if run.job_type == "code" and run.recorded.iterations != "NA":
            broken["code with a number of iterations"] += 1
        if run.job_type == "fab-world" and run.label.candidates == "NA":
            broken["fab-world without a number of candidates"] += 1
    return dict(sorted(broken.items()))


def _requested(runs: Sequence[AuditRun]) -> dict[str, int]:
    found = {"compared": 0, "equal": 0, "swarm": 0, "candidates": 0, "minutes": 0}
    for run in runs:
        if run.recorded.requested is None or run.label is None:
            continue
        asked, got = Action(*run.recorded.requested), run.label
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
        why = listing(f"{what}: {count(number, 'labelled run')}" for what, number in invalid.items())
        do = "leave out the runs whose label breaks a validity rule, and find out what executed them"
        yield Finding(Kind.CONFLICT, "consistency", do, why)
    if sum(fallbacks.values()) > rows / 20:
        why = listing(f"{what}: {count(number, 'labelled run')}" for what, number in fallbacks.most_common())
        do = "look into the fallbacks: these runs teach what was possible, not what the policy chose"
        yield Finding(Kind.CONFLICT, "consistency", do, f"{percent(sum(fallbacks.values()) / rows)}: {why}")


def _conflict(answer: KeyAnswer) -> Finding:
    top = answer.worst[0]
    labels = listing(f"{number} {label}" for label, number in top.labels.items())
    why = (
        f"{percent(answer.conflicting)} of labelled runs contradict others that share {answer.words} "
        f"({answer.key}), so every policy on it is wrong on {percent(answer.g3)}; the worst: {top.situation} "
        f"({labels}), such as {listing(top.runs, 2)}"
    )
    kind = Kind.CONFLICT if answer.conflicting > FEW_CONFLICTS else Kind.NOTE
    return Finding(kind, "consistency", f"take away the cause of contradictions: {top.cause}", why)
