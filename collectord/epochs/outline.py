"""What a survey found, without the texts of the runs: it is kept beside the index for whoever only asks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from collectord.epochs.assign import KnownBy, RunKey
from collectord.epochs.timeline import Stretch, timelines
from collectord.epochs.unexplained import Facts
from collectord.index.engine import IndexConnection
from collectord.index.environments import environments, observations
from collectord.index.epoch_inputs import epoch_inputs_digest
from collectord.model import Environment, Epoch
from collectord.system.cache_files import UNUSABLE, load_cached, save_cached
from collectord.system.own_code import code_stamp

if TYPE_CHECKING:
    from collectord.config import Settings
    from collectord.epochs.survey import Survey


class Placement(NamedTuple):
    """Where runs of one kind belong: the number of their epoch, and what an `Assignment` says of them."""

    kind: str
    epoch: int
    fingerprint: str
    position: int
    known_by: KnownBy


@dataclass(frozen=True)
class Outline:
    """The environments, the timeline of the repo, the epochs, and where each run belongs.

    `environments` were read from files, or put together of such for a run; `shown` are those that only runs
    show; both by fingerprint. `names` are of the runs in dispatch order, and `placed` says for each which of
    the `placements` is its own. `unrun_since_ms` is that of the survey.
    """

    environments: Mapping[str, Environment]
    shown: Mapping[str, Environment]
    stretches: Sequence[Stretch]
    epochs: Sequence[Epoch]
    current: Epoch | None
    placements: Sequence[Placement]
    names: Sequence[str]
    placed: Sequence[int]
    unrun_since_ms: int | None

    def environment(self, fingerprint: str) -> Environment:
        """An environment that was read from files, or what runs show of one; raises KeyError for no other."""
        known = self.environments.get(fingerprint)
        return self.shown[fingerprint] if known is None else known

    def epoch(self, number: int) -> Epoch | None:
        """The epoch of that number."""
        return self.epochs[number - 1] if 0 < number <= len(self.epochs) else None

    def runs(self) -> Iterator[tuple[RunKey, Placement]]:
        """Every run in dispatch order."""
        for name, place in zip(self.names, self.placed, strict=True):
            placement = self.placements[place]
            yield (placement.kind, name), placement

    def placement_of(self, run: RunKey) -> Placement | None:
        """Where one run belongs; None where there is no run of it."""
        return next((placement for key, placement in self.runs() if key == run), None)


def outline_of(found: Survey) -> Outline:
    """The outline of a survey."""
    numbers, placed = found.folded.number_of, []
    places: dict[tuple[str, int, str, int, KnownBy], int] = {}
    for mine in found.assigned.runs:
        kind, name = mine.run.kind, mine.run.name
        key = kind, numbers[kind, name], mine.fingerprint, mine.position, mine.known_by
        placed.append(places.setdefault(key, len(places)))
    return Outline(
        environments=found.environments,
        shown={name: _shown(name, facts) for name, facts in sorted(found.assigned.gathered.items())},
        stretches=found.stretches,
        epochs=found.folded.epochs,
        current=found.folded.current,
        placements=[Placement(*key) for key in places],
        names=[mine.run.name for mine in found.assigned.runs],
        placed=placed,
        unrun_since_ms=found.unrun_since_ms,
    )


def _shown(fingerprint: str, facts: Facts) -> Environment:
    values = {" ".join(fact): _as_json_has_it(value) for fact, value in sorted(facts.values.items())}
    return Environment(fingerprint, "evidence", 0, {}, {"shown": values})


def _as_json_has_it(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def outline_for(settings: Settings, connection: IndexConnection) -> Outline:
    """What a survey of the index would find now: as it was kept, else found anew and kept."""
    kept = KeptOutline(settings)
    key = kept.key(connection)
    known = kept.load(key, connection)
    return kept.save(key, survey_of(settings, connection)) if known is None else known


def survey_of(settings: Settings, connection: IndexConnection) -> Survey:
    """Everything that the index knows of the environment, from all of its runs."""
    from collectord.epochs.drift import is_cutting
    from collectord.epochs.rules import overrides_from
    from collectord.epochs.survey import survey

    return survey(connection, is_cutting(overrides_from(settings.config.environment)))


class KeptOutline:
    """The outline of the last survey under a configuration, in a file beside the index.

    It only saves time: where the file is missing, damaged, or of anything else, a survey says the same.
    """

    def __init__(self, settings: Settings) -> None:
        self._path = settings.state_dir / "cache/epochs.json"
        self._beside = repr(settings.config.environment), code_stamp()

    def key(self, connection: IndexConnection) -> str:
        """A digest of all that epochs and alerts follow from, time and what is in flight aside."""
        return epoch_inputs_digest(connection, *self._beside)

    def load(self, key: str, connection: IndexConnection) -> Outline | None:
        """What was found under that key, which is that of the index."""
        try:
            return _from_json(load_cached(self._path, key), connection)
        except UNUSABLE:
            return None

    def save(self, key: str, found: Survey) -> Outline:
        """Keep what was found under a key, once that is committed; a failure is ignored."""
        outline = outline_of(found)
        save_cached(self._path, key, _as_json(outline, set(found.standing.given)))
        return outline


def _as_json(outline: Outline, in_index: Collection[str]) -> dict[str, Any]:
    """All that is not read from the index in a moment."""
    joined = [asdict(one) for name, one in outline.environments.items() if name not in in_index]
    return {
        "joined": joined,
        "shown": [asdict(one) for one in outline.shown.values()],
        "epochs": [asdict(one) for one in outline.epochs],
        "current": outline.current.number if outline.current else None,
        "placements": outline.placements,
        "names": outline.names,
        "placed": outline.placed,
        "unrun_since_ms": outline.unrun_since_ms,
    }


def _from_json(values: dict[str, Any], connection: IndexConnection) -> Outline:
    joined, shown = (
        {one["fingerprint"]: Environment(**{**one, "unrecognised": tuple(one["unrecognised"])}) for one in of}
        for of in (values["joined"], values["shown"])
    )
    epochs = tuple(Epoch(**one) for one in values["epochs"])
    return Outline(
        environments={**environments(connection), **joined},
        shown=shown,
        stretches=timelines(observations(connection))[None],
        epochs=epochs,
        current=epochs[values["current"] - 1] if values["current"] else None,
        placements=[
            Placement(kind, epoch, name, position, KnownBy(known_by))
            for kind, epoch, name, position, known_by in values["placements"]
        ],
        names=values["names"],
        placed=values["placed"],
        unrun_since_ms=values["unrun_since_ms"],
    )
