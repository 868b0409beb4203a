"""Due looks at pending directories, and the reading of those that are settled. Reads, never writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from collectord import archive
from collectord.archive import CORE_FILES, ArchiveRoot, dir_stamp
from collectord.index.writer import Change, Seen
from collectord.intake.collect import (
    foreign_folder,
    is_known,
    read,
    refused_directory,
    undecodable,
    worktree_in_place,
)
from collectord.intake.queue import GLANCES_PER_LOOK, Intake, IntakeLog, Rules, Verified, WatchedFolder
from collectord.intake.settle import Pending, VerdictKind, after_failure, after_read, look
from collectord.model import Known, Observation, OutcomeKind, Reading
from collectord.system.names import readable_name

MAX_HELD_BYTES = 32 * 2**20
# While more wait, each is looked at in its turn: events would hurry few, and each costs a watch and a thread.
CROWD = 128
# The scan sorts these out as strays: they are no failing archives.
_STRAYS = (archive.NotADirectory, archive.IsSymlink)


class PendingChange(NamedTuple):
    """A change that waits for its transaction. `seen` is the look before the read; None: nothing to frame."""

    name: str
    pending: Pending | None
    seen: Observation | None
    change: Change

    @property
    def size(self) -> int:
        """Bytes of core files that are held."""
        files = self.change.files if isinstance(self.change, Reading) else ()
        return sum(len(file.data) for file in files)


class Reader:
    """Looks and reads in one folder; owned by the loop's thread. `mono` is seconds, monotonic."""

    def __init__(
        self,
        place: WatchedFolder,
        rules: Rules,
        intake: Intake,
        log: IntakeLog,
        wall_s: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._place, self._rules, self._intake, self._log = place, rules, intake, log
        self._wall_s = wall_s
        self._files = CORE_FILES[place.kind]
        # Of directories that are as the index has them, which does not know it yet, by name.
        self.glances: dict[str, str] = {}

    def verify(self, root: ArchiveRoot, name: str, doubted: Verified, mono: float) -> None:
        """One look at a directory that the index knows: verified as it is, or pending from now on."""
        known = self._intake.known(name)
        if readable_name(name) != name:
            return self._intake.verify(name, doubted)
        if doubted.glances < GLANCES_PER_LOOK and self._is_as_it_was(root, name, known):
            return self._intake.verify(name, Verified(doubted.stamp, doubted.glances + 1))
        try:
            seen = archive.observe(root, name, max_entries=self._rules.limits.entries)
        except archive.Vanished:
            return None
        except archive.ArchiveRefused as refusal:
            as_known = known is not None and known.reason == refused_directory(refusal)
        except OSError as error:
            return self._short_of(name, error, mono)
        else:
            as_known = is_known(known, seen.signature)
            if as_known and known is not None:
                self._note(known, seen)
        if as_known:
            return self._intake.verify(name, Verified(doubted.stamp))
        return self._intake.pending.touch(name, mono)

    def _is_as_it_was(self, root: ArchiveRoot, name: str, known: Known | None) -> bool:
        """Whether it and its core files are those of the last whole look; else a whole look says more."""
        if known is None or known.glance is None or not is_known(known, known.signature or ""):
            return False
        try:
            return archive.glance(root, name, self._files) == known.glance
        except (archive.Vanished, archive.ArchiveRefused, OSError):
            return False

    def _note(self, known: Known, seen: Observation) -> None:
        if (glance := archive.glance_of(seen, self._files)) != known.glance:
            self.glances[known.name] = glance

    def look(self, root: ArchiveRoot, name: str, mono: float) -> PendingChange | None:
        """One due look, and the read if it is settled; None if nothing comes of it this time.

        Raises Vanished. Whatever else happens counts as one try of that archive.
        """
        if readable_name(name) != name:
            return self._undecodable(name)
        self._listen(name)
        try:
            return self._look(root, name, mono)
        except archive.Vanished:
            raise
        except _STRAYS:
            self._forget(name)
        except archive.ArchiveRefused as refusal:
            return self._refused(name, refused_directory(refusal), mono)
        except MemoryError:
            raise
        except OSError as error:
            self._short_of(name, error, mono)
        except Exception as error:
            return self.failed(name, error, mono)
        return None

    def _listen(self, name: str) -> None:
        """Ask for events from inside; before the look, so that nothing happens unheard after it."""
        is_new = self._intake.known(name) is None or self._intake.pending.get(name) is not None
        if is_new and len(self._intake.pending) <= CROWD:
            self._place.events.enter(name)

    def frame(self, root: ArchiveRoot, held: PendingChange, mono: float) -> PendingChange | None:
        """The look after the read, right before the transaction; None if the bytes are not to be taken.

        Raises Vanished.
        """
        if held.seen is None or held.pending is None:
            return held
        try:
            after = archive.observe(root, held.name, max_entries=self._rules.limits.entries)
        except archive.ArchiveRefused as refusal:
            return self._refused(held.name, refused_directory(refusal), mono)
        except OSError as error:
            self._short_of(held.name, error, mono)
            return None
        whole = held.change.whole if isinstance(held.change, Reading) else False
        pending, verdict = after_read(held.pending, after, core_ok=whole, mono=mono, rules=self._rules.settle)
        if verdict.kind in (VerdictKind.ACCEPT, VerdictKind.ACCEPT_PARTIAL):
            return held._replace(pending=pending)
        if isinstance(held.change, Seen) and pending.failures >= self._rules.quarantine_after:
            return held._replace(pending=pending, change=replace(held.change, tries=pending.failures))
        self._intake.pending.put(pending, verdict.until)
        return None

    def failed(self, name: str, error: Exception, mono: float) -> PendingChange | None:
        """Counts an unexpected error as a try of that archive."""
        self._log.failed(name, error)
        return self._tried(name, f"unexpected: {type(error).__name__}", mono)

    def _look(self, root: ArchiveRoot, name: str, mono: float) -> PendingChange | None:
        seen = archive.observe(root, name, max_entries=self._rules.limits.entries)
        known = self._intake.known(name)
        if known is not None and is_known(known, seen.signature):
            self._note(known, seen)
            self._intake.verify(name, self.verified(seen))
            self._place.events.leave(name)
            return None
        kind = self._place.kind
        if ignored := worktree_in_place(kind, seen) or foreign_folder(kind, seen):
            return PendingChange(name, None, seen, ignored)
        pending, verdict = look(
            self._intake.pending.get(name), seen, mono=mono, rules=self._rules.settle, wall_s=self._wall_s()
        )
        self._intake.pending.put(pending, verdict.until)
        if verdict.kind is VerdictKind.WAITING:
            return None
        change = read(root, seen, self._rules.limits, self._place.kind)
        return PendingChange(name, pending, seen, change)

    def _short_of(self, name: str, error: OSError, mono: float) -> None:
        """This process is short of something: look again in a second. An archive's own comes as a refusal."""
        self._log.short_of(error)
        self._intake.pending.touch(name, mono + 1.0)

    def _undecodable(self, name: str) -> PendingChange | None:
        known = self._intake.known(name)
        change = undecodable(self._place.kind, readable_name(name))
        if known is not None and known.reason == change.reason and known.gone_ms is None:
            self._forget(name)
            return None
        return PendingChange(name, None, None, change)

    def _refused(self, name: str, reason: str, mono: float) -> PendingChange | None:
        """The directory cannot be read as an archive; what is in quarantine for that already stays there."""
        known = self._intake.known(name)
        if known is not None and (known.signature, known.reason, known.gone_ms) == (None, reason, None):
            self._forget(name)
            return None
        return self._tried(name, reason, mono)

    def _tried(self, name: str, reason: str, mono: float) -> PendingChange | None:
        before = self._intake.pending.get(name)
        pending = after_failure(before, name, mono=mono, rules=self._rules.settle)
        if pending.failures < self._rules.quarantine_after:
            self._intake.pending.put(pending, pending.retry_at)
            return None
        change = Seen(
            self._place.kind,
            readable_name(name),
            OutcomeKind.QUARANTINED,
            pending.signature or None,
            reason,
            tries=pending.failures,
        )
        return PendingChange(name, pending, None, change)

    def verified(self, seen: Observation) -> Verified:
        """What that look showed of the directory."""
        return Verified(dir_stamp(seen.dir_mtime_ns, seen.dir_ctime_ns, seen.inode))

    def _forget(self, name: str) -> None:
        self._intake.pending.drop(name)
        self._place.events.leave(name)
