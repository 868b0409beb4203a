"""kill -9 at any moment while archives land: the index ends up with what is on disk, once, and whole."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.support.storm import rage
from tests.support.warm import Nursery

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.mark.parametrize("quarter", range(4))
def test_killed_fifty_times_while_250_archives_land_it_loses_and_doubles_nothing(
    tmp_path: Path, nursery: Nursery, dice: random.Random, quarter: int
) -> None:
    """Four times, which makes 200 kills and 1,000 archives; `./dev soak` does ten times as many."""
    storm = rage(tmp_path / "repo", nursery, dice, kills=50, archives=250, cold_share=0.1)
    print(storm)
    assert storm.kills >= 50
    assert storm.indexed_before_the_end > 20, "the killed ones never got to write: this proves little"
