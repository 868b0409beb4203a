from __future__ import annotations

from collections.abc import Set as AbstractSet

import pytest

from collectord.intake.absence import Absence, AbsenceRules, AbsenceState, AlarmKind, weigh

RULES = AbsenceRules()
DAY = 86_400.0
KNOWN = frozenset(f"wc-{i:03}" for i in range(100))


def without(count: int) -> frozenset[str]:
    return frozenset(sorted(KNOWN)[count:])


def scan(
    state: AbsenceState,
    present: AbstractSet[str],
    mono: float,
    *,
    known: AbstractSet[str] = KNOWN,
    ok: bool = True,
    root: object = "root",
) -> Absence:
    return weigh(state, known=known, present=present, scan_ok=ok, root=root, mono=mono, rules=RULES)


def after(*scans: tuple[float, AbstractSet[str]]) -> Absence:
    result = Absence(AbsenceState(), frozenset(), None)
    for mono, present in scans:
        result = scan(result.state, present, mono)
    return result


def test_one_missing_archive_is_gone_after_a_minute_of_scans() -> None:
    assert after((0.0, without(1))).gone_now == frozenset()
    assert after((0.0, without(1)), (59.9, without(1))).gone_now == frozenset()
    assert after((0.0, without(1)), (60.0, without(1))).gone_now == {"wc-000"}


def test_a_single_scan_is_never_enough_even_without_any_wait() -> None:
    rules = AbsenceRules(confirm_s=0.0)
    first = weigh(
        AbsenceState(), known=KNOWN, present=without(1), scan_ok=True, root=1, mono=0.0, rules=rules
    )
    assert first.gone_now == frozenset()


def test_what_was_seen_in_between_begins_anew() -> None:
    assert after((0.0, without(1)), (50.0, KNOWN), (70.0, without(1))).gone_now == frozenset()


@pytest.mark.parametrize("broken", [{"ok": False}, {"root": None}], ids=["failed scan", "unhealthy root"])
def test_a_scan_that_proves_nothing_breaks_the_absence(broken: dict[str, bool | None]) -> None:
    state = after((0.0, without(1))).state
    spoiled = scan(state, frozenset(), 30.0, **broken)  # type: ignore[arg-type]
    assert (spoiled.gone_now, spoiled.alarm) == (frozenset(), None)
    again = scan(spoiled.state, without(1), 61.0)
    assert again.gone_now == frozenset()
    assert scan(again.state, without(1), 121.0).gone_now == {"wc-000"}


def test_an_unmounted_root_marks_nothing_gone_however_long_it_lasts() -> None:
    state = after((0.0, KNOWN)).state
    for mono in range(30, 400_000, 3000):
        result = scan(state, frozenset(), float(mono), root=None)
        assert result.gone_now == frozenset()
        state = result.state


def test_more_than_twenty_and_a_fifth_at_once_is_an_alarm_and_not_believed() -> None:
    result = after((0.0, KNOWN), (30.0, without(21)), (DAY, without(21)))
    assert result.gone_now == frozenset()
    assert result.alarm is not None
    assert (result.alarm.kind, result.alarm.missing, result.alarm.known) == (AlarmKind.MANY, 21, 100)


def test_twenty_of_many_are_believed() -> None:
    assert len(after((0.0, without(20)), (60.0, without(20))).gone_now) == 20


def test_many_that_are_a_small_share_are_believed() -> None:
    known = frozenset(str(i) for i in range(1000))
    present = frozenset(str(i) for i in range(200, 1000))
    state = scan(AbsenceState(), present, 0.0, known=known).state
    result = scan(state, present, 60.0, known=known)
    assert (len(result.gone_now), result.alarm) == (200, None)


def test_an_alarm_that_stood_for_a_day_is_believed_and_ends() -> None:
    result = after((0.0, without(50)), (DAY, without(50)))
    assert (len(result.gone_now), result.alarm) == (50, None)
    calm = scan(result.state, without(50), DAY + 30, known=without(50))
    assert (calm.gone_now, calm.alarm, calm.state.since) == (frozenset(), None, {})


def test_a_restore_half_way_does_not_turn_the_rest_into_a_belief() -> None:
    result = after((0.0, without(50)), (600.0, without(10)))
    assert result.gone_now == frozenset()
    assert result.alarm is not None
    assert result.alarm.missing == 10
    assert scan(result.state, KNOWN, 660.0).alarm is None


def test_a_young_repository_that_lost_everything_is_an_alarm() -> None:
    known = {"wc-1", "wc-2", "wc-3"}
    state = scan(AbsenceState(), frozenset(), 0.0, known=known).state
    result = scan(state, frozenset(), 3600.0, known=known)
    assert result.gone_now == frozenset()
    assert result.alarm is not None
    assert result.alarm.kind is AlarmKind.ALL


def test_the_only_archive_may_go() -> None:
    state = scan(AbsenceState(), frozenset(), 0.0, known={"wc-1"}).state
    assert scan(state, frozenset(), 60.0, known={"wc-1"}).gone_now == {"wc-1"}


def test_what_a_replaced_root_never_held_is_not_believed_for_a_day() -> None:
    state = after((0.0, without(1))).state
    first = scan(state, without(3), 60.0, root="other")
    assert first.gone_now == frozenset()
    assert first.alarm is not None
    assert first.alarm.kind is AlarmKind.NEW_ROOT
    later = scan(first.state, without(3), 3600.0, root="other")
    assert later.gone_now == frozenset()
    assert later.alarm == first.alarm
    assert len(scan(later.state, without(3), 60.0 + DAY, root="other").gone_now) == 3


def test_what_was_pruned_from_the_replaced_root_later_is_believed_as_ever() -> None:
    first = scan(after((0.0, KNOWN)).state, KNOWN, 30.0, root="other")
    assert first.alarm is None
    second = scan(first.state, without(1), 60.0, root="other")
    assert scan(second.state, without(1), 120.0, root="other").gone_now == {"wc-000"}


def test_a_failed_scan_neither_ends_nor_believes_an_alarm() -> None:
    state = scan(after((0.0, KNOWN)).state, without(2), 30.0, root="other").state
    failed = scan(state, frozenset(), 60.0, ok=False)
    assert failed.alarm == state.alarm
    back = scan(failed.state, without(2), 90.0, root="other")
    assert scan(back.state, without(2), 600.0, root="other").gone_now == frozenset()


def test_an_alarm_that_only_grows_is_the_same_alarm() -> None:
    first = after((0.0, without(30)))
    grown = scan(first.state, without(60), 30.0)
    assert grown.alarm == first.alarm
    assert grown.alarm is not None
    assert grown.alarm.missing == 60


def test_state_holds_no_name_that_is_not_known_and_missing() -> None:
    state = after((0.0, without(60))).state
    result = scan(state, without(60), 30.0, known=without(50))
    assert set(result.state.since) == without(50) - without(60)
    assert result.state.suspects <= set(result.state.since)


def test_a_replaced_root_begins_the_day_of_an_alarm_anew() -> None:
    state = after((0.0, without(50)), (DAY - 60.0, without(50))).state
    swapped = scan(state, without(50), DAY, root="other")
    assert swapped.gone_now == frozenset()
    assert scan(swapped.state, without(50), DAY + 60.0, root="other").gone_now == frozenset()
