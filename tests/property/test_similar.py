"""The pool finds exactly what a look at every pair finds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectord.kernel.similar import Candidate, Pool, Tags, recency
from tests.support.examples import examples

DAY = 86_400_000
# Few values, so that ties in score, time and id are common; ages on both sides of each bucket's edge.
TIMES = st.sampled_from(
    [0, 1, DAY - 1, DAY, DAY + 1, 6 * DAY, 7 * DAY, 8 * DAY, 29 * DAY, 30 * DAY, 31 * DAY]
)
TAGS = st.frozensets(st.sampled_from("abcde"), max_size=4) | st.frozensets(st.sampled_from("abcdefghijkl"))
RUN = st.tuples(TIMES, st.sampled_from(["r1", "r2", "r3"]), TAGS)


def _naive(
    runs: list[tuple[int, str, Tags]], tags: Tags, started_ms: int, n: int, leave_out: int | None
) -> list[int]:
    """CONTRACT.md 6.5, sentence by sentence."""

    def score(run: tuple[int, str, Tags]) -> float:
        union = tags | run[2]
        jaccard = len(tags & run[2]) / len(union) if union else 0.0
        age = started_ms - run[0]
        bucket = 0 if age < DAY else 1 if age < 7 * DAY else 2 if age < 30 * DAY else 3
        return 0.6 * jaccard + 0.1 / (1 + bucket)

    places = [i for i in range(len(runs)) if i != leave_out]
    best = sorted(places, key=lambda i: (-score(runs[i]), -runs[i][0], runs[i][1], i))[:n]
    return sorted(best, key=lambda i: (-runs[i][0], runs[i][1]))


@given(
    runs=st.lists(RUN, max_size=40),
    tags=TAGS,
    started_ms=TIMES,
    n=st.integers(0, 20),
    leave_out=st.none() | st.integers(0, 39),
)
@settings(max_examples=examples(600), deadline=None)
def test_the_pool_agrees_with_a_look_at_every_pair(
    runs: list[tuple[int, str, Tags]], tags: Tags, started_ms: int, n: int, leave_out: int | None
) -> None:
    pool = Pool(n)
    for place, (time, run_id, run_tags) in enumerate(runs):
        pool.add(run_tags, Candidate(-time, run_id, place))
    assert pool.nearest(tags, started_ms, leave_out) == _naive(runs, tags, started_ms, n, leave_out)


FEW = st.sampled_from([frozenset(), frozenset("a"), frozenset("ab"), frozenset("abcdefgh")])


@given(
    runs=st.lists(st.tuples(TIMES, st.sampled_from(["r1", "r2"]), FEW), min_size=8, max_size=40),
    n=st.integers(1, 3),
    data=st.data(),
)
@settings(max_examples=examples(300), deadline=None)
def test_a_row_that_is_in_the_pool_itself_still_gets_all_it_should(
    runs: list[tuple[int, str, Tags]], n: int, data: st.DataObject
) -> None:
    pool = Pool(n)
    for place, (time, run_id, run_tags) in enumerate(runs):
        pool.add(run_tags, Candidate(-time, run_id, place))
        own = data.draw(st.integers(0, place))
        started_ms, _, tags = runs[own]
        seen = runs[: place + 1]
        assert pool.nearest(tags, started_ms, own) == _naive(seen, tags, started_ms, n, own)


@pytest.mark.parametrize(
    ("age_ms", "score"),
    [
        (-DAY, 0.1),
        (DAY - 1, 0.1),
        (DAY, 0.1 / 2),
        (7 * DAY - 1, 0.1 / 2),
        (7 * DAY, 0.1 / 3),
        (30 * DAY - 1, 0.1 / 3),
        (30 * DAY, 0.1 / 4),
        (9_999 * DAY, 0.1 / 4),
    ],
)
def test_being_recent_counts_in_four_steps_each_edge_belonging_to_the_older(
    age_ms: int, score: float
) -> None:
    assert recency(age_ms) == score
