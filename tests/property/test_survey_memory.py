"""A survey that remembers the one before it says the same as one from nothing, whatever came in between."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from collectord.epochs.assign import RunKey
from collectord.epochs.causes import causes
from collectord.epochs.json_views import is_cutting
from collectord.epochs.rules import Overrides
from collectord.epochs.survey import Memory, survey
from collectord.index.environments import store_cut, store_environment, store_observation
from collectord.index.writer import IndexWriter
from collectord.model import Environment, EnvironmentObservation, Evidence, Label, Reading, Run, Situation
from tests.support.environments import components
from tests.support.examples import examples

AUTOMATIC = {"auto_trigger_on_critical_path": True, "auto_trigger_risk_levels": ["low"]}
ENVIRONMENTS = {
    "A": components("m1", 60),
    "B": components("m2", 60),
    "A+": components("m1", 60, speculation=AUTOMATIC),
}
SHOWN = [
    Evidence(),
    Evidence("claude", "opus", domain="code"),
    *(Evidence("codex", model, domain="code", timeout_seconds=60) for model in ("m1", "m2", "m9")),
]
PLANS = [("serial_handoff", 60), ("speculate_vote", 1800)]
AT = st.integers(0, 60)
# Few names, digests and issues: most of what comes in changes something that is there already.
ARRIVAL = st.tuples(st.just("run"), st.integers(0, 7), AT, st.sampled_from(SHOWN), st.sampled_from(PLANS))
BECOMES_NONE = st.tuples(st.just("no run"), st.integers(0, 7))
LOOK = st.tuples(st.just("look"), st.sampled_from(sorted(ENVIRONMENTS)), AT)
CUT = st.tuples(st.just("cut"), AT)
STEPS = st.lists(
    st.lists(st.one_of(ARRIVAL, ARRIVAL, BECOMES_NONE, LOOK, LOOK, CUT), max_size=5),
    min_size=2,
    max_size=6,
)
OVERRIDES = Overrides()


class Index:
    """An index that things come into, by way of its writer."""

    def __init__(self, path: Path) -> None:
        self.writer = IndexWriter(path)
        self.changed: set[RunKey] = set()

    def take(self, step: tuple[Any, ...]) -> None:
        """One thing that happens."""
        match step:
            case ("run", name, at, evidence, plan):
                self._read(f"wc-{name:02d}", f"{at} {evidence} {plan}", _run(at, evidence, *plan))
            case ("no run", name):
                self._read(f"wc-{name:02d}", "nothing", None)
            case ("look", name, at):
                with self.writer.transaction() as connection:
                    store_environment(connection, Environment(name, "policy", 1, {}, ENVIRONMENTS[name]), at)
                    store_observation(connection, EnvironmentObservation(name, "daemon", at, at))
            case ("cut", at):
                with self.writer.transaction() as connection:
                    store_cut(connection, at, "why")

    def _read(self, name: str, digest: str, run: Run | None) -> None:
        reading = Reading("archive", name, "s", digest, None, 0, (), run, True)
        self.writer.apply([reading], now_ms=1, first_ingest_ms=1)
        self.changed.add(("archive", name))

    def found(self, memory: Memory | None) -> tuple[Any, Any]:
        """The survey and what follows from it."""
        with self.writer.transaction() as connection:
            found = survey(connection, is_cutting(OVERRIDES), memory, self.changed)
            list(found.by_epoch)
        return found, list(causes(found, lambda change: {}))


def _run(at: int, evidence: Evidence, swarm: str, seconds: int) -> Run:
    return Run(
        run_id=f"run-{at}",
        issue_id=None,
        job_type="code",
        domain="code",
        status="success",
        toolchain=None,
        model=None,
        prompt_genome_id=None,
        started_ms=at,
        started_source="proof",
        finished_ms=None,
        duration_ms=0,
        cost_usd=None,
        tokens_used=None,
        has_proof=True,
        has_rollout=False,
        ends_in_event_log=False,
        input_state="recorded",
        hash_state="equal",
        encodable=True,
        summary={},
        builder_summary=None,
        label=Label(True, swarm, 1, seconds, None, None),
        evidence=evidence,
        situation=Situation("code", "low", "S", None, ()),
    )


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("empty") / "index.sqlite3"
    IndexWriter(path).close()
    return path


@contextmanager
def _copy(empty: Path) -> Iterator[Index]:
    with TemporaryDirectory() as folder:
        index = Index(Path(shutil.copy(empty, Path(folder) / "index.sqlite3")))
        yield index
        index.writer.close()


# The same runs turn out to be of an environment that makes another cause of their contradiction likely.
SAME_RUNS = [("run", 0, 9, Evidence(), PLANS[0]), ("run", 1, 9, Evidence(), PLANS[1]), ("look", "A", 1)]


@example(rounds=[SAME_RUNS, [("look", "A+", 1)]])
@settings(max_examples=examples(60), deadline=None)
@given(STEPS)
def test_a_survey_with_a_memory_is_the_survey_from_nothing(
    empty: Path, rounds: list[list[tuple[Any, ...]]]
) -> None:
    memory = Memory()
    with _copy(empty) as index:
        for steps in rounds:
            for step in steps:
                index.take(step)
            assert index.found(memory) == index.found(None)
            index.changed.clear()
