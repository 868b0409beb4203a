"""The pure decisions of the daemon: pausing, repeating, living, reloading, waiting."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from collectord.archive import DirStamp, Listing, dir_stamp
from collectord.config import load
from collectord.daemon.daemon_log import MAX_KEYS, Repeats
from collectord.daemon.disk_guard import DiskGuard, is_full
from collectord.daemon.heartbeat import Vitals
from collectord.daemon.run import changed_keys, refusal
from collectord.daemon.schedule import Schedule
from collectord.errors import IndexFull
from collectord.index.sign_of_life import Heartbeat
from collectord.intake.queue import DOUBTED_PER_SCAN, Intake, NoEvents, Verified, WatchedFolder
from collectord.intake.settle import PendingSet, SettleRules, after_failure
from collectord.model import Known
from collectord.status.status import Life, life_of
from collectord.system.lock import Holder
from collectord.system.log import MAX_VALUE, configure
from collectord.system.mounts import DiskRules
from collectord.system.names import OWN_PREFIX, readable_name

GIB, MIB = 2**30, 2**20
RULES = SettleRules()


@pytest.mark.parametrize(
    ("total", "floor"),
    [(100 * GIB, GIB), (10 * GIB, 512 * MIB), (1000 * MIB, 100 * MIB)],
    ids=["a percent of a large disk", "the bytes on a middling one", "a tenth of a small one"],
)
def test_writing_pauses_below_the_floor_of_the_disk(total: int, floor: int) -> None:
    assert DiskRules().floor(total) == floor
    assert is_full(False, floor - 1, total, DiskRules())
    assert not is_full(False, floor, total, DiskRules())


def test_writing_resumes_only_with_some_room_to_spare() -> None:
    rules = DiskRules()
    assert is_full(True, 520 * MIB, 10 * GIB, rules)
    assert not is_full(True, 600 * MIB, 10 * GIB, rules)


def test_bytes_that_somebody_wrote_down_are_kept_free_even_on_a_small_disk() -> None:
    assert DiskRules(1, 900 * MIB, float("inf")).floor(GIB) == 900 * MIB


def test_a_fault_is_told_once_and_then_with_how_often_it_came() -> None:
    repeats = Repeats(every_s=300)
    assert repeats.tell("full", 0) == 0
    assert [repeats.tell("full", t) for t in (1, 2, 299)] == [None, None, None]
    assert repeats.tell("other", 3) == 0
    assert repeats.tell("full", 300) == 3
    assert repeats.over("full")
    assert not repeats.over("full")
    assert repeats.tell("full", 301) == 0


def test_however_many_faults_there_are_only_so_many_are_remembered() -> None:
    repeats = Repeats()
    for number in range(3 * MAX_KEYS):
        assert repeats.tell(str(number), 0) == 0
    assert repeats.tell(str(3 * MAX_KEYS - 1), 1) is None
    assert repeats.tell("0", 1) == 0


def _beat(pid: int = 7, stopped_ms: int | None = None) -> Heartbeat:
    return Heartbeat(pid, 0, 100_000, stopped_ms, {"interval_ms": 10_000})


HELD = Holder(pid=7, command="collectord run", since_ms=0)


@pytest.mark.parametrize(
    ("beat", "holder", "now_ms", "life"),
    [
        (None, None, 0, Life.NEVER),
        (None, Holder(pid=9, command="collectord ingest"), 0, Life.NEVER),
        (None, HELD, 0, Life.STARTING),
        (_beat(), HELD, 130_000, Life.ALIVE),
        (_beat(), HELD, 130_001, Life.SILENT),
        (_beat(), HELD, 69_999, Life.SILENT),
        (_beat(), Holder(), 101_000, Life.ALIVE),
        (_beat(), None, 100_001, Life.DEAD),
        (_beat(), Holder(pid=9, command="collectord ingest"), 100_001, Life.DEAD),
        (_beat(pid=6), HELD, 100_001, Life.STARTING),
        (_beat(stopped_ms=100_000), None, 100_001, Life.STOPPED),
        (_beat(stopped_ms=100_000), HELD, 100_001, Life.STARTING),
    ],
)
def test_alive_wants_a_fresh_sign_and_a_lock_that_is_held(
    beat: Heartbeat | None, holder: Holder | None, now_ms: int, life: Life
) -> None:
    assert life_of(beat, holder, now_ms) is life


def test_a_reload_names_what_changed_and_refuses_what_needs_a_restart(tmp_path: Path) -> None:
    def settings(**overrides: object) -> object:
        given = {key.replace("__", "."): value for key, value in overrides.items()}
        return load(repo=tmp_path, config=None, overrides=given, environ={}, cwd=tmp_path)

    old = settings()
    changes = changed_keys(old, settings(settle__short=5, ingest__batch=10))  # type: ignore[arg-type]
    assert changes == {"settle.short": "2 → 5", "ingest.batch": "200 → 10"}
    assert refusal(changes) is None
    moved = changed_keys(old, settings(paths__state="other"))  # type: ignore[arg-type]
    assert "paths.state" in str(refusal(moved))


def test_failures_wait_twice_as_long_each_time_and_start_anew_with_a_new_signature() -> None:
    first = after_failure(None, "wc-1", mono=10.0, rules=RULES)
    second = after_failure(first, "wc-1", mono=12.0, rules=RULES)
    assert (first.failures, first.retry_at) == (1, 12.0)
    assert (second.failures, second.retry_at) == (2, 16.0)
    assert second.first_seen == 10.0


class _Chore:
    def __init__(self, name: str, error: Exception | None = None) -> None:
        self.name, self.error, self.ran = name, error, [0.0][:0]

    def due_at(self) -> float:
        return 5.0

    def run(self, mono: float) -> None:
        self.ran.append(mono)
        if self.error:
            raise self.error


def test_a_chore_that_fails_waits_longer_each_time_and_holds_up_no_other() -> None:
    bad, good = _Chore("bad", ValueError("x")), _Chore("good")
    told: list[tuple[str, float]] = []
    chores = Schedule([bad, good], lambda name, _error, wait: told.append((name, wait)))
    assert chores.next_due() == 5.0
    for mono in (4.0, 5.0, 64.9, 65.0, 184.9, 185.0):
        chores.run_due(mono)
    assert bad.ran == [5.0, 65.0, 185.0]
    assert good.ran == [5.0, 64.9, 65.0, 184.9, 185.0]
    assert told == [("bad", 60.0), ("bad", 120.0), ("bad", 240.0)]


def test_a_chore_is_said_to_fail_until_it_has_run_well() -> None:
    chore = _Chore("bad", ValueError("x"))
    chores = Schedule([chore, _Chore("good")], lambda *_: None)
    chores.run_due(5.0)
    chores.run_due(6.0)
    assert chores.failing == ("the chore bad failed and is tried again: the log says why",)
    chore.error = None
    chores.run_due(65.0)
    assert chores.failing == ()


def test_a_full_index_is_no_fault_of_a_chore() -> None:
    with pytest.raises(IndexFull):
        Schedule([_Chore("any", IndexFull("full"))], lambda *_: None).run_due(5.0)


STAMP = dir_stamp(1, 1, 1)


def _known(name: str, gone_ms: int | None = None) -> Known:
    return Known("archive", name, "indexed", None, "s", 1, gone_ms, 0)


def _listing(*others: tuple[str, str, DirStamp | None], as_known: Iterable[str] = ()) -> Listing:
    """What a scan shows beside the directories that have the stamps that are known of them."""
    return Listing([*as_known, *(name for name, _, _ in others)], list(others))


def _intake(*known: Known) -> Intake:
    place = WatchedFolder(
        "archive", Path("/nowhere"), frozenset({"orphaned-workcells"}), NoEvents(), lambda _: 1
    )
    return Intake(place, {(k.kind, k.name): k for k in known}, PendingSet(RULES))


def test_a_scan_gives_new_names_and_returned_ones_to_be_followed_and_known_ones_to_be_verified() -> None:
    intake = _intake(_known("old"), _known("back", gone_ms=1))
    names = ("old", "back", "new", "orphaned-workcells")
    directories = [(name, "directory", STAMP) for name in names]
    scan = intake.take_scan(_listing(*directories, ("f", "file", None)), 0.0)
    assert sorted(intake.pending) == ["back", "new"]
    assert [(name, doubted.stamp) for name, doubted in intake.take_doubtful(10)] == [("old", STAMP)]
    assert scan.present == {*names, "f"}
    assert [name for name, _ in scan.strays] == ["orphaned-workcells", "f"]


def test_a_verified_directory_is_left_alone_until_its_times_change_or_its_turn_comes() -> None:
    names = [f"wc-{n:04}" for n in range(2 * DOUBTED_PER_SCAN)]
    intake = _intake(*map(_known, names))
    for name in names:
        intake.verify(name, Verified(STAMP, 7))
    assert intake.verified == dict.fromkeys(names, STAMP)
    changed = names[-1], "directory", dir_stamp(2, 2, 1)
    intake.take_scan(_listing(changed, as_known=names[:-1]), 0.0)
    assert list(intake.pending) == [names[-1]]
    assert [n for n, _ in intake.take_doubtful(10_000)] == names[:DOUBTED_PER_SCAN]


def test_nothing_is_remembered_of_names_that_a_scan_did_not_find() -> None:
    intake = _intake(_known("a"), _known("b"))
    intake.verify("a", Verified(STAMP, 7))
    intake.take_scan(_listing(("b", "directory", STAMP)), 0.0)
    assert not intake.verified
    assert [name for name, _ in intake.take_doubtful(10)] == ["b"]
    intake.take_scan(_listing(), 0.0)
    assert intake.doubtful == 0


def test_our_own_directories_and_bytes_that_are_no_utf_8_are_not_in_what_a_scan_shows() -> None:
    intake = _intake()
    own, odd = f"{OWN_PREFIX}x", "caf\udce9"
    scan = intake.take_scan(_listing((own, "directory", STAMP), (odd, "directory", STAMP)), 0.0)
    assert scan.present == {readable_name(odd)}
    assert list(intake.pending) == [odd]


def test_the_vitals_say_what_is_settling_and_why_it_is_degraded() -> None:
    vitals = Vitals(3, 1, 0, 0, None, 2, None, ("no events",), "events", None)
    document = vitals.as_document(10.0)
    assert (document["pending"], document["settling"], document["stalled"]) == (3, 2, 1)
    assert document["interval_ms"] == 10_000
    assert vitals.as_sentence() == "3 pending, 1 stalled, events; watch: events: no events"


def test_the_log_escapes_and_caps_what_archives_named() -> None:
    stream = io.StringIO()
    log = configure(level="info", form="json", stream=stream, environ={})
    log.info("archive.indexed", archive="wc\x1b[31m\n" + "x" * 2 * MAX_VALUE)
    log.debug("archive.unchanged")
    [line] = stream.getvalue().splitlines()
    said = json.loads(line)
    assert said["event"] == "archive.indexed"
    assert said["archive"].startswith("wc\\x1b[31m\\n")
    assert len(said["archive"]) < MAX_VALUE + 20


def test_a_log_that_nobody_reads_any_more_stops_nothing() -> None:
    stream = io.StringIO()
    log = configure(level="info", form="json", stream=stream, environ={})
    stream.close()
    log.info("daemon.started")


def test_lines_for_the_journal_carry_their_priority(tmp_path: Path) -> None:
    with (tmp_path / "journal").open("w+") as stream:
        own = (tmp_path / "journal").stat()
        environ = {"JOURNAL_STREAM": f"{own.st_dev}:{own.st_ino}"}
        log = configure(level="info", form="auto", stream=stream, environ=environ)
        log.warning("disk.low")
        log.info("disk.resumed")
        stream.seek(0)
        assert [line[:3] for line in stream] == ["<4>", "<6>"]


def test_a_write_without_room_pauses_longer_each_time_until_one_finds_room(tmp_path: Path) -> None:
    guard = DiskGuard(tmp_path, DiskRules(0, 0))
    assert not guard.check()
    for hit_at, until in ((0.0, 5.0), (5.0, 15.0), (15.0, 35.0)):
        guard.hit(hit_at)
        assert guard.reason(until - 0.1)
        assert guard.reason(until) is None
        assert not guard.is_proven
    guard.wrote()
    assert guard.is_proven
    guard.hit(1000.0)
    assert guard.reason(1005.0) is None


def test_a_disk_below_its_floor_is_low_until_there_is_room(tmp_path: Path) -> None:
    guard = DiskGuard(tmp_path, DiskRules(100, 0))
    assert guard.check()
    assert "MiB are free" in str(guard.reason(0.0))
