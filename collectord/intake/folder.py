"""What scans do not find: weighed, told, and at last believed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from collectord import archive
from collectord.archive import ArchiveRoot
from collectord.errors import INDEX_FAULTS
from collectord.index.writer import Change, Gone, IndexWriter, Seen
from collectord.intake.absence import AbsenceRules, AbsenceState, weigh
from collectord.intake.commit import Committer
from collectord.intake.look import MAX_HELD_BYTES, PendingChange, Reader
from collectord.intake.queue import Intake, IntakeLog, Rules, Scan, WatchedFolder
from collectord.intake.settle import PendingSet, is_stuck, waits_for
from collectord.model import Outcome, OutcomeKind, Reading
from collectord.system.names import readable_name


class Absences:
    """The memory between the scans of one folder; owned by the loop's thread.

    While `held` says so nothing is concluded: archives go away by our own hand, which tells which.
    """

    def __init__(
        self, folder: Path, rules: AbsenceRules, log: IntakeLog, held: Callable[[], bool], state: AbsenceState
    ) -> None:
        self._folder, self._rules, self._log, self._held = folder, rules, log, held
        self._accepts = False
        self.state = state

    def accept(self) -> None:
        """Somebody says that what the next good scan misses is gone."""
        self._accepts = True

    def weigh(
        self, known: AbstractSet[str], present: AbstractSet[str], root: Hashable | None, mono: float
    ) -> frozenset[str]:
        """The names that are gone from now on. `root` is None after a scan that proves nothing."""
        before = self.state.alarm
        scan_ok = root is not None and not self._held()
        rules = replace(self._rules, at_once=self._rules.at_once or self._accepts)
        self._accepts = self._accepts and not scan_ok
        found = weigh(
            self.state,
            known=known,
            present=present,
            scan_ok=scan_ok,
            root=root,
            mono=mono,
            rules=rules,
        )
        self.state = found.state
        if found.alarm != before:
            self._log.absence_alarm(self._folder, found.alarm)
        return found.gone_now

    @property
    def alarm(self) -> str | None:
        """The alarm that stands, as a sentence."""
        alarm = self.state.alarm
        if alarm is None:
            return None
        return f"{alarm.missing} of {alarm.known} known archives are missing: nothing is marked gone yet"


class Waiting(NamedTuple):
    """An archive that is not accepted yet: since when (monotonic seconds), and for what."""

    name: str
    since: float
    is_stalled: bool
    waits_for: str


LOOKS_PER_TURN = 500
_LATER_S = 1.0


class Folder:
    """One folder from the scan to the index, for the daemon and for a pass by hand; owned by one thread.

    `vanished` is told of each archive that was removed before it was read. `absence` is what is remembered of
    missing ones; while `held` says so, none is concluded to be gone.
    """

    def __init__(
        self,
        place: WatchedFolder,
        rules: Rules,
        writer: IndexWriter,
        applier: Committer,
        log: IntakeLog,
        vanished: Callable[[str], None],
        mono: Callable[[], float],
        *,
        held: Callable[[], bool] = lambda: False,
        wall_s: Callable[[], float | None] = lambda: None,
        absence: AbsenceState | None = None,
        turn: int | None = 0,
    ) -> None:
        self.place = place
        self._rules, self._writer, self._applier, self._log = rules, writer, applier, log
        self._vanished, self._mono = vanished, mono
        self.intake = Intake(place, writer.known, PendingSet(rules.settle), turn)
        self._reader = Reader(place, rules, self.intake, log, wall_s)
        self.absences = Absences(place.path, rules.absence, log, held, absence or AbsenceState())
        self._identity: Hashable | None = None
        self._not_before = 0.0

    def next_due(self) -> float | None:
        """When there is work; monotonic seconds, None if none is planned."""
        due = 0.0 if self.intake.doubtful else self.intake.pending.next_due()
        return None if due is None else max(due, self._not_before)

    def lag_s(self, mono: float) -> float:
        """By how much the oldest due look is late."""
        due = self.intake.pending.next_due()
        return 0.0 if due is None else max(0.0, mono - due)

    def waiting(self) -> list[Waiting]:
        """The archives that are not accepted yet, those that are stuck first, then the longest waiting."""
        found = [
            Waiting(p.name, p.first_seen, is_stuck(p, self._rules.settle), waits_for(p, self._rules.settle))
            for p in self.intake.pending.looked_at()
        ]
        return sorted(found, key=lambda one: (not one.is_stalled, one.since, one.name))

    def counts(self) -> tuple[int, int]:
        """(archives not accepted yet, those of them that are stuck)."""
        pending = self.intake.pending
        stuck = sum(is_stuck(looked, self._rules.settle) for looked in pending.looked_at())
        return len(pending), stuck

    def rescan(self, mono: float, *, may_write: bool, names: AbstractSet[str] | None = None) -> Scan | None:
        """Scans the folder, or only for these names; None where there is none to scan."""
        scan = self._scan(mono, names)
        gone = self._weigh(scan, mono) if names is None else frozenset()
        if may_write and scan is not None:
            changes: list[Change] = [Gone(self.place.kind, name) for name in sorted(gone)]
            changes += self._strays(scan)
            self._write_unread(changes)
        return scan

    def _weigh(self, scan: Scan | None, mono: float) -> frozenset[str]:
        known = self._here() if scan else frozenset()
        identity = self._identity if scan is not None and scan.is_healthy else None
        return self.absences.weigh(known, scan.present if scan else frozenset(), identity, mono)

    def work(self, mono: float, stopping: Callable[[], bool]) -> None:
        """Does a bounded piece of what is due, in at most one batch of reads."""
        due = self.next_due()
        if due is None or due > mono:
            return
        try:
            with ArchiveRoot(self.place.path) as root:
                if self._is_same(root):
                    self._verify(root)
                    self._take_due(root, stopping)
                    return
        except archive.RootUnusable:
            pass
        self._not_before = mono + _LATER_S

    def _scan(self, mono: float, names: AbstractSet[str] | None) -> Scan | None:
        try:
            with ArchiveRoot(self.place.path) as root:
                identity = self.place.evidence(root)
                if identity is None:
                    return None
                if identity != self._identity:
                    self.intake.reset(PendingSet(self._rules.settle))
                    self._identity = identity
                listed = archive.list_names(root)
                if names is not None:
                    listed = [name for name in listed if readable_name(name) in names]
                scan = self.intake.take_scan(archive.scan(root, listed, self.intake.verified), mono)
                return replace(scan, is_healthy=self.place.evidence(root) == identity)
        except (archive.RootUnusable, OSError):
            return None

    def _is_same(self, root: ArchiveRoot) -> bool:
        """Whether this is the healthy folder that was scanned last: only there can anything vanish."""
        identity = self.place.evidence(root)
        return identity is not None and identity == self._identity

    def _here(self) -> frozenset[str]:
        kind = self.place.kind
        known = self._writer.known.items()
        return frozenset(name for (of, name), one in known if of == kind and one.gone_ms is None)

    def _strays(self, scan: Scan) -> Iterator[Change]:
        for name, reason in scan.strays:
            known = self.intake.known(name)
            if known is None or (known.state, known.reason, known.gone_ms) != (
                OutcomeKind.IGNORED,
                reason,
                None,
            ):
                yield Seen(self.place.kind, readable_name(name), OutcomeKind.IGNORED, None, reason)

    def _write_unread(self, changes: list[Change]) -> None:
        for start in range(0, len(changes), self._rules.batch):
            batch = changes[start : start + self._rules.batch]
            for position, result in self._applier.apply(batch):
                if isinstance(result, Outcome):
                    self._log.closing(self.place.kind, result, None)
                else:
                    self._log.failed(batch[position].name, result)

    def _verify(self, root: ArchiveRoot) -> None:
        for name, doubted in self.intake.take_doubtful(LOOKS_PER_TURN):
            self._reader.verify(root, name, doubted, self._mono())
        self._note_glances()

    def _note_glances(self) -> None:
        """Where an older collectord, or nobody yet, wrote down what a look showed."""
        if glances := self._reader.glances:
            self._reader.glances = {}
            self._writer.note_glances({(self.place.kind, name): glance for name, glance in glances.items()})

    def _take_due(self, root: ArchiveRoot, stopping: Callable[[], bool]) -> None:
        held: list[PendingChange] = []
        size = 0
        for _ in range(LOOKS_PER_TURN):
            names = [] if stopping() else self.intake.pending.due(self._mono(), 1)
            if not names:
                break
            try:
                found = self._reader.look(root, names[0], self._mono())
            except archive.Vanished:
                self._note_absence(root, names[0])
                continue
            if found is not None:
                held.append(found)
                size += found.size
            if len(held) >= self._rules.batch or size >= MAX_HELD_BYTES:
                break
        self._write(self._framed(root, held))
        self._note_glances()

    def _framed(self, root: ArchiveRoot, held: Iterable[PendingChange]) -> list[PendingChange]:
        framed: list[PendingChange] = []
        for one in held:
            try:
                found = self._reader.frame(root, one, self._mono())
            except archive.Vanished:
                self._note_absence(root, one.name)
                continue
            if found is not None:
                framed.append(found)
        return framed

    def _note_absence(self, root: ArchiveRoot, name: str) -> None:
        if not self._is_same(root):
            self.intake.pending.touch(name, self._mono() + _LATER_S)
            return
        # A name that only an event gave may have been anything; one that was looked at was a directory.
        was_seen = self.intake.pending.get(name) is not None
        self._forget(name)
        if was_seen and self.intake.known(name) is None:
            self._vanished(name)

    def _write(self, held: list[PendingChange]) -> None:
        waiting = dict(enumerate(held))
        try:
            for position, result in self._applier.apply([one.change for one in held]):
                self._close(waiting[position], result)
                del waiting[position]  # only now: closing may write as well, and find the index full
        except INDEX_FAULTS:
            for one in waiting.values():
                self.intake.pending.touch(one.name, self._mono())
            raise

    def _close(self, held: PendingChange, result: Outcome | Exception) -> None:
        if isinstance(result, Exception):
            again = self._reader.failed(held.name, result, self._mono())
            if again is not None:
                self._write_unread([again.change])
                self._forget(held.name)
            return
        self._forget(held.name)
        if held.seen is not None:
            self.intake.verify(held.name, self._reader.verified(held.seen))
        waited = self._mono() - held.pending.first_seen if held.pending else None
        run = held.change.run if isinstance(held.change, Reading) else None
        self._log.closing(self.place.kind, result, waited, run)

    def _forget(self, name: str) -> None:
        self.intake.pending.drop(name)
        self.place.events.leave(name)
