"""Equal issues with different labels inside one epoch: a stable environment should not do that. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

from collectord.cyntra.evidence import evidence_from, situation_from
from collectord.cyntra.label import budgets
from collectord.cyntra.values import member, texts
from collectord.index.shown import Plan, ShownRun
from collectord.model import Evidence, Situation

# (swarm, the label as a person reads it)
Label = tuple[str, str]


@dataclass(frozen=True)
class Contradiction:
    """Runs of one issue key by their different labels; `components` are those of their environment."""

    issue: Situation
    by_label: Mapping[Label, Sequence[ShownRun]]
    components: Mapping[str, Any]

    @cached_property
    def likely(self) -> tuple[str, ...]:
        """What the manifests show as the likely causes."""
        return tuple(_likely(self))


def issue_of(situation: str) -> Situation:
    """The key by which equal issues are found, from the text that the index keeps."""
    return replace(situation_from(situation), available_toolchains=None)


def contradictions(
    runs: Sequence[ShownRun], components: Mapping[str, Any], issue: Callable[[str], Situation] = issue_of
) -> Iterator[Contradiction]:
    """Issue keys with several labels among the runs of an epoch; `components` are its environment's.

    Runs without an explicit plan have no label. The label is the one that rows have: swarm and bins.
    `issue` is `issue_of`, or what remembers its answers.
    """
    label = cache(_label)
    found: dict[Situation, dict[Label, list[ShownRun]]] = {}
    for run in runs:
        if run.plan is not None and run.situation is not None:
            by_label = found.setdefault(issue(run.situation), {})
            by_label.setdefault(label(run.plan), []).append(run)
    for key, by_label in found.items():
        if len(by_label) > 1:
            yield Contradiction(key, by_label, components)


def _label(plan: Plan) -> Label:
    swarm, candidates, seconds, iterations = plan
    minutes = None if seconds is None else seconds // 60
    action = {"max_candidates": candidates, "max_minutes": minutes, "max_iterations": iterations}
    bins = budgets(action)
    rounds = bins["max_iterations_bin"]
    text = f"{swarm}×{bins['max_candidates_bin']} {bins['max_minutes_bin']} min"
    return str(swarm), text if rounds == "NA" else f"{text} {rounds} iterations"


def _likely(found: Contradiction) -> Iterator[str]:
    """The usual causes, where the manifests show them."""
    issue, by_label = found.issue, found.by_label
    runs = [run for same in by_label.values() for run in same]
    shown = cache(evidence_from)
    evidence = [shown(run.evidence) for run in runs]
    yield from _missing_toolchains(runs)
    speculation = found.components.get("speculation")
    automatic = member(speculation, "auto_trigger_on_critical_path")
    risks = texts(member(speculation, "auto_trigger_risk_levels"))
    if len({label[0] for label in by_label}) > 1 and automatic and issue.risk in risks:
        yield f"the critical path: an issue of {issue.risk} risk speculates only while it lies on it"
    yield from _differing(evidence)


def _missing_toolchains(runs: Sequence[ShownRun]) -> Iterator[str]:
    available = [situation_from(run.situation).available_toolchains for run in runs if run.situation]
    told = [set(names) for names in available if names is not None]
    everything = set().union(*told)
    for name in sorted(everything):
        without = sum(name not in names for names in told)
        if without:
            yield f"missing toolchains: {name} was not available at {without} of {len(told)} dispatches"


def _differing(evidence: Sequence[Evidence]) -> Iterator[str]:
    toolchains = Counter(str(e.toolchain) for e in evidence)
    if len(toolchains) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in sorted(toolchains.items()))
        yield f"different toolchains ran: {listed}"
    modes = sorted({e.control_mode for e in evidence if e.control_mode})
    if len(modes) > 1:
        yield f"the control mode differed: {', '.join(modes)}"
    if overridden := sum("timeout" in e.overridden for e in evidence):
        yield f"{overridden} of {len(evidence)} timeouts were overridden"
