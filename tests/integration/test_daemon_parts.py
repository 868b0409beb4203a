"""The shells of the loop on real files and a real index: framed reads, and writes that one change spoils."""

from __future__ import annotations

import gzip
import io
import os
import resource
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from collectord.archive import ArchiveRoot, Vanished, dir_stamp, list_names, scan
from collectord.config import Settings, load
from collectord.daemon.daemon_log import DaemonLog
from collectord.errors import IndexFull
from collectord.index.reader import IndexReader
from collectord.index.writer import Change, IndexWriter
from collectord.intake.commit import Committer
from collectord.intake.folder import Folder
from collectord.intake.look import CROWD, PendingChange, Reader
from collectord.intake.queue import GLANCES_PER_LOOK, Intake, NoEvents, Verified, WatchedFolder, rules_of
from collectord.intake.settle import PendingSet
from collectord.model import ARCHIVE, Outcome, OutcomeKind, Reading
from collectord.retention.plan import Ages
from collectord.retention.prune import PrunePlan, Pruner
from collectord.system.log import configure
from tests.support.archives import Maker

NEVER_LOOKED_INTO = Verified(dir_stamp(0, 0, 0))


class Room:
    """One folder with an intake and a reader, and an index of its own; looks come at given times."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        settings.state_dir.mkdir(parents=True)
        self.writer = IndexWriter(settings.index_path)
        rules = rules_of(settings)
        place = WatchedFolder(ARCHIVE, settings.archives_dir, frozenset(), NoEvents(), lambda _: 1)
        self.intake = Intake(place, self.writer.known, PendingSet(rules.settle))
        log = configure(level="error", form="json", stream=io.StringIO(), environ={})
        self.reader = Reader(place, rules, self.intake, DaemonLog(log, lambda: 0.0))
        self.applier = Committer(self.writer, lambda: 1_000)
        self.root = ArchiveRoot(settings.archives_dir)

    def settled(self, name: str) -> PendingChange:
        """The read that two looks far enough apart lead to."""
        assert self.reader.look(self.root, name, 0.0) is None
        held = self.reader.look(self.root, name, 100.0)
        assert held is not None
        return held


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    Maker(tmp_path)
    made = Room(load(repo=tmp_path, config=None, overrides={}, environ={}, cwd=tmp_path))
    yield made
    made.root.close()
    made.writer.close()


def _archive(room: Room) -> Path:
    [name] = Maker(room.settings.repo).add(1)
    return room.settings.archives_dir / name


def test_what_stood_still_until_the_transaction_is_taken(room: Room) -> None:
    archive = _archive(room)
    framed = room.reader.frame(room.root, room.settled(archive.name), 100.1)
    assert framed is not None
    assert isinstance(framed.change, Reading)


def test_what_changed_between_its_read_and_the_transaction_is_not_taken_and_settles_anew(room: Room) -> None:
    archive = _archive(room)
    held = room.settled(archive.name)
    manifest = archive / "manifest.json"
    manifest.write_bytes(manifest.read_bytes())
    assert room.reader.frame(room.root, held, 100.1) is None
    pending = room.intake.pending.get(archive.name)
    assert pending is not None
    assert pending.quiet_since == 100.1


def test_what_vanished_between_its_read_and_the_transaction_is_said(room: Room, tmp_path: Path) -> None:
    archive = _archive(room)
    held = room.settled(archive.name)
    archive.rename(tmp_path / "away")
    with pytest.raises(Vanished):
        room.reader.frame(room.root, held, 100.1)


def test_what_does_not_parse_yet_is_read_again_and_taken_as_it_is_only_once_it_is_stalled(room: Room) -> None:
    archive = _archive(room)
    (archive / "proof.json").write_text("{")
    assert room.reader.frame(room.root, room.settled(archive.name), 100.1) is None
    held = room.reader.look(room.root, archive.name, 5_000.0)
    assert held is not None
    framed = room.reader.frame(room.root, held, 5_000.1)
    assert framed is not None
    assert isinstance(framed.change, Reading)
    assert framed.change.partial is not None


def test_an_error_that_nobody_foresaw_is_a_try_and_the_third_one_quarantines(room: Room) -> None:
    archive = _archive(room)
    error = RuntimeError("x")
    assert room.reader.failed(archive.name, error, 0.0) is None
    assert room.reader.failed(archive.name, error, 2.0) is None
    held = room.reader.failed(archive.name, error, 6.0)
    assert held is not None
    [(_, outcome)] = room.applier.apply([held.change])
    assert isinstance(outcome, Outcome)
    assert outcome.kind is OutcomeKind.QUARANTINED
    known = room.intake.known(archive.name)
    assert known is not None
    assert (known.reason, known.tries) == ("unexpected: RuntimeError", 3)


def test_a_change_that_the_index_cannot_hold_spoils_no_other(room: Room) -> None:
    changes = []
    for name in Maker(room.settings.repo).add(3):
        framed = room.reader.frame(room.root, room.settled(name), 100.1)
        assert framed is not None
        assert isinstance(framed.change, Reading)
        changes.append(framed.change)
    assert changes[1].run is not None
    changes[1] = changes[1]._replace(run=changes[1].run._replace(started_ms=2**70))
    results = dict(room.applier.apply(changes))
    assert [type(results[n]) for n in (0, 2)] == [Outcome, Outcome]
    assert isinstance(results[1], Exception)
    assert room.applier.applied == 2
    assert len(room.writer.known) == 2


@contextmanager
def _no_descriptors() -> Iterator[None]:
    """Nothing can be opened meanwhile; what is open stays."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_lack_of_descriptors_right_before_the_transaction_is_waited_out(room: Room) -> None:
    archive = _archive(room)
    held = room.settled(archive.name)
    with _no_descriptors():
        assert room.reader.frame(room.root, held, 100.1) is None
    assert room.intake.pending.next_due() == pytest.approx(101.1)


def test_a_lack_of_descriptors_while_known_archives_are_checked_is_waited_out(room: Room) -> None:
    archive = _archive(room)
    with _no_descriptors():
        room.reader.verify(room.root, archive.name, NEVER_LOOKED_INTO, 100.0)
    assert room.intake.pending.next_due() == pytest.approx(101.0)


def _take_turns(room: Room) -> list[Verified]:
    """A scan, and a look at all that it doubts."""
    found = scan(room.root, list_names(room.root), room.intake.verified)
    room.intake.take_scan(found, 0.0)
    doubted = room.intake.take_doubtful(10)
    for name, verified in doubted:
        room.reader.verify(room.root, name, verified, 0.0)
    return [verified for _, verified in doubted]


def test_an_edit_in_place_is_found_when_the_turn_of_its_archive_comes(room: Room) -> None:
    archive = _archive(room)
    [_] = room.applier.apply([room.settled(archive.name).change])
    room.intake.pending.drop(archive.name)
    [first] = _take_turns(room)
    room.intake.verify(archive.name, first._replace(glances=0))
    [before] = _take_turns(room)
    assert before.glances == 0, "the next one is no whole look either"
    assert len(room.intake.pending) == 0
    proof = archive / "proof.json"
    own = proof.stat()
    with proof.open("r+b") as file:
        file.write(b"[")
    os.utime(proof, ns=(own.st_atime_ns, own.st_mtime_ns))
    assert _take_turns(room) == [before._replace(glances=1)], "the directory shows nothing of it"
    assert list(room.intake.pending) == [archive.name]


def _prune_of(room: Room, ages: Ages, now_ms: int) -> PrunePlan:
    with IndexReader(room.settings.index_path) as reader:
        return Pruner(reader, room.root, ages).plan(now_ms)


def test_an_edit_outside_the_core_files_counts_for_the_age_and_one_of_them_keeps_prune_away(
    room: Room,
) -> None:
    archive = _archive(room)
    log = archive / "logs/run.log"
    log.write_text("said\n")
    [_] = room.applier.apply([room.settled(archive.name).change])
    room.intake.pending.drop(archive.name)
    with gzip.open(log.with_suffix(".log.gz"), "wb") as packed:
        packed.write(log.read_bytes())
    log.unlink()
    soon, ever = time.time_ns() // 1_000_000 + 5_000, 2**43
    assert not _prune_of(room, Ages(logs_s=60), soon).removals
    assert [one.name for one in _prune_of(room, Ages(logs_s=60), ever).removals] == [archive.name]
    (archive / "proof.json").write_text("{}")
    assert "it changed" in _prune_of(room, Ages(logs_s=60), ever).kept[archive.name]


def test_an_edit_outside_the_core_files_is_noted_by_the_next_whole_look(room: Room) -> None:
    archive = _archive(room)
    (archive / "telemetry.jsonl").write_text("{}\n")
    [_] = room.applier.apply([room.settled(archive.name).change])
    room.intake.pending.drop(archive.name)
    (archive / "telemetry.jsonl").write_text("[]\n")
    for _ in range(GLANCES_PER_LOOK + 1):
        _take_turns(room)
    assert list(room.intake.pending) == [archive.name]
    [(_, outcome)] = room.applier.apply([room.settled(archive.name).change])
    assert isinstance(outcome, Outcome)
    assert outcome.kind is OutcomeKind.UNCHANGED


def test_an_archive_that_nobody_edits_is_looked_at_whole_again_only_after_some_glances(room: Room) -> None:
    archive = _archive(room)
    [_] = room.applier.apply([room.settled(archive.name).change])
    room.intake.pending.drop(archive.name)
    turns = [_take_turns(room) for _ in range(2 * GLANCES_PER_LOOK + 2)]
    [first], *_ = turns
    many = GLANCES_PER_LOOK + 1
    assert [one.glances for [one] in turns] == [(first.glances + n) % many for n in range(2 * many)]
    assert len(room.intake.pending) == 0


class FullAfterASpoiledChange(Committer):
    """A change cannot go in, and by the time that its quarantine is written the disk is full."""

    spoiled = False

    def apply(self, changes: Sequence[Change]) -> Iterator[tuple[int, Outcome | Exception]]:
        if self.spoiled:
            raise IndexFull("no room")
        for position in range(len(changes)):
            self.spoiled = True
            yield position, RuntimeError("x")


def test_what_cannot_be_put_into_quarantine_for_lack_of_room_is_looked_at_again(room: Room) -> None:
    _archive(room)
    place = WatchedFolder(ARCHIVE, room.settings.archives_dir, frozenset(), NoEvents(), lambda _: 1)
    plain = rules_of(room.settings)
    rules = replace(plain, limits=replace(plain.limits, entries=1), quarantine_after=1)
    log = configure(level="error", form="json", stream=io.StringIO(), environ={})
    applier = FullAfterASpoiledChange(room.writer, lambda: 1_000)
    journal = DaemonLog(log, lambda: 0.0)
    folder = Folder(place, rules, room.writer, applier, journal, lambda _: None, lambda: 0.0)
    folder.rescan(0.0, may_write=True)
    with pytest.raises(IndexFull):
        folder.work(0.0, lambda: False)
    assert folder.next_due() is not None


class Asked(NoEvents):
    """Remembers from inside which archives events were asked for."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def enter(self, name: str) -> bool:
        self.names.append(name)
        return False


def test_events_are_asked_for_where_few_archives_wait_and_not_from_a_crowd(room: Room) -> None:
    names = Maker(room.settings.repo).add(3)
    events = Asked()
    place = WatchedFolder(ARCHIVE, room.settings.archives_dir, frozenset(), events, lambda _: 1)
    log = configure(level="error", form="json", stream=io.StringIO(), environ={})
    reader = Reader(place, rules_of(room.settings), room.intake, DaemonLog(log, lambda: 0.0))
    room.intake.note([f"other-{n}" for n in range(CROWD + 1)], 0.0)
    reader.look(room.root, names[0], 0.0)
    assert events.names == []
    room.intake.pending.drop("other-0")
    room.intake.pending.drop("other-1")
    reader.look(room.root, names[1], 0.0)
    assert events.names == [names[1]]
