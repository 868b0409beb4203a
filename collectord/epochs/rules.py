"""What is known about each kind of change: rule id, label parts it can move, severity. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

from collectord.epochs.changes import MOVE, RULES, Edit
from collectord.epochs.effects import CANDIDATES, MINUTES, OUTCOME, SWARM
from collectord.kernel.policy import Surface
from collectord.kernel.policy.components import pointer
from collectord.kernel.policy.routing import RULE_KEYS

if TYPE_CHECKING:
    from collectord.config.schema import Environment


class Rule(NamedTuple):
    """`words` may name {0}, {1}, … for the parts of the path."""

    rule_id: str
    moves: tuple[str, ...]
    words: str


_NO_LABEL = "no label moves by itself"
_OTHER_AGENT = "runs of {1} start their agent differently"
_TOOLCHAIN = {
    "model": "runs of {1} use another model",
    "path": _OTHER_AGENT,
    "env": _OTHER_AGENT,
    "config": _OTHER_AGENT,
    "timeout_seconds": "runs of {1} have another time limit",
    "enabled": "{1} is switched on or off",
}
_UNIVERSE = {
    "universe_id": ((), "planner inputs name another universe"),
    "defaults": ((SWARM,), "planner inputs carry other defaults"),
    "swarm_ids": ((SWARM,), "the action space holds other swarms; runs of one outside it make no row"),
    "populations": ((CANDIDATES,), "worlds run with another number of candidates"),
}
_SPECULATION = {"vote_threshold": ((OUTCOME,), "votes are decided by another threshold")}


def rule_of(edit: Edit, before: Surface, after: Surface) -> Rule:
    """The rule of an edit between two environments."""
    component, key = str(edit.path[0]), str(edit.path[1])
    match component:
        case "universe":
            moves, words = _UNIVERSE[key]
            return Rule(f"universe.{key}", moves, words)
        case "prompts":
            return _genome(edit.before, edit.after)
        case "routing":
            return Rule(_routing_id(edit), (), _NO_LABEL)
        case "speculation":
            moves, words = _SPECULATION.get(key, ((), _NO_LABEL))
            return Rule(f"speculation.{key}", moves, words)
        case "control":
            return _control(key, before, after)
        case "toolchains":
            return _toolchain(edit)
        case "gates":
            return Rule(f"gates.{key}", (OUTCOME,), "gates judge runs differently")
        case "planner":
            return _planner(key, before, after)
        case _:  # scheduling
            return Rule(f"{component}.{key}", (), "more or fewer runs at a time; no label moves")


def _genome(before: Any, after: Any) -> Rule:
    if before and after and before["genome_id"] == after["genome_id"]:
        return Rule("prompts.content", (OUTCOME,), "{1} runs under a genome whose text changed")
    old, new = (value["genome_id"] if value else "no genome" for value in (before, after))
    # Braces of a genome's name must not be taken for places to fill in.
    names = f"{old} → {new}".replace("{", "{{").replace("}", "}}")
    return Rule("prompts.genome", (OUTCOME,), f"{{1}} runs under another genome: {names}")


def _routing_id(edit: Edit) -> str:
    if edit.op == MOVE:
        return "routing.order"
    if edit.path[1] != "rules":
        return f"routing.{edit.path[1]}"
    return f"routing.{edit.path[3]}" if len(edit.path) > 3 else "routing.rule"


def _control(key: str, before: Surface, after: Surface) -> Rule:
    modes = [surface.components["control"]["modes"] for surface in (before, after)]
    active = any(mode != "disabled" for by_domain in modes for mode in by_domain.values())
    if key == "modes":
        return Rule("control.mode", (OUTCOME,), "{2} issues are sampled at another temperature")
    if key.startswith("temperature") and active:
        return Rule(f"control.{key}", (OUTCOME,), "runs are sampled at another temperature")
    return Rule(f"control.{key}", (), "the control modes stay as they are; " + _NO_LABEL)


def _toolchain(edit: Edit) -> Rule:
    if len(edit.path) == 2:
        return Rule("toolchains.toolchain", (OUTCOME,), "{1} comes or goes")
    key = str(edit.path[2])
    return Rule(f"toolchains.{key}", (OUTCOME,), _TOOLCHAIN[key])


def _planner(key: str, before: Surface, after: Surface) -> Rule:
    modes = {surface.components["planner"]["mode"] for surface in (before, after)}
    if "enforce" in modes:
        return Rule(f"planner.{key}", (SWARM, CANDIDATES, MINUTES), "the planner's own actions are executed")
    return Rule(f"planner.{key}", (), "the planner does not act; " + _NO_LABEL)


UNRECOGNISED = "unrecognised"
_FIXED_IDS = (
    UNRECOGNISED,
    *("prompts.content", "prompts.genome", "control.mode", "toolchains.toolchain"),
    *("routing.order", "routing.rule", *(f"routing.{key}" for key in RULE_KEYS)),
    *(f"toolchains.{key}" for key in _TOOLCHAIN),
)
# Members with rules of their own, and components whose members are names that people gave.
_NOT_BY_KEY = {"routing": ("rules",), "control": ("modes",)}
_BY_NAME = ("prompts", "toolchains")


def rule_ids(surface: Surface) -> frozenset[str]:
    """The id of every rule that a change of this environment can come under."""
    by_key = (
        f"{name}.{key}"
        for name, value in surface.components.items()
        if name not in _BY_NAME
        for key in value
        if key not in _NOT_BY_KEY.get(name, ())
    )
    return frozenset([*_FIXED_IDS, *by_key])


EPOCH, WARN, INFO = "epoch", "warn", "info"
SEVERITIES = (EPOCH, WARN, INFO)


@dataclass(frozen=True, slots=True)
class Ignored:
    """A path whose changes do not matter until a day is over; `until_ms` is the first moment after it."""

    path: str
    reason: str
    until_ms: int


@dataclass(frozen=True)
class Overrides:
    """What the configuration says: severities by rule id or path, and ignored paths.

    A path is a JSON pointer into the components, which stands for all below it too; `*` in it stands for
    any one part. The longest path counts before shorter ones, every path before a rule id.
    """

    severity: Mapping[str, str] = field(default_factory=dict)
    ignored: tuple[Ignored, ...] = ()

    def severity_of(self, rule_id: str, pointer: str, default: str) -> str:
        """The severity of a change by one rule at one place."""
        paths = [path for path in self.severity if path.startswith("/") and _covers(path, pointer)]
        if paths:
            return self.severity[max(paths, key=lambda path: (path.count("/"), path))]
        return self.severity.get(rule_id, default)

    def ignored_at(self, pointer: str, at_ms: int) -> Ignored | None:
        """The ignored path that covers the place of a change made at `at_ms`, if any."""
        return next(
            (entry for entry in self.ignored if at_ms < entry.until_ms and _covers(entry.path, pointer)), None
        )


def without_effect(overrides: Overrides, surface: Surface) -> tuple[str, ...]:
    """The rules and paths of the configuration that match nothing of an environment, in their order."""
    ids, places = rule_ids(surface), [*_places(surface.components), *surface.unrecognised]
    return tuple(
        entry
        for entry in (*overrides.severity, *(ignored.path for ignored in overrides.ignored))
        if not (any(_covers(entry, place) for place in places) if entry.startswith("/") else entry in ids)
    )


def _places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[str]:
    """The JSON pointer of every value of the components that can change by itself; lists change as one."""
    yield pointer(*path)
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _places(inner, (*path, key))
    elif path == RULES and isinstance(value, list):
        for position, rule in enumerate(value):
            yield from _places(rule, (*path, position))


def overrides_from(section: Environment) -> Overrides:
    """What the `environment` section of the configuration says; a day ends in UTC."""
    ignored = (Ignored(entry.path, entry.reason, _end_ms(entry.until)) for entry in section.ignore)
    return Overrides(section.severity, tuple(ignored))


def _end_ms(day: date) -> int:
    end = datetime.combine(day + timedelta(days=1), time(), UTC)
    return int(end.timestamp() * 1000)


def _covers(path: str, pointer: str) -> bool:
    wanted, parts = path.split("/"), pointer.split("/")
    return len(wanted) <= len(parts) and all(
        fnmatchcase(part, want) for want, part in zip(wanted, parts, strict=False)
    )
