"""Equal issues with different labels inside one epoch. Pure.

Labels that the standing policy itself can give to such an issue are a property of the policy: a speculation
keeps its winner's archive, so toolchains with other timeouts give other labels by design. What is left is a
contradiction, which a stable environment should not give.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from collectord.epochs.actions import ROUTING, Actions
from collectord.index.runs import DispatchedRun, Plan
from collectord.kernel.evidence import evidence_from, situation_from
from collectord.kernel.policy.components import timeout_of
from collectord.kernel.policy.feasible import Possible, Verdict
from collectord.kernel.rows import budgets
from collectord.model import Environment, Evidence, Situation

# (swarm, the label as a person reads it)
Label = tuple[str, str]
Asks = Callable[[str | None], bool | None]


@dataclass(frozen=True)
class Policy:
    """What an epoch's environment can do with an issue; `environment` is None where no files tell of it."""

    environment: Environment | None = None
    actions: Actions | None = None
    asks: Asks = lambda _issue_id: None

    def searching(self) -> AbstractContextManager[None]:
        """Patterns of rules are matched inside of this (see `Actions.searching`)."""
        return nullcontext() if self.actions is None else self.actions.searching()

    def possible(self, run: DispatchedRun) -> frozenset[Possible]:
        """Every label that it can give to the issue of a run; none where that is not known."""
        environment, actions = self.environment, self.actions
        if environment is None or actions is None or ROUTING not in environment.components:
            return frozenset()
        if run.executed is None:
            return frozenset()
        return actions.labels(run.executed, run.issue_text, self.asks(run.issue_id), environment)

    def against(self, run: DispatchedRun) -> str | None:
        """Why the action of a run cannot come out of it; None where it can or nothing is known."""
        environment, actions = self.environment, self.actions
        if environment is None or actions is None or run.executed is None:
            return None
        if ROUTING not in environment.components:
            return None
        found = actions.judgement(run.executed, run.issue_text, self.asks(run.issue_id), environment)
        return found.reason if found.verdict is Verdict.IMPOSSIBLE else None


@dataclass(frozen=True)
class Contradiction:
    """Runs of one issue key by their different labels, which the policy does not give of itself."""

    issue: Situation
    by_label: Mapping[Label, Sequence[DispatchedRun]]
    policy: Policy = Policy()

    @cached_property
    def likely(self) -> tuple[str, ...]:
        """What was checked and may be the cause."""
        return tuple(_likely(self))


@dataclass(frozen=True, slots=True)
class Variety:
    """Several labels that one rule gives to equal issues, by design: `rule` is its index (None: no rule).

    `rows` are the runs of such issues, `lost` those that no policy which gives one label can get right.
    """

    rule: int | None
    labels: tuple[str, ...]
    rows: int
    lost: int
    remedy: str


def issue_of(situation: str) -> Situation:
    """The key by which equal issues are found, from the text that the index keeps."""
    return situation_from(situation)._replace(available_toolchains=None)


def contradictions(
    runs: Sequence[DispatchedRun], policy: Policy, issue: Callable[[str], Situation] = issue_of
) -> Iterator[Contradiction]:
    """Issue keys with labels among the runs of an epoch that its policy does not give.

    Runs without an explicit plan have no label. The label is the one that rows have: swarm and bins.
    `issue` is `issue_of`, or what remembers its answers.
    """
    for key, by_label in _conflicting(runs, issue):
        if not set(by_label) <= _by_design(by_label, policy):
            yield Contradiction(key, by_label, policy)


def varieties(
    runs: Sequence[DispatchedRun], policy: Policy, issue: Callable[[str], Situation] = issue_of
) -> list[Variety]:
    """What the policy itself gives several labels for, by the rule that decides."""
    found: dict[int | None, list[Mapping[Label, Sequence[DispatchedRun]]]] = {}
    for _, by_label in _conflicting(runs, issue):
        if set(by_label) <= _by_design(by_label, policy):
            found.setdefault(_deciding_rule(by_label, policy), []).append(by_label)
    ordered = sorted(found.items(), key=lambda item: (item[0] is None, item[0] or 0))
    return [_variety(rule, groups, policy) for rule, groups in ordered]


def _conflicting(
    runs: Sequence[DispatchedRun], issue: Callable[[str], Situation]
) -> Iterator[tuple[Situation, Mapping[Label, Sequence[DispatchedRun]]]]:
    label = cache(label_of)
    found: dict[Situation, dict[Label, list[DispatchedRun]]] = {}
    for run in runs:
        if run.plan is not None and run.situation is not None:
            by_label = found.setdefault(issue(run.situation), {})
            by_label.setdefault(label(run.plan), []).append(run)
    for key, by_label in found.items():
        if len(by_label) > 1:
            yield key, by_label


def _by_design(by_label: Mapping[Label, Sequence[DispatchedRun]], policy: Policy) -> set[Label]:
    possible = {one for runs in by_label.values() for run in runs for one in policy.possible(run)}
    return {_label_of_possible(one) for one in possible}


def _label_of_possible(one: Possible) -> Label:
    return label_of((one.swarm_id, one.candidates, one.timeout_seconds, None))


def _deciding_rule(by_label: Mapping[Label, Sequence[DispatchedRun]], policy: Policy) -> int | None:
    """The rule that gives most of the labels, the first of equals."""
    rules = Counter(
        one.rule
        for run in (run for runs in by_label.values() for run in runs)
        for one in policy.possible(run)
        if _label_of_possible(one) in by_label
    )
    most = max(rules.values(), default=0)
    listed = [rule for rule, count in rules.items() if count == most and rule is not None]
    return min(listed, default=None)


def _variety(
    rule: int | None, groups: Sequence[Mapping[Label, Sequence[DispatchedRun]]], policy: Policy
) -> Variety:
    labels = sorted({text for by_label in groups for _, text in by_label})
    sizes = [[len(runs) for runs in by_label.values()] for by_label in groups]
    rows, lost = sum(map(sum, sizes)), sum(sum(size) - max(size) for size in sizes)
    return Variety(rule, tuple(labels), rows, lost, _remedy(rule, groups, policy))


def _remedy(
    rule: int | None, groups: Sequence[Mapping[Label, Sequence[DispatchedRun]]], policy: Policy
) -> str:
    """What would make it one label."""
    swarms = {swarm for by_label in groups for swarm, _ in by_label}
    if len(swarms) > 1:
        return "a rule that decides for these issues whether they speculate, on the critical path or not"
    timeouts = _timeouts(rule, policy)
    if len(set(timeouts.values())) > 1:
        listed = ", ".join(f"{name} {seconds // 60} min" for name, seconds in timeouts.items())
        return f"equal timeouts of the rule's toolchains ({listed})"
    return "the same toolchains available at every dispatch"


def _timeouts(rule: int | None, policy: Policy) -> dict[str, int]:
    components = {} if policy.environment is None else policy.environment.components
    routing = components.get(ROUTING)
    if routing is None:
        return {}
    names = routing["toolchain_priority"] if rule is None else routing["rules"][rule]["use"]
    return {name: timeout_of(components["toolchains"], name) for name in names}


def label_of(plan: Plan) -> Label:
    """The label of a plan as rows have it."""
    swarm, candidates, seconds, iterations = plan
    minutes = None if seconds is None else seconds // 60
    action: dict[str, Any] = {
        "max_candidates": candidates,
        "max_minutes": minutes,
        "max_iterations": iterations,
    }
    bins = budgets(action)
    rounds = bins["max_iterations_bin"]
    text = f"{swarm}×{bins['max_candidates_bin']} {bins['max_minutes_bin']} min"
    return str(swarm), text if rounds == "NA" else f"{text} {rounds} iterations"


def _likely(found: Contradiction) -> Iterator[str]:
    """What the runs themselves show to be different, or not to come out of the policy."""
    runs = [run for same in found.by_label.values() for run in same]
    shown = cache(evidence_from)
    evidence = [shown(run.evidence) for run in runs]
    yield from _not_of_the_policy(runs, found.policy)
    yield from _missing_toolchains(runs)
    yield from _differing(evidence)


def _not_of_the_policy(runs: Sequence[DispatchedRun], policy: Policy) -> Iterator[str]:
    against = {run.name: why for run in runs if (why := policy.against(run)) is not None}
    if against:
        name, why = next(iter(against.items()))
        some = f"{len(against)} of {len(runs)} runs cannot come out of the epoch's policy"
        yield f"{some}, such as {name}: {why}"


def _missing_toolchains(runs: Sequence[DispatchedRun]) -> Iterator[str]:
    available = [situation_from(run.situation).available_toolchains for run in runs if run.situation]
    known = [set(names) for names in available if names is not None]
    everything = set().union(*known)
    for name in sorted(everything):
        without = sum(name not in names for names in known)
        if without:
            yield f"missing toolchains: {name} was not available at {without} of {len(known)} dispatches"


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
