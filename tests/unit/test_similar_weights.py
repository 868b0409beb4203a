"""What a shared tag weighs against being recent: the numbers that the kernel's builder ranks by."""

from __future__ import annotations

from collectord.kernel.similar import Candidate, Pool

DAY_MS = 86_400_000
NOW_MS = 100 * DAY_MS
ROW = frozenset("abcdefg")


def _best(*runs: tuple[str, int]) -> int:
    """The one most similar run to ROW; each run is its tags and its age in days."""
    pool = Pool(1)
    for sequence, (tags, days) in enumerate(runs):
        pool.add(frozenset(tags), Candidate(-(NOW_MS - days * DAY_MS), f"r{sequence}", sequence))
    return pool.nearest(ROW, NOW_MS)[0]


def test_a_seventh_more_in_common_outweighs_any_age() -> None:
    # 0.6 / 7 > 0.1 - 0.1 / 4: a weight of 0.525 or less would give the recent run.
    assert _best(("abcd", 60), ("abc", 0)) == 0


def test_a_ninth_more_in_common_does_not() -> None:
    # 0.6 / 9 = 0.0667 < 0.075: a weight of 0.675 or more would give the old run.
    assert _best(("abcdefghijklmn", 60), ("abcdefghijklmnopqr", 0)) == 1
