"""What is known about each kind of change: its rule id, the label parts it can move, what to expect. Pure.

Changes that a policy's actions show are played through the grid besides; what stands here is what playing
cannot show.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from collectord.cyntra.policy import Surface
from collectord.environment.changes import MOVE, Edit
from collectord.environment.effects import CANDIDATES, MINUTES, OUTCOME, SWARM


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
    return Rule(f"control.{key}", (), "the control mode stays as it is; " + _NO_LABEL)


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
