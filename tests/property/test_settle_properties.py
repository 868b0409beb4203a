from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from collectord.intake.settle import (
    Pending,
    PendingSet,
    SettleRules,
    VerdictKind,
    after_read,
    look,
    settled_at,
)
from collectord.model import Entry, Observation
from tests.support.examples import examples

FILES = ("manifest.json", "proof.json", ".workcell", "logs")


def observe(version: int, names: tuple[str, ...], mtime_ns: int) -> Observation:
    """What a look sees after the version-th write; each write moves the ctime, whatever else it hides."""
    entries = tuple(Entry(n, "file", 1, mtime_ns, version, i) for i, n in enumerate(names))
    return Observation("wc", mtime_ns, version, 1, 1, entries, f"{version}:{names}")


@dataclass(frozen=True)
class Step:
    after_s: float
    writes: bool
    mtime_ns: int


finite = {"allow_nan": False, "allow_infinity": False}
gaps = st.floats(0.0, 50.0, **finite)  # type: ignore[arg-type]
starts = st.floats(0.0, 1e7, **finite)  # type: ignore[arg-type]
names = st.lists(st.sampled_from(FILES), unique=True).map(tuple)
mtimes = st.integers(-(2**62), 2**62)
steps = st.lists(st.builds(Step, gaps, st.booleans(), mtimes), min_size=1, max_size=30)
rules_of_any_length = st.builds(
    SettleRules,
    min_age_s=st.floats(0.0, 5.0),
    short_s=st.floats(0.0, 5.0),
    long_s=st.floats(0.0, 40.0),
    stalled_after_s=st.floats(0.0, 120.0),
)


def kinds(
    start: float, schedule: list[Step], present: tuple[str, ...], rules: SettleRules, *, clock_ns: int = 0
) -> list[VerdictKind]:
    pending, mono, version, told = None, start, 0, []
    for step in schedule:
        mono += step.after_s
        version += step.writes
        seen = observe(version, present, step.mtime_ns + clock_ns)
        pending, verdict = look(pending, seen, mono=mono, rules=rules)
        told.append(verdict.kind)
    return told


@given(starts, steps, names, rules_of_any_length)
def test_nothing_settles_before_two_equal_looks_the_settle_time_apart(
    start: float, schedule: list[Step], present: tuple[str, ...], rules: SettleRules
) -> None:
    least = max(rules.short_s if ".workcell" in present else rules.long_s, rules.min_age_s)
    mono, version, history = start, 0, []
    told = kinds(start, schedule, present, rules)
    for step, kind in zip(schedule, told, strict=True):
        mono += step.after_s
        version += step.writes
        history.append((mono, version))
        if kind is not VerdictKind.WAITING:
            first_equal = min(t for t, v in history if v == version)
            assert mono >= first_equal + least


@given(starts, steps, names, rules_of_any_length)
def test_a_write_before_a_look_makes_that_look_wait(
    start: float, schedule: list[Step], present: tuple[str, ...], rules: SettleRules
) -> None:
    for step, kind in zip(schedule, kinds(start, schedule, present, rules), strict=True):
        if step.writes:
            assert kind is VerdictKind.WAITING


@given(starts, steps, names, mtimes)
def test_whatever_the_wall_clock_wrote_into_the_mtimes_changes_no_verdict(
    start: float, schedule: list[Step], present: tuple[str, ...], shift_ns: int
) -> None:
    rules = SettleRules()
    assert kinds(start, schedule, present, rules) == kinds(start, schedule, present, rules, clock_ns=shift_ns)


def follow(seen: Observation, mono: float, rules: SettleRules, core_ok: bool) -> VerdictKind:
    """Looks exactly when told to and reads when told to, until the archive is accepted."""
    pending: Pending | None = None
    for _ in range(2000):
        pending, verdict = look(pending, seen, mono=mono, rules=rules)
        if verdict.kind is not VerdictKind.WAITING:
            pending, verdict = after_read(pending, seen, core_ok=core_ok, mono=mono, rules=rules)
        if verdict.kind is not VerdictKind.WAITING:
            return verdict.kind
        assert verdict.until > mono
        mono = verdict.until
    raise AssertionError("never accepted")


@settings(max_examples=examples(60))
@given(starts, names, rules_of_any_length, st.booleans())
def test_a_quiet_archive_is_always_accepted_in_the_end(
    start: float, present: tuple[str, ...], rules: SettleRules, core_ok: bool
) -> None:
    kind = follow(observe(0, present, 0), start, rules, core_ok)
    assert kind is (VerdictKind.ACCEPT if core_ok else VerdictKind.ACCEPT_PARTIAL)


@given(starts, steps, names, rules_of_any_length, st.booleans())
def test_a_read_during_which_something_was_written_is_never_accepted(
    start: float, schedule: list[Step], present: tuple[str, ...], rules: SettleRules, core_ok: bool
) -> None:
    pending, mono, version = None, start, 0
    for step in schedule:
        mono += step.after_s
        version += step.writes
        pending, _ = look(pending, observe(version, present, 0), mono=mono, rules=rules)
    assert pending is not None
    after, verdict = after_read(
        pending, observe(version + 1, present, 0), core_ok=core_ok, mono=mono + 1e6, rules=rules
    )
    assert verdict.kind is VerdictKind.WAITING
    assert settled_at(after, rules) >= mono + 1e6


operations = st.lists(
    st.tuples(
        st.sampled_from(["touch", "find", "put", "drop", "due"]), st.integers(0, 5), st.floats(0.0, 100.0)
    ),
    max_size=200,
)


@given(operations)
def test_the_pending_set_behaves_like_a_plain_table_of_due_times(
    todo: list[tuple[str, int, float]],
) -> None:
    rules = SettleRules()
    real = PendingSet(rules)
    plain: dict[str, float | None] = {}
    looked: dict[str, float] = {}
    backlog: set[str] = set()
    for what, number, mono in todo:
        name = f"wc-{number}"
        if what == "touch":
            soon = max(mono, looked[name] + rules.touch_gap_s) if name in looked else mono
            plain[name] = min(soon, planned) if (planned := plain.get(name)) is not None else soon
            real.touch(name, mono)
            backlog.discard(name)
        elif what == "find":
            if name not in plain:
                plain[name] = mono
                backlog.add(name)
            real.find(name, mono)
        elif what == "put":
            real.put(Pending(name, "s", mono, mono, mono, True, True), mono + number)
            plain[name], looked[name] = mono + number, mono
        elif what == "drop":
            real.drop(name)
            plain.pop(name, None)
            looked.pop(name, None)
            backlog.discard(name)
        else:
            due = sorted((n in backlog, t, n) for n, t in plain.items() if t is not None and t <= mono)
            assert real.due(mono, 100) == [n for _, _, n in due]
            plain.update(dict.fromkeys((n for _, _, n in due), None))
        assert set(real) == set(plain)
        assert real.next_due() == min((t for t in plain.values() if t is not None), default=None)
        assert sum(map(len, real._heaps)) <= 4 * len(real) + 130
