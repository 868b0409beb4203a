"""The drift test: exact by hand where that is possible, its rates by simulation."""

from __future__ import annotations

from itertools import combinations

import pytest

from collectord.audit.shift import STATISTICS, Row, drift, holm, shifts, sides
from tests.support.drift_rates import false_alarms, found_shifts
from tests.support.planted import DOUBLE, SERIAL, TRIPLE, facts, run, runs, said


def test_the_p_value_is_that_of_all_permutations() -> None:
    before, recent = [1, 1, 1, 1, 0, 1], [0, 0, 1, 0]
    rows = [Row(k, False, (bool(v),)) for k, v in enumerate(before)]
    rows += [Row(10 + k, True, (bool(v),)) for k, v in enumerate(recent)]
    values = before + recent
    seen = abs(sum(recent) / 4 - sum(before) / 6)
    drawn = [sum(values[k] for k in some) for some in combinations(range(10), 4)]
    far = [abs(one / 4 - (sum(values) - one) / 6) >= seen - 1e-9 for one in drawn]
    assert shifts(rows)[0].p == pytest.approx(sum(far) / len(far), abs=0.05)


def test_blocks_change_sides_as_a_whole() -> None:
    # Two issues with four equal rows each: as single rows this would look impossible by chance.
    rows = [Row("a", False, (True,))] * 4 + [Row("b", True, (False,))] * 4
    assert shifts(rows)[0].p == 1.0
    counted = sides(rows)
    assert (counted.before, counted.effective_before, counted.effective_recent) == (4, 1.0, 1.0)


def test_blocks_of_another_size_do_not_change_places() -> None:
    rows = [Row("a", False, (True,))] * 3 + [Row(k, False, (True,)) for k in range(5)]
    rows += [Row(10 + k, True, (False,)) for k in range(5)]
    assert shifts(rows)[0].p < 0.05
    assert sides(rows).before == 8


def test_every_statistic_is_drawn_from_the_same_permutations_whichever_side_is_larger() -> None:
    def p(recent: int, before: int) -> tuple[float, float]:
        rows = [Row(k, True, (k % 3 == 0, k % 2 == 0)) for k in range(recent)]
        rows += [Row(1000 + k, False, (k % 3 == 0, k % 2 == 0)) for k in range(before)]
        one, other = shifts(rows)
        assert (one.recent, other.before) == (
            pytest.approx(1 / 3, abs=0.02),
            pytest.approx(1 / 2, abs=0.02),
        )
        return one.p, other.p

    assert min(*p(300, 60), *p(60, 300)) > 0.2


def test_the_same_data_give_the_same_p_values() -> None:
    rows = [Row(k // 2, k % 3 == 0, (k % 5 == 0, k % 7 == 0)) for k in range(200)]
    assert shifts(rows) == shifts(rows)


def test_holm_agrees_with_statsmodels() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest", reason="statsmodels is not installed")
    for p in ([0.01, 0.04, 0.03, 0.005], [0.5, 0.5], [0.001, 0.9, 0.02, 0.02, 0.8]):
        assert list(holm(p)) == pytest.approx(list(multitest.multipletests(p, method="holm")[1]))


def test_a_fall_of_the_success_share_is_said() -> None:
    before = runs({SERIAL: 240, DOUBLE: 120, TRIPLE: 40}, days=49, first=0)
    before = [run(k, one.label, days_ago=8 + k / 10) for k, one in enumerate(before)]
    week = runs({SERIAL: 60, DOUBLE: 30, TRIPLE: 10}, first=1000)
    week = [run(1000 + k, one.label, days_ago=1 + k / 50, status="failed" if k % 3 == 0 else "success")
            for k, one in enumerate(week)]  # fmt: skip
    found = drift(facts([*before, *week]))
    assert found.verdict == "drift"
    assert said(found)[0].startswith(
        "drift: find out what changed for the runs of this week before training on them "
        "(success went from 100 % to 66 % (p = 0.00"
    )
    assert said(found)[0].endswith("0.5 false alarms a year are expected at most)")
    assert [one.what for one in found.tested if one.drifted] == ["success"]


def test_a_shift_of_labels_is_said_as_a_question() -> None:
    before = [run(k, SERIAL if k % 2 else DOUBLE, days_ago=8 + k / 10) for k in range(300)]
    week = [run(1000 + k, SERIAL if k % 5 else DOUBLE, days_ago=1 + k / 50) for k in range(150)]
    text = said(drift(facts([*before, *week])))
    assert text[0].startswith("drift: check whether the change of lane A was meant; if so, cut an epoch")


def test_a_small_shift_is_not_reported_however_certain_it_is() -> None:
    before = [run(k, days_ago=8 + k / 1000) for k in range(600)]
    week = [run(9000 + k, days_ago=1 + k / 1000, status="failed" if k % 20 == 0 else "success")
            for k in range(400)]  # fmt: skip
    found = drift(facts([*before, *week]))
    success = found.tested[0]
    assert (success.what, success.drifted, found.verdict) == (STATISTICS[0], False, "none")
    assert success.p < 0.01


def test_too_few_effective_rows_are_insufficient_whatever_they_show() -> None:
    before = [run(k, days_ago=8 + k / 10) for k in range(300)]
    hero = [run(1000 + k, days_ago=1 + k / 100, issue_id=str(k % 20), status="failed") for k in range(200)]
    found = drift(facts([*before, *hero]))
    assert found.verdict == "insufficient"
    assert found.words == (
        "too few runs to compare: 20 of the window tell something of their own, "
        "and 300 of the epoch before it; 50 of each are wanted"
    )


def test_other_epochs_are_not_compared_with() -> None:
    before = [run(k, days_ago=8 + k / 10, epoch=1, status="failed") for k in range(300)]
    week = [run(1000 + k, days_ago=1 + k / 100, epoch=2) for k in range(100)]
    assert drift(facts([*before, *week])).sides.before == 0


# The rates that the report promises: a part of what `python -m tests.support.drift_rates` measures.


@pytest.mark.slow
@pytest.mark.parametrize("retries", [False, True])
def test_without_drift_there_are_hardly_any_false_alarms(retries: bool) -> None:
    rates = false_alarms(6, rows_a_week=180, retries=retries)
    assert rates.audits >= 30
    assert rates.alarms <= 2


@pytest.mark.slow
def test_a_shift_of_twenty_points_at_two_hundred_rows_is_found() -> None:
    rates = found_shifts(8, rows_a_week=200, shift=0.2)
    assert rates.audits == 8
    assert rates.alarms >= 6
