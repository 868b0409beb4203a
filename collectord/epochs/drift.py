"""What changed between two environments, and what it can do to labels. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from collectord.epochs.changes import ADD, REMOVE, Edit, edits
from collectord.epochs.effects import PARTS, PLAYED, Effects, Grid, effects, grid_of
from collectord.epochs.fingerprint import masked, masked_text
from collectord.epochs.rules import EPOCH, INFO, UNRECOGNISED, WARN, Overrides, rule_of
from collectord.kernel.policy import SCHEDULING, Surface
from collectord.kernel.policy.components import pointer
from collectord.model import Environment

# More edits than these are not looked at alone: a rewritten policy is told as a whole.
_MOST_ALONE = 16


@dataclass(frozen=True)
class Change:
    """One difference between two environments, fit to be shown: secrets in it are hidden.

    `op` is add, remove, replace or move; `moves` are the label parts that it can move (swarm, candidates,
    minutes, outcome); `words` say what to expect, the change taken alone (all together where there are
    very many); `ignored` is the reason why the
    configuration ignores it, and its severity is `info` then.
    """

    component: str
    pointer: str
    op: str
    before: Any
    after: Any
    rule_id: str
    severity: str
    moves: tuple[str, ...]
    words: str
    ignored: str | None = None


def compare(
    before: Surface, after: Surface, overrides: Overrides | None = None, *, at_ms: int = 0
) -> tuple[Change, ...]:
    """The changes from one environment to another, in the order of the components.

    `at_ms` is when the change was made: an ignored path counts until its end date.
    """
    overrides = overrides or Overrides()
    found = edits(before, after)
    shown = _shown(found, before, after)
    changes = [_change(edit, before, after, shown(edit), overrides, at_ms) for edit in found]
    return (*changes, *_unrecognised(before, after, overrides, at_ms))


def cuts(changes: Iterable[Change]) -> bool:
    """Whether changes end an epoch: one of them is of the severity `epoch`."""
    return any(change.severity == EPOCH for change in changes)


def surface_of(environment: Environment) -> Surface:
    """The surface that the index keeps."""
    return Surface(environment.components, environment.unrecognised)


def changes_between(
    before: Environment, after: Environment, overrides: Overrides, at_ms: int = 0
) -> tuple[Change, ...]:
    """What changed from one environment to another."""
    return compare(surface_of(before), surface_of(after), overrides, at_ms=at_ms)


def is_cutting(overrides: Overrides) -> Callable[[Environment, Environment, int], bool]:
    """Whether a change ends an epoch; without anything configured every one does."""

    def cutting(before: Environment, after: Environment, at_ms: int) -> bool:
        if not overrides.severity and not overrides.ignored:
            return True
        return cuts(changes_between(before, after, overrides, at_ms))

    return cutting


def affected(before: Surface, after: Surface) -> Effects:
    """What all changes together do to actions: one change may undo or need another."""
    return effects(grid_of(before, after), before, after)


def _shown(found: Sequence[Edit], before: Surface, after: Surface) -> Callable[[Edit], Effects]:
    """Gives the effects of an edit alone; where there are very many, of all together."""
    grid = grid_of(before, after) if found else Grid()
    if len(found) <= _MOST_ALONE:
        return lambda edit: effects(grid, before, edit.alone)
    together = effects(grid, before, after)
    return lambda edit: together if edit.path[0] in PLAYED else Effects()


def _change(
    edit: Edit, before: Surface, after: Surface, shown: Effects, overrides: Overrides, at_ms: int
) -> Change:
    rule = rule_of(edit, before, after)
    where, component = pointer(*edit.path), str(edit.path[0])
    severity, ignored = _judged(
        rule.rule_id, where, INFO if component == SCHEDULING else EPOCH, overrides, at_ms
    )
    return Change(
        component,
        where,
        edit.op,
        masked(where, edit.before),
        masked(where, edit.after),
        rule.rule_id,
        severity,
        tuple(part for part in PARTS if part in {*rule.moves, *shown.moves}),
        masked_text("; ".join(shown.words) or rule.words.format(*edit.path)),
        ignored,
    )


def _unrecognised(before: Surface, after: Surface, overrides: Overrides, at_ms: int) -> tuple[Change, ...]:
    """Keys that this reading of the kernel knows nothing of and that came or went."""
    words = "this kernel is not known to read it; a newer one may"
    changes = []
    for where in sorted({*before.unrecognised} ^ {*after.unrecognised}):
        op = ADD if where in after.unrecognised else REMOVE
        severity, ignored = _judged(UNRECOGNISED, where, WARN, overrides, at_ms)
        changes.append(
            Change(UNRECOGNISED, where, op, None, None, UNRECOGNISED, severity, (), words, ignored)
        )
    return tuple(changes)


def _judged(
    rule_id: str, where: str, default: str, overrides: Overrides, at_ms: int
) -> tuple[str, str | None]:
    """(severity, why it is ignored)."""
    ignored = overrides.ignored_at(where, at_ms)
    return (INFO, ignored.reason) if ignored else (overrides.severity_of(rule_id, where, default), None)
