from __future__ import annotations

import hashlib
import itertools

import pytest

from collectord.intake.settle import (
    Pending,
    PendingSet,
    SettleRules,
    Verdict,
    VerdictKind,
    after_read,
    is_stuck,
    look,
    next_look,
)
from collectord.model import Entry, Observation

RULES = SettleRules()
SECOND_NS = 1_000_000_000


def seen(*names: str, version: int = 0, mtime_s: int = 0, name: str = "wc-1") -> Observation:
    entries = tuple(Entry(n, "file", 1, mtime_s * SECOND_NS, version, i) for i, n in enumerate(names))
    signature = hashlib.sha256(repr(entries).encode()).hexdigest()
    return Observation(name, mtime_s * SECOND_NS, version, 1, 1, entries, signature)


WHOLE = seen("manifest.json", "proof.json", ".workcell")
NO_WORKCELL = seen("manifest.json", "proof.json")
NO_MANIFEST = seen("logs", ".workcell")


def still(what: Observation, *times: float, rules: SettleRules = RULES) -> tuple[Pending, Verdict]:
    pending, verdict = look(None, what, mono=times[0], rules=rules)
    for mono in times[1:]:
        pending, verdict = look(pending, what, mono=mono, rules=rules)
    return pending, verdict


def test_first_look_never_settles_however_old_everything_is() -> None:
    _, verdict = still(WHOLE, 1_000_000.0)
    assert verdict.kind is VerdictKind.WAITING


def test_one_look_is_never_enough_even_without_any_wait() -> None:
    rules = SettleRules(min_age_s=0.0, short_s=0.0, stalled_after_s=0.0)
    assert still(WHOLE, 10.0, rules=rules)[1].kind is VerdictKind.WAITING
    assert still(WHOLE, 10.0, 10.5, rules=rules)[1].kind is not VerdictKind.WAITING


@pytest.mark.parametrize(
    ("what", "wait"), [(WHOLE, 2.0), (NO_WORKCELL, 30.0)], ids=["with .workcell", "without .workcell"]
)
def test_same_signature_on_two_looks_the_settle_time_apart_settles(what: Observation, wait: float) -> None:
    assert still(what, 10.0, 10.0 + wait - 0.01)[1].kind is VerdictKind.WAITING
    assert still(what, 10.0, 10.0 + wait)[1].kind is VerdictKind.SETTLED


def test_waiting_tells_the_moment_at_which_it_settles() -> None:
    _, verdict = still(WHOLE, 10.0, 11.5)
    assert verdict == Verdict(VerdictKind.WAITING, 12.0)


def test_a_change_between_looks_starts_the_wait_anew() -> None:
    pending, _ = still(WHOLE, 0.0, 1.9)
    changed = seen("manifest.json", "proof.json", ".workcell", version=1)
    pending, verdict = look(pending, changed, mono=2.0, rules=RULES)
    assert verdict.kind is VerdictKind.WAITING
    assert look(pending, changed, mono=3.9, rules=RULES)[1].kind is VerdictKind.WAITING
    assert look(pending, changed, mono=4.0, rules=RULES)[1].kind is VerdictKind.SETTLED


def test_workcell_arriving_changes_the_wait_to_the_short_one() -> None:
    pending, _ = still(NO_WORKCELL, 0.0, 20.0)
    pending, _ = look(pending, WHOLE, mono=21.0, rules=RULES)
    assert look(pending, WHOLE, mono=23.0, rules=RULES)[1].kind is VerdictKind.SETTLED


def test_mtimes_from_the_future_block_nothing() -> None:
    future = seen("manifest.json", ".workcell", mtime_s=99_999_999_999)
    assert still(future, 0.0, 2.0)[1].kind is VerdictKind.SETTLED


def test_nothing_younger_than_the_least_age_settles_even_with_a_shorter_settle_time() -> None:
    rules = SettleRules(min_age_s=2.0, short_s=0.1)
    assert still(WHOLE, 0.0, 1.9, rules=rules)[1].kind is VerdictKind.WAITING
    assert still(WHOLE, 0.0, 2.0, rules=rules)[1].kind is VerdictKind.SETTLED


def test_without_a_manifest_it_is_never_read_before_it_is_given_up_as_stalled() -> None:
    assert still(NO_MANIFEST, 0.0, 3599.0)[1].kind is VerdictKind.WAITING
    assert still(NO_MANIFEST, 0.0, 3600.0)[1].kind is VerdictKind.STALLED


def test_a_readable_archive_that_did_not_change_under_the_reader_is_accepted() -> None:
    pending, _ = still(WHOLE, 0.0, 2.0)
    _, verdict = after_read(pending, WHOLE, core_ok=True, mono=2.1, rules=RULES)
    assert verdict.kind is VerdictKind.ACCEPT


@pytest.mark.parametrize("core_ok", [True, False])
@pytest.mark.parametrize("mono", [2.1, 10_000.0], ids=["early", "stalled"])
def test_bytes_that_changed_under_the_reader_are_worthless(core_ok: bool, mono: float) -> None:
    pending, _ = still(WHOLE, 0.0, 2.0)
    changed = seen("manifest.json", "proof.json", ".workcell", version=1)
    pending, verdict = after_read(pending, changed, core_ok=core_ok, mono=mono, rules=RULES)
    assert verdict.kind is VerdictKind.WAITING
    assert pending.quiet_since == mono


def test_unreadable_core_is_tried_again_later_and_later_then_taken_as_partial() -> None:
    pending, verdict = still(WHOLE, 0.0, 2.0)
    mono, reads = 2.0, []
    while verdict.kind is not VerdictKind.ACCEPT_PARTIAL:
        if verdict.kind in (VerdictKind.SETTLED, VerdictKind.STALLED):
            reads.append(mono)
            pending, verdict = after_read(pending, WHOLE, core_ok=False, mono=mono, rules=RULES)
        else:
            mono = verdict.until
            pending, verdict = look(pending, WHOLE, mono=mono, rules=RULES)
    gaps = [b - a for a, b in itertools.pairwise(reads)]
    assert reads[-1] == 3600.0
    assert gaps[:4] == [2.0, 4.0, 8.0, 16.0]
    assert max(gaps) <= 600.0
    assert len(reads) < 20


def test_stalled_archive_that_turns_out_whole_is_accepted_as_whole() -> None:
    pending, verdict = still(NO_WORKCELL, 0.0, 4000.0)
    assert verdict.kind is VerdictKind.STALLED
    assert (
        after_read(pending, NO_WORKCELL, core_ok=True, mono=4000.0, rules=RULES)[1].kind is VerdictKind.ACCEPT
    )


def test_a_change_makes_failed_reads_forgotten() -> None:
    pending, _ = still(WHOLE, 0.0, 2.0)
    pending, _ = after_read(pending, WHOLE, core_ok=False, mono=2.0, rules=RULES)
    assert is_stuck(pending, RULES)
    pending, _ = look(pending, seen("manifest.json", ".workcell", version=1), mono=3.0, rules=RULES)
    assert (pending.failures, is_stuck(pending, RULES)) == (0, False)


def test_looks_without_events_come_at_doubling_distances_up_to_the_longest() -> None:
    pending, verdict = still(NO_MANIFEST, 0.0)
    times = []
    while verdict.kind is VerdictKind.WAITING:
        times.append(verdict.until)
        pending, verdict = look(pending, NO_MANIFEST, mono=verdict.until, rules=RULES)
    assert times[:7] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    assert times[-1] == 3600.0
    assert len(times) < 140


def test_next_look_is_always_in_the_future() -> None:
    pending, _ = still(NO_WORKCELL, 5.0, 12.0, 77.0)
    assert next_look(pending, RULES) > 77.0


def test_pending_set_gives_names_out_in_the_order_in_which_they_are_due() -> None:
    waiting = PendingSet(RULES)
    for name, mono in [("b", 2.0), ("a", 1.0), ("c", 3.0)]:
        waiting.touch(name, mono)
    assert waiting.next_due() == 1.0
    assert waiting.due(2.5, 10) == ["a", "b"]
    assert waiting.due(2.5, 10) == []
    assert waiting.due(9.0, 10) == ["c"]
    assert waiting.next_due() is None
    assert len(waiting) == 3


def test_pending_set_gives_out_no_more_than_asked_for() -> None:
    waiting = PendingSet(RULES)
    for i in range(5):
        waiting.touch(f"wc-{i}", float(i))
    assert waiting.due(10.0, 2) == ["wc-0", "wc-1"]
    assert waiting.due(10.0, 9) == ["wc-2", "wc-3", "wc-4"]


def test_events_bring_a_look_forward_but_not_closer_than_the_gap_to_the_last_one() -> None:
    waiting = PendingSet(RULES)
    pending, _ = still(WHOLE, 100.0)
    waiting.put(pending, 130.0)
    waiting.touch("wc-1", 100.1)
    assert waiting.next_due() == 100.25
    waiting.touch("wc-1", 100.2)
    assert waiting.next_due() == 100.25


def test_events_never_put_a_look_off() -> None:
    waiting = PendingSet(RULES)
    pending, _ = still(WHOLE, 100.0)
    waiting.put(pending, 100.1)
    waiting.touch("wc-1", 100.05)
    assert waiting.next_due() == 100.1


def test_a_name_that_was_given_out_is_looked_at_again_when_it_stirs() -> None:
    waiting = PendingSet(RULES)
    waiting.touch("wc-1", 1.0)
    assert waiting.due(1.0, 1) == ["wc-1"]
    waiting.touch("wc-1", 2.0)
    assert waiting.due(2.0, 1) == ["wc-1"]


def test_dropped_names_are_not_given_out() -> None:
    waiting = PendingSet(RULES)
    waiting.touch("wc-1", 1.0)
    waiting.drop("wc-1")
    waiting.drop("never there")
    assert (waiting.due(9.0, 9), len(waiting), waiting.next_due()) == ([], 0, None)


def test_any_number_of_events_on_few_names_keep_the_heap_small() -> None:
    waiting = PendingSet(RULES)
    pending = {n: look(None, seen("x", name=n), mono=0.0, rules=RULES)[0] for n in ("a", "b", "c")}
    for i in range(100_000):
        name = "abc"[i % 3]
        waiting.put(pending[name], 1000.0 - i / 1000)
        waiting.touch(name, 900.0 - i / 1000)
    assert len(waiting) == 3
    assert sum(map(len, waiting._heaps)) <= 2 * 3 + 65
    assert sorted(waiting.due(1e9, 10)) == ["a", "b", "c"]


def test_what_the_last_look_left_behind_can_be_had_again() -> None:
    waiting = PendingSet(RULES)
    pending, _ = still(WHOLE, 1.0)
    waiting.put(pending, 2.0)
    waiting.touch("other", 1.0)
    assert waiting.get("wc-1") is pending
    assert waiting.get("other") is None
    assert waiting.get("nobody") is None
    assert list(waiting.looked_at()) == [pending]
    assert "other" in waiting
    assert sorted(waiting) == ["other", "wc-1"]


def test_what_nothing_touched_for_long_by_the_clock_of_its_file_system_is_taken_at_the_first_look() -> None:
    old = seen("manifest.json", "proof.json", ".workcell", version=1_000 * SECOND_NS)
    wall_s = 1_000 + RULES.old_s
    assert look(None, old, mono=10.0, rules=RULES, wall_s=wall_s + 1)[1].kind is VerdictKind.SETTLED
    assert look(None, old, mono=10.0, rules=RULES, wall_s=wall_s - 1)[1].kind is VerdictKind.WAITING
    assert look(None, old, mono=10.0, rules=RULES)[1].kind is VerdictKind.WAITING


def test_a_copy_that_keeps_old_times_is_not_old_and_neither_is_what_comes_from_the_future() -> None:
    copied = seen("manifest.json", "proof.json", version=5_000 * SECOND_NS, mtime_s=1)
    assert look(None, copied, mono=10.0, rules=RULES, wall_s=5_001)[1].kind is VerdictKind.WAITING
    assert look(None, copied, mono=10.0, rules=RULES, wall_s=4_000)[1].kind is VerdictKind.WAITING


def test_an_old_archive_without_its_manifest_waits_all_the_same() -> None:
    bare = seen("logs", version=1_000 * SECOND_NS)
    assert look(None, bare, mono=10.0, rules=RULES, wall_s=9_999)[1].kind is VerdictKind.WAITING


def test_what_lands_now_does_not_queue_behind_what_a_scan_found() -> None:
    pending = PendingSet(SettleRules())
    for number in range(3):
        pending.find(f"old-{number}", 10.0)
    pending.touch("new", 11.0)
    assert pending.due(12.0, 2) == ["new", "old-0"]
    pending.touch("old-2", 12.0)
    assert pending.due(12.0, 2) == ["old-2", "old-1"]
    assert pending.next_due() is None


def test_a_name_that_is_followed_already_is_not_found_again() -> None:
    pending = PendingSet(SettleRules())
    pending.touch("wc", 20.0)
    pending.find("wc", 10.0)
    assert pending.next_due() == 20.0


def test_what_a_scan_found_stays_behind_while_it_settles() -> None:
    pending = PendingSet(RULES)
    pending.find("wc-1", 1.0)
    pending.due(1.0, 1)
    followed, _ = still(WHOLE, 1.0)
    pending.put(followed, 3.0)
    pending.touch("new", 3.5)
    assert pending.due(4.0, 2) == ["new", "wc-1"]
