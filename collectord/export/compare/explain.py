"""Why a label is another one: what the two directories themselves say. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from collectord.cyntra.jsonio import JsonObject
from collectord.cyntra.values import as_object, is_int, texts
from collectord.export.compare.side import Side, components_of, environments_differ
from collectord.export.distributions import BUDGETS, SWARM
from collectord.export.documents import differences, short

# The parts of a label as changes of the environment name them.
_PARTS = {SWARM: "swarm", **{name: name.split("_")[1] for name in BUDGETS}}


@dataclass(frozen=True, slots=True)
class EnvironmentChange:
    """A difference between two environments; `moves` are the label parts it can move, None if not known."""

    component: str
    pointer: str
    words: str
    moves: tuple[str, ...] | None

    def as_json(self) -> JsonObject:
        """The change as a document."""
        moves = None if self.moves is None else list(self.moves)
        return {
            "component": self.component,
            "pointer": self.pointer,
            "words": self.words,
            "moves": moves,
        }


def environment_changes(a: Side, b: Side) -> list[EnvironmentChange]:
    """What changed from one environment to the other; none where one of them is not known.

    An epoch that follows directly says so itself, with what each change moves; else the components tell.
    """
    if not environments_differ(a, b):
        return []
    before, after = (as_object(side.document.get("epoch")).get("number") for side in (a, b))
    if is_int(before) and after == before + 1 and b.drift:
        return [_told(change) for change in b.drift]
    found = differences(components_of(a), components_of(b))
    return [
        EnvironmentChange(
            component=d.path.split("/")[1],
            pointer=d.path,
            words=f"{short(d.before)} became {short(d.after)}",
            moves=None,
        )
        for d in found
        if d.path
    ]


def _told(change: JsonObject) -> EnvironmentChange:
    moves = tuple(texts(change.get("moves"))) if isinstance(change.get("moves"), list) else None
    component, pointer, words = (str(change.get(name) or "") for name in ("component", "pointer", "words"))
    return EnvironmentChange(component, pointer, words, moves)


def why_flipped(
    parts: Sequence[str],
    changes: Sequence[EnvironmentChange],
    revisions: tuple[str | None, str | None],
    sides: tuple[Side, Side],
) -> list[str]:
    """Reasons why the parts of a label differ, the most telling first; never empty."""
    moved = {_PARTS[part] for part in parts}
    able = [c for c in changes if c.moves is None or moved & set(c.moves)]
    found = [f"environment: {c.component} {c.pointer}: {c.words}" for c in able]
    if None not in revisions and revisions[0] != revisions[1]:
        found.append("its archive was changed after the first dataset was made")
    found += other_ways(*sides)
    return found or ["nothing in the two directories explains it"]


def other_ways(a: Side, b: Side) -> list[str]:
    """In what other way a dataset was made, where both say how."""
    asked = [as_object(side.document.get("options")) for side in (a, b)]
    found = [f"option {name}: {old} became {new}" for name, old, new in _unequal(*asked)]
    made = [as_object(side.document.get("software")).get("collectord") for side in (a, b)]
    if None not in made and made[0] != made[1]:
        found.append(f"collectord: {short(made[0])} became {short(made[1])}")
    return found


def _unequal(a: Mapping[str, object], b: Mapping[str, object]) -> list[tuple[str, str, str]]:
    # An epoch is named in the environments, and an option that one of them does not know is none.
    shared = sorted((a.keys() & b.keys()) - {"epoch", "environment"})
    return [(name, short(a[name]), short(b[name])) for name in shared if a[name] != b[name]]
