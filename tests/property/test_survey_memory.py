"""A survey that remembers the one before it says the same as one from nothing, whatever came in between."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from collectord.epochs.causes import causes
from collectord.epochs.drift import is_cutting
from collectord.epochs.rules import Overrides
from collectord.epochs.survey import Memory, survey
from collectord.kernel.evidence import issue_text_json
from collectord.kernel.policy import normalise
from collectord.kernel.policy.feasible import IssueText
from collectord.model import Evidence
from tests.support.coming_in import Index
from tests.support.environments import components
from tests.support.examples import examples

TITLES: dict[str, Any] = {
    "toolchain_priority": ["codex", "claude"],
    "toolchains": {"codex": {"model": "m1"}, "claude": {"model": "opus"}},
    "routing": {
        "rules": [
            {
                "match": {"title_pattern": "fast"},
                "speculate": True,
                "parallelism": 2,
                "use": ["codex", "claude"],
            },
            {"match": {}, "use": ["codex"]},
        ]
    },
}
ISSUE_TEXTS = [None, *(issue_text_json(IssueText(title, "")) for title in ("fast", "slow"))]
AUTOMATIC = {"auto_trigger_on_critical_path": True, "auto_trigger_risk_levels": ["low"]}
ENVIRONMENTS = {
    "A": components("m1", 60),
    "B": components("m2", 60),
    "A+": components("m1", 60, speculation=AUTOMATIC),
    # The only one whose rules look at texts of issues.
    "T": dict(normalise(TITLES).components),
}
SHOWN = [
    Evidence(),
    Evidence("claude", "opus", domain="code"),
    *(Evidence("codex", model, domain="code", timeout_seconds=60) for model in ("m1", "m2", "m9")),
]
PLANS = [("serial_handoff", 60), ("speculate_vote", 1800)]
AT = st.integers(0, 60)
# Few names, digests and issues: most of what comes in changes something that is there already.
ARRIVAL = st.tuples(
    st.just("run"),
    st.integers(0, 7),
    AT,
    st.sampled_from(SHOWN),
    st.sampled_from(PLANS),
    st.sampled_from(ISSUE_TEXTS),
)
BECOMES_NONE = st.tuples(st.just("no run"), st.integers(0, 7))
LOOK = st.tuples(st.just("look"), st.sampled_from(sorted(ENVIRONMENTS)), AT)
CUT = st.tuples(st.just("cut"), AT)
ISSUE = st.tuples(st.just("issue"), st.integers(0, 2), st.booleans())
STEPS = st.lists(
    st.lists(st.one_of(ARRIVAL, ARRIVAL, BECOMES_NONE, LOOK, LOOK, CUT, ISSUE), max_size=5),
    min_size=2,
    max_size=6,
)
OVERRIDES = Overrides()


@contextmanager
def _copy(empty: Path) -> Iterator[Index]:
    with TemporaryDirectory() as folder:
        index = Index(Path(shutil.copy(empty, Path(folder) / "index.sqlite3")), ENVIRONMENTS)
        yield index
        index.writer.close()


def _found(index: Index, memory: Memory | None) -> tuple[Any, Any]:
    """The survey and what follows from it."""
    with index.writer.transaction() as connection:
        found = survey(connection, is_cutting(OVERRIDES), memory, index.changed)
        list(found.by_epoch)
    return found, list(causes(found, lambda change: {}))


# The same runs turn out to be of an environment that makes another cause of their contradiction likely.
SAME_RUNS = [*(("run", n, 9, Evidence(), plan, None) for n, plan in enumerate(PLANS)), ("look", "A", 1)]
# What came in before an environment that asks for its text.
BY_TITLE = [("run", n, 9, Evidence(), PLANS[0], text) for n, text in enumerate(ISSUE_TEXTS)]

# An issue asked to speculate once, and does not any more.
ASKED = [[("issue", 0, True)], [("run", 0, 9, Evidence(), PLANS[0]), ("issue", 0, False)]]


@example(rounds=[SAME_RUNS, [("look", "A+", 1)]])
@example(rounds=ASKED)
@example(rounds=[[*BY_TITLE, ("look", "A", 1)], [("look", "T", 5)]])
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
            assert _found(index, memory) == _found(index, None)
            index.changed.clear()


def test_texts_of_issues_are_remembered_once_an_environment_looks_at_them(empty: Path) -> None:
    memory = Memory()
    with _copy(empty) as index:
        for step, texts in ((("look", "A", 1), [None] * len(ISSUE_TEXTS)), (("look", "T", 5), ISSUE_TEXTS)):
            for each in (*BY_TITLE, step):
                index.take(each)
            _found(index, memory)
            index.changed.clear()
            assert [memory.runs["archive", f"wc-{n:02d}"].issue_text for n in range(len(texts))] == texts
