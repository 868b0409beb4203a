"""The outline that is kept says what a survey from nothing says, whatever came in since it was kept."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from collectord.config import Settings
from collectord.epochs.fingerprint import fingerprint
from collectord.epochs.json_views import epoch_documents, shown_at, stretch_documents
from collectord.epochs.outline import KeptOutline, outline_for, outline_of, survey_of
from collectord.epochs.reasons import run_document
from collectord.epochs.rules import Overrides
from collectord.epochs.selection import select
from collectord.epochs.survey import Survey
from collectord.index.engine import IndexConnection
from collectord.index.opening import reader_for
from collectord.kernel.policy import Surface, normalise
from collectord.model import Evidence
from collectord.status.explain import epoch_of
from tests.support.coming_in import Index
from tests.support.examples import examples
from tests.support.snapshots import settings_of


def _components(model: str, width: int, genome: str) -> dict[str, Any]:
    """What stands by itself, what only an action tells, and what is read anew at each dispatch."""
    rule = {
        "match": {"dk_risk": "critical"},
        "speculate": True,
        "parallelism": width,
        "use": ["codex", "claude"],
    }
    toolchains = {"codex": {"model": model}, "claude": {"model": "opus"}}
    config = {"toolchains": toolchains, "routing": {"rules": [rule, {"match": {}, "use": ["codex"]}]}}
    prompts = {"code/codex": {"genome_id": genome, "content": ""}}
    return {**normalise(config).components, "prompts": prompts}


MADE = [_components(*one) for one in (("m1", 2, "g1"), ("m1", 3, "g2"), ("m2", 2, "g2"), ("m2", 2, "g1"))]
ENVIRONMENTS = {fingerprint(Surface(made)): made for made in MADE}
SHOWN = [
    Evidence(),
    *(Evidence("codex", model, genome, "code") for model in ("m1", "m2", "m9") for genome in ("g1", "g2")),
    Evidence("codex", "m1", domain="code", swarm_ids=("a", "b"), universe_defaults=("a", None)),
]
PLANS = [("serial_handoff", 60), ("speculate_vote", 60), ("speculate_vote", 1800)]
AT = st.integers(0, 60)
STEP = st.one_of(
    *[st.tuples(st.just("run"), st.integers(0, 9), AT, st.sampled_from(SHOWN), st.sampled_from(PLANS))] * 3,
    st.tuples(st.just("no run"), st.integers(0, 9)),
    *[st.tuples(st.just("look"), st.sampled_from(sorted(ENVIRONMENTS)), AT)] * 2,
    st.tuples(st.just("cut"), AT),
    st.tuples(st.just("issue"), st.integers(0, 2), st.booleans()),
    *[st.tuples(st.just("kernels"), st.frozensets(AT, max_size=2), AT)] * 2,
)
ROUNDS = st.lists(st.lists(STEP, min_size=1, max_size=8), min_size=2, max_size=5)


@contextmanager
def _index(empty: Path) -> Iterator[tuple[Settings, Index]]:
    with TemporaryDirectory() as folder:
        (Path(folder) / ".cyntra/archives").mkdir(parents=True)
        settings = settings_of(Path(folder))
        settings.state_dir.mkdir(parents=True)
        index = Index(Path(shutil.copy(empty, settings.index_path)), ENVIRONMENTS)
        yield settings, index
        index.writer.close()


def _told(found: Any) -> Any:
    """All that commands tell of it."""
    documents = epoch_documents(found, {}, {}, now_ms=100, limit_ms=lambda _epoch: 1)
    names = [*found.environments, *found.shown]
    return {
        "epochs": documents,
        "shown": [shown_at(found, at_ms) for at_ms in (None, 0, 30)],
        "stretches": stretch_documents(found),
        "of epochs": [select(found, epoch.key, None, Overrides()) for epoch in found.epochs],
        "of environments": [select(found, "", name, Overrides()) for name in names],
        "current": select(found, "current", None, Overrides()),
    }


def _explained(surveyed: Survey) -> list[dict[str, Any] | None]:
    """What the survey itself knows of each run."""
    outline, explaining = outline_of(surveyed), surveyed.memory.last_explaining
    return [run_document(outline, mine.run, explaining) for mine in surveyed.assigned.runs]


def _holds(settings: Settings, connection: IndexConnection, surveyed: Survey) -> None:
    kept, key = KeptOutline(settings), KeptOutline(settings).key(connection)
    loaded = kept.load(key, connection)
    assert loaded is not None
    assert asdict(loaded) == asdict(outline_of(surveyed))
    assert _told(loaded) == _told(outline_of(surveyed))
    with reader_for(settings) as reader:
        keys = [(mine.run.kind, mine.run.name) for mine in surveyed.assigned.runs]
        found = [epoch_of(settings, reader, key) for key in keys]
    assert found == _explained(surveyed)
    for mine, document in zip(surveyed.assigned.runs, found, strict=True):
        assert document is not None
        assert document["number"] == surveyed.folded.number_of[mine.run.kind, mine.run.name]
        shown = document["reasons"]["kernel"]
        assert (shown and shown["started_ms"]) == (mine.session and mine.session.started_ms)


LOOKS = [("look", name, at) for at, name in zip((0, 20), ENVIRONMENTS, strict=False)]
# An environment of now with the genome that a kernel read before, which stood in no file.
PUT_TOGETHER = [[*LOOKS, ("kernels", frozenset([5]), 6), ("run", 0, 30, Evidence(), PLANS[0])], [("cut", 40)]]
# Two at once for a small issue that is not known to ask for it, and then is.
ASKED = [[LOOKS[0], ("run", 0, 30, Evidence(), PLANS[1]), ("issue", 0, False)], [("issue", 0, True)]]


@settings(max_examples=examples(100), deadline=None)
@example(PUT_TOGETHER)
@example(ASKED)
@given(ROUNDS)
def test_what_was_kept_is_what_a_survey_from_nothing_finds(
    empty: Path, rounds: list[list[tuple[Any, ...]]]
) -> None:
    with _index(empty) as (settings, index):
        for steps in rounds:
            for step in steps:
                index.take(step)
            with reader_for(settings) as reader:
                surveyed = survey_of(settings, reader.connection)
                first = outline_for(settings, reader.connection)
                assert asdict(first) == asdict(outline_of(surveyed))
                _holds(settings, reader.connection, surveyed)
