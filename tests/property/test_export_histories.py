"""A dataset that takes what did not change from the export before is one made from nothing, byte for byte."""

from __future__ import annotations

import pytest

from tests.support.export_histories import run


def test_an_export_after_each_step_of_a_history_is_one_from_nothing() -> None:
    reused, copied = run(range(4))
    assert reused
    assert copied


@pytest.mark.slow
def test_an_export_after_each_step_of_many_histories_is_one_from_nothing() -> None:
    reused, copied = run(range(4, 40))
    assert reused > 500
    assert copied > 100
