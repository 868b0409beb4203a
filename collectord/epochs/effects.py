"""What a change does to the actions of a policy: both played over a grid of issues. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

from collectord.kernel.policy import Action, IssueFacts, Surface, plan_action
from collectord.kernel.policy.routing import PATTERN_KEYS

RISKS = ("low", "medium", "high", "critical")
SIZES = ("XS", "S", "M", "L", "XL")
_MAX_HINTS, _MAX_KINDS = 12, 40
# Issues times rules of one play; about a fiftieth of a second.
_BUDGET, _LEAST_CELLS = 60_000, 120


@dataclass(frozen=True)
class Kind:
    """One way of being matched; the plain one has no words."""

    words: str = ""
    tags: tuple[str, ...] = ()
    title: str = ""
    description: str = ""


@dataclass(frozen=True)
class Circumstance:
    """What an issue is besides its risk and size."""

    hint: str | None = None
    kind: Kind = Kind()
    critical_path: bool = False
    asks: bool = False

    def simpler(self) -> Iterator[Circumstance]:
        """Every circumstance that lacks something of this one."""
        hints, kinds = {self.hint, None}, {self.kind, Kind()}
        paths, asks = {self.critical_path, False}, {self.asks, False}
        found = (Circumstance(*parts) for parts in product(hints, kinds, paths, asks))
        return (simpler for simpler in found if simpler != self)

    def weight(self) -> int:
        """How many things it is."""
        return sum((self.hint is not None, self.kind != Kind(), self.critical_path, self.asks))


Cell = tuple[Circumstance, str, str]
Classes = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Grid:
    """The issues to play, and what an environment does with each; played once for each environment.

    `risks` and `sizes` are the values that are played, each with those it stands for.
    """

    circumstances: tuple[Circumstance, ...] = ()
    risks: Classes = field(default_factory=dict)
    sizes: Classes = field(default_factory=dict)
    _played: dict[int, tuple[Surface, dict[Cell, Action]]] = field(default_factory=dict)

    def play(self, surface: Surface) -> dict[Cell, Action]:
        """The action for every cell; simpler circumstances come first."""
        known = self._played.get(id(surface))
        if known is None:
            known = self._played[id(surface)] = surface, self._actions(_with_plain_patterns(surface))
        return known[1]

    def _actions(self, surface: Surface) -> dict[Cell, Action]:
        return {
            (circumstance, risk, size): plan_action(surface, _issue(circumstance, risk, size))
            for circumstance, risk, size in product(self.circumstances, self.risks, self.sizes)
        }


def grid_of(*surfaces: Surface) -> Grid:
    """The grid in which everything is played that the rules and toolchains of these environments name."""
    hints = sorted({name for surface in surfaces for name in _hints(surface)})[:_MAX_HINTS]
    kinds = list(dict.fromkeys(kind for surface in surfaces for kind in _kinds(surface)))[:_MAX_KINDS]
    found = (
        Circumstance(hint, kind, critical_path, asks)
        for hint in (None, *hints)
        for kind in (Kind(), *kinds)
        for critical_path, asks in ((False, False), (True, False), (False, True))
    )
    risks, sizes = _classes(RISKS, "dk_risk", surfaces), _classes(SIZES, "dk_size", surfaces)
    rules = max((len(surface.components["routing"]["rules"]) for surface in surfaces), default=0)
    cells = max(_LEAST_CELLS, _BUDGET // (rules + 10))
    most = cells // (len(risks) * len(sizes))
    return Grid(tuple(sorted(found, key=Circumstance.weight)[:most]), risks, sizes)


def _classes(values: Sequence[str], key: str, surfaces: Iterable[Surface]) -> Classes:
    """The values by the first of those that no condition tells apart."""
    lists = [
        listed
        for surface in surfaces
        for listed in (
            *(rule["match"][key] for rule in surface.components["routing"]["rules"] if key in rule["match"]),
            surface.components["speculation"]["auto_trigger_risk_levels"],
        )
    ]
    classes: dict[tuple[bool, ...], list[str]] = {}
    for value in values:
        classes.setdefault(tuple(value in listed for listed in lists), []).append(value)
    return {alike[0]: tuple(alike) for alike in classes.values()}


def _issue(circumstance: Circumstance, risk: str, size: str) -> IssueFacts:
    kind = circumstance.kind
    return IssueFacts(
        risk,
        size,
        circumstance.hint,
        kind.tags,
        kind.title,
        kind.description,
        speculate=circumstance.asks,
        on_critical_path=circumstance.critical_path,
    )


def _hints(surface: Surface) -> Iterator[str]:
    yield from surface.components["toolchains"]
    for rule in surface.components["routing"]["rules"]:
        yield from (hint for hint in rule["match"].get("dk_tool_hint", ()) if hint)


def _kinds(surface: Surface) -> Iterator[Kind]:
    for rule in surface.components["routing"]["rules"]:
        match = rule["match"]
        title, description = (match.get(key, "") for key in PATTERN_KEYS)
        for tag in match.get("tags_any", [None]):
            tags = tuple(sorted({*match.get("tags_all", ()), *([tag] if tag else ())}))
            if tags or title or description:
                yield Kind(_kind_words(tags, title, description), tags, title, description)
    if len(set(surface.components["control"]["modes"].values())) > 1:
        yield from (Kind("of assets", ("asset:any",)), Kind("of worlds", ("asset:world",)))


def _kind_words(tags: Sequence[str], title: str, description: str) -> str:
    words = [f"tagged {', '.join(tags)}"] if tags else []
    words += [f"titled like {title}"] if title else []
    words += [f"described like {description}"] if description else []
    return " ".join(words)


def _with_plain_patterns(surface: Surface) -> Surface:
    """Patterns that match their own text: an issue that a pattern matches can then be made up, and a
    regular expression out of the repo is never run.
    """
    routing = surface.components["routing"]
    rules = [
        {**rule, "match": {**rule["match"], **_escaped(rule["match"])}} if _escaped(rule["match"]) else rule
        for rule in routing["rules"]
    ]
    return replace(surface, components={**surface.components, "routing": {**routing, "rules": rules}})


def _escaped(match: dict[str, str]) -> dict[str, str]:
    return {key: f"^{re.escape(match[key])}$" for key in PATTERN_KEYS if key in match}


SWARM, CANDIDATES, MINUTES, OUTCOME = "swarm", "candidates", "minutes", "outcome"
PARTS = (SWARM, CANDIDATES, MINUTES, OUTCOME)
# Only these decide actions.
PLAYED = ("routing", "speculation", "control", "toolchains")
_MAX_GROUPS = 8


@dataclass(frozen=True)
class Effects:
    """Which parts of a label move for some issue, in the order of PARTS, and for which issues how."""

    moves: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


def effects(grid: Grid, before: Surface, after: Surface) -> Effects:
    """Both environments played over the grid and compared."""
    if all(before.components[name] == after.components[name] for name in PLAYED):
        return Effects()
    old, new = grid.play(before), grid.play(after)
    words_of = {cell: words for cell, action in old.items() if (words := _difference(action, new[cell]))}
    moved = {part for cell in words_of for part in _moves(old[cell], new[cell])}
    groups: dict[tuple[Circumstance, str], set[tuple[str, str]]] = {}
    for (circumstance, risk, size), words in words_of.items():
        if all(words_of.get((simpler, risk, size)) != words for simpler in circumstance.simpler()):
            groups.setdefault((circumstance, words), set()).update(
                product(grid.risks[risk], grid.sizes[size])
            )
    return Effects(tuple(part for part in PARTS if part in moved), _lines(groups))


def _moves(before: Action, after: Action) -> Iterable[str]:
    if before.swarm_id != after.swarm_id:
        yield SWARM
    if before.candidates != after.candidates:
        yield CANDIDATES
    if set(before.timeouts) != set(after.timeouts):
        yield MINUTES
    if (before.toolchains, before.timeouts) != (after.toolchains, after.timeouts):
        yield OUTCOME


def _difference(before: Action, after: Action) -> str:
    """The most telling difference of two actions; empty where there is none."""
    if before.swarm_id != after.swarm_id:
        return f"{_width(before)} → {_width(after)}"
    if before.candidates != after.candidates:
        return f"{_width(before)} → ×{after.candidates}"
    toolchains = [] if before.toolchains == after.toolchains else [f"{_names(before)} → {_names(after)}"]
    minutes = [] if set(before.timeouts) == set(after.timeouts) else [f"{_span(before)} → {_span(after)} min"]
    return ", ".join([*toolchains, *minutes])


def _width(action: Action) -> str:
    return (
        action.swarm_id if action.swarm_id == "serial_handoff" else f"{action.swarm_id}×{action.candidates}"
    )


def _names(action: Action) -> str:
    return "+".join(action.toolchains) or "nothing"


def _span(action: Action) -> str:
    minutes = sorted({timeout / 60 for timeout in action.timeouts})
    return "–".join(f"{value:g}" for value in (minutes[:1] + minutes[-1:] if len(minutes) > 1 else minutes))


def _lines(groups: dict[tuple[Circumstance, str], set[tuple[str, str]]]) -> tuple[str, ...]:
    """One line for each circumstance and effect, hints with the same line together."""
    hints: dict[tuple[str, str, str], list[str]] = {}
    for (circumstance, words), cells in groups.items():
        key = _cells(cells), _rest(circumstance), words
        hints.setdefault(key, []).extend([circumstance.hint] if circumstance.hint else [])
    lines = [
        " ".join(filter(None, [cells, f"hinted {'/'.join(named)}" if named else "", rest])) + f": {words}"
        for (cells, rest, words), named in hints.items()
    ]
    more = len(lines) - _MAX_GROUPS
    return (*lines[:_MAX_GROUPS], *([f"and {more} more"] if more > 0 else []))


def _rest(circumstance: Circumstance) -> str:
    path = "on the critical path" if circumstance.critical_path else ""
    return " ".join(
        filter(None, [circumstance.kind.words, path, "with dk_speculate" if circumstance.asks else ""])
    )


def _cells(cells: set[tuple[str, str]]) -> str:
    """A set of (risk, size) in words: `all issues`, `critical issues`, `low XS–S`."""
    by_sizes: dict[tuple[str, ...], list[str]] = {}
    for risk in RISKS:
        sizes = tuple(size for size in SIZES if (risk, size) in cells)
        if sizes:
            by_sizes.setdefault(sizes, []).append(risk)
    return ", ".join(_box(risks, sizes) for sizes, risks in by_sizes.items())


def _box(risks: Sequence[str], sizes: Sequence[str]) -> str:
    some_risks = "" if len(risks) == len(RISKS) else _ranges(risks, RISKS)
    some_sizes = "" if len(sizes) == len(SIZES) else _ranges(sizes, SIZES)
    if some_risks and some_sizes:
        return f"{some_risks} {some_sizes}"
    return f"{some_risks or some_sizes or 'all'} issues"


def _ranges(chosen: Sequence[str], scale: Sequence[str]) -> str:
    """Neighbours on a scale as a range: `XS–M`, `low/high`."""
    runs: list[list[str]] = []
    for value in scale:
        if value not in chosen:
            continue
        if runs and scale.index(runs[-1][-1]) + 1 == scale.index(value):
            runs[-1].append(value)
        else:
            runs.append([value])
    return "/".join(run[0] if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)
