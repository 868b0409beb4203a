"""Runs that were given equal situations and unequal labels, and why that is likely. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from collectord.audit.facts import Action, AuditRun
from collectord.audit.findings import SERIAL
from collectord.audit.layout import listing

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
    """Labelled runs by `k0`, `k1` or `k2`; those without that key are left out."""
    groups: dict[Hashable, list[AuditRun]] = {}
    for run in runs:
        value = run.k2 if key == "k2" else getattr(run.told, key)
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
    told = run.told
    hint = f"hint {told.hint}" if told.hint else "no hint"
    tags = listing(sorted(told.tags), 4) or "no tags"
    return f"{run.job_type}, {told.risk or '?'}/{told.size or '?'}, {hint}, {tags}"


def likely_cause(runs: Sequence[AuditRun]) -> str:
    """The first difference between the runs that goes along with their labels, in the order of certainty."""
    labels = {run.label for run in runs if run.label}
    if _explains(runs, lambda run: run.epoch):
        epochs = sorted({run.epoch for run in runs})
        return f"the policy changed between epochs {listing(epochs)}: train on one of them"
    if any(run.told.fallback for run in runs) and _explains(runs, lambda run: run.told.fallback):
        return f"fallbacks: {listing(sorted({run.told.fallback for run in runs if run.told.fallback}), 2)}"
    if _explains(runs, lambda run: run.told.timeout_overridden):
        return "some timeouts were overridden by hand or by a planner"
    if len({(a.swarm, a.candidates) for a in labels}) > 1:
        return _cause_of_widths(runs, labels)
    if _explains(runs, lambda run: run.toolchain):
        tools = sorted({run.toolchain or "none" for run in runs})
        return f"another toolchain, and so another timeout: {listing(tools)}"
    return "nothing recorded tells them apart: an edit of the policy that no epoch shows, or chance"


def _cause_of_widths(runs: Sequence[AuditRun], labels: set[Action]) -> str:
    if _explains(runs, lambda run: run.told.control):
        modes = sorted({run.told.control or "none" for run in runs})
        return f"the control mode changes the width: {listing(modes)}"
    serial = {action.swarm == SERIAL for action in labels}
    if serial == {True, False}:
        risks = {run.told.risk for run in runs}
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
