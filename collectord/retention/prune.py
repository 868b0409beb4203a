"""Heavy parts of archives removed, and whole ones where the index can bring their core files back."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from collectord import archive
from collectord.archive import ARCHIVE_FILES, OPEN_DIRECTORY, ArchiveRoot, glance_of, open_archive
from collectord.errors import CollectordError, IndexDamaged, LockHeld
from collectord.index.opening import now_ms, reader_for, writer_for
from collectord.index.reader import CurrentFiles, IndexReader
from collectord.index.writer import Gone, Seen
from collectord.model import ARCHIVE, Known, Observation, OutcomeKind
from collectord.retention.plan import Ages, Due, Facts, due, leave_note, objection
from collectord.system.durable import NO_ROOM
from collectord.system.lock import StateLock
from collectord.system.names import OWN_PREFIX, readable_name

if TYPE_CHECKING:
    from collectord.config import Settings
    from collectord.index.reader import IndexReader
    from collectord.index.writer import Change
    from collectord.retention.plan import Ages


MAX_DEPTH = 200


class TreeRefused(CollectordError):
    """A tree is not entered; what was removed before stays removed."""


def size_of_entry(parent_fd: int, name: str, device: int) -> int:
    """Bytes on disk of an entry and all below it; raises TreeRefused and OSError."""
    return _walk(parent_fd, name, device, MAX_DEPTH, remove=False)


def remove_entry(parent_fd: int, name: str, device: int) -> int:
    """Remove an entry and all below it; returns the bytes it took. A link is removed, not followed.

    Raises TreeRefused for another device or a tree that is too deep, and OSError.
    """
    return _walk(parent_fd, name, device, MAX_DEPTH, remove=True)


def _walk(parent_fd: int, name: str, device: int, depth: int, *, remove: bool) -> int:
    own = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
    size = own.st_blocks * 512
    if not _is_directory(own):
        if remove:
            os.unlink(name, dir_fd=parent_fd)
        return size
    with _opened(parent_fd, name, device, depth) as fd:
        size += sum(_walk(fd, entry, device, depth - 1, remove=remove) for entry in os.listdir(fd))
    if remove:
        os.rmdir(name, dir_fd=parent_fd)
    return size


def _is_directory(own: os.stat_result) -> bool:
    return own.st_mode & 0o170000 == 0o040000


@contextmanager
def _opened(parent_fd: int, name: str, device: int, depth: int) -> Iterator[int]:
    if depth == 0:
        raise TreeRefused(f"{name}: lies deeper than {MAX_DEPTH} levels; remove the archive by hand")
    # Between the look and this a link may have come into its place: the open fails on it.
    fd = os.open(name, OPEN_DIRECTORY, dir_fd=parent_fd)
    try:
        if os.fstat(fd).st_dev != device:
            raise TreeRefused(f"{name}: something is mounted there; unmount it first")
        yield fd
    finally:
        os.close(fd)


# Out of the way and not looked at yet: whoever finds it puts it back.
CHECKING = f"{OWN_PREFIX}checking-"
# Looked at and found restorable: whoever finds it removes the rest.
DOOMED = f"{OWN_PREFIX}pruning-"
MAX_ENTRIES = 10_000


@dataclass(frozen=True, slots=True)
class Removal:
    """What is to be removed of one archive, as it looked then, and the bytes that it takes."""

    name: str
    due: Due
    seen: Observation
    bytes: int


@dataclass
class PrunePlan:
    """Removals, and the archives that keep what is due, with the reason.

    `stuck` is what an earlier prune had out of the way and cannot get its name back.
    """

    removals: list[Removal] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    stuck: dict[str, str] = field(default_factory=dict)


@dataclass
class Pruned:
    """What was removed: signatures of the archives that are left, names of those that are gone."""

    touched: dict[str, str] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    bytes: int = 0


class InTheWay(CollectordError):
    """What was taken out of the way cannot go back: its name is taken."""


def put_back_unchecked(root: ArchiveRoot) -> tuple[list[str], dict[str, str]]:
    """Give what a killed prune had out of the way, and not checked, its name again.

    Returns the names, and what could not go back with the reason. No prune may run meanwhile.
    """
    back, stuck = [], {}
    for hidden, _ in list(archive.names(root)):
        if hidden.startswith(CHECKING):
            name = hidden.removeprefix(CHECKING)
            try:
                _put_back(root, hidden, name)
                back.append(readable_name(name))
            except (CollectordError, OSError) as error:
                stuck[readable_name(hidden)] = f"left by an earlier prune: {error}"
    return back, stuck


def _put_back(root: ArchiveRoot, hidden: str, name: str) -> None:
    if is_there(root, name):
        raise InTheWay(f"{hidden}: cannot go back to its name, which is taken; rename one of them by hand")
    _rename(root, hidden, name)


def _rename(root: ArchiveRoot, name: str, to: str) -> None:
    os.rename(name, to, src_dir_fd=root.fd, dst_dir_fd=root.fd)


def is_there(root: ArchiveRoot, name: str) -> bool:
    """Whether something has that name in the archives folder; no file can have one with a NUL in it."""
    try:
        os.stat(name, dir_fd=root.fd, follow_symlinks=False)
    except (FileNotFoundError, ValueError):
        return False
    return True


class Pruner:
    """Plans and carries out; what the index says is read through one view of it."""

    def __init__(self, reader: IndexReader, root: ArchiveRoot, ages: Ages) -> None:
        self._reader, self._root, self._ages = reader, root, ages
        self._current = CurrentFiles(reader.connection)

    def plan(self, now_ms: int) -> PrunePlan:
        """Look at every archive that is there; nothing is removed."""
        plan = PrunePlan()
        for known in self._reader.known():
            if known.kind != ARCHIVE or known.gone_ms is not None or known.revision is None:
                continue
            try:
                self._consider(plan, known, now_ms)
            except archive.Vanished:
                continue
            except (archive.ArchiveRefused, TreeRefused, OSError, ValueError) as error:
                plan.kept[known.name] = str(error)
        return plan

    def _consider(self, plan: PrunePlan, known: Known, now_ms: int) -> None:
        seen = archive.observe(self._root, known.name, max_entries=MAX_ENTRIES)
        age_s = (now_ms - seen.newest_mtime_ns // 1_000_000) / 1000
        wanted = due((entry.name for entry in seen.entries), age_s, self._ages)
        if wanted is None:
            return
        core = self._current.of(known.name)
        entries = frozenset(entry.name for entry in seen.entries)
        # An edit beside the core files, such as of a log, moves the signature and nothing that is kept.
        unchanged = known.signature == seen.signature or known.glance == glance_of(seen, ARCHIVE_FILES)
        facts = Facts(known.state, unchanged, self._stored(core), frozenset(core), entries)
        why = objection(facts, wanted)
        if why is not None:
            plan.kept[known.name] = why
            return
        parts = tuple(sorted(entries)) if wanted.whole else wanted.parts
        plan.removals.append(Removal(known.name, wanted, seen, self._measure(known.name, parts)))

    def _stored(self, core: dict[str, str]) -> bool:
        """Whether every core file is in the index with its digest."""
        try:
            for digest in core.values():
                self._reader.artifact(digest)
        except (KeyError, IndexDamaged):
            return False
        return bool(core)

    def _measure(self, name: str, parts: tuple[str, ...]) -> int:
        fd, own = open_archive(self._root, name)
        try:
            return sum(size_of_entry(fd, part, own.st_dev) for part in parts)
        finally:
            os.close(fd)

    def carry_out(self, plan: PrunePlan, done: Pruned) -> None:
        """Remove what was planned, archive by archive; `done` is right at every moment."""
        self._remove_doomed(done)
        for removal in plan.removals:
            try:
                done.bytes += self._whole(removal, done) if removal.due.whole else self._parts(removal, done)
            except archive.Vanished:
                pass
            except (CollectordError, OSError) as error:
                done.kept[removal.name] = str(error)

    def _remove_doomed(self, done: Pruned) -> None:
        """What a killed prune had checked already."""
        for name, _ in list(archive.names(self._root)):
            if name.startswith(DOOMED):
                self._remove(name, "left by an earlier prune", done)

    def _parts(self, removal: Removal, done: Pruned) -> int:
        if (
            archive.observe(self._root, removal.name, max_entries=MAX_ENTRIES).signature
            != removal.seen.signature
        ):
            done.kept[removal.name] = "it changed meanwhile"
            return 0
        fd, own = open_archive(self._root, removal.name)
        try:
            freed = sum(remove_entry(fd, part, own.st_dev) for part in removal.due.parts)
        finally:
            os.close(fd)
        left = archive.observe(self._root, removal.name, max_entries=MAX_ENTRIES)
        # Somebody who wrote a core file meanwhile must be read again: then the look is not noted.
        names = set(removal.due.parts)
        if tuple(e for e in removal.seen.entries if e.name not in names) == left.entries:
            done.touched[removal.name] = left.signature
        return freed

    def _whole(self, removal: Removal, done: Pruned) -> int:
        """Out of the way first, looked at again there, where nobody finds it to change it, then removed."""
        checking, doomed = f"{CHECKING}{removal.name}", f"{DOOMED}{removal.name}"
        _rename(self._root, removal.name, checking)
        try:
            if self._is_restorable(checking, removal):
                _rename(self._root, checking, doomed)
        finally:
            if unfit := is_there(self._root, checking):
                _put_back(self._root, checking, removal.name)
        if unfit:
            done.kept[removal.name] = "it changed meanwhile"
            return 0
        done.gone.append(removal.name)
        return self._remove(doomed, f"{removal.name} is gone, but this rest of it could not be removed", done)

    def _remove(self, doomed: str, otherwise: str, done: Pruned) -> int:
        try:
            return remove_entry(self._root.fd, doomed, self._root.device)
        except (CollectordError, OSError) as error:
            done.kept[readable_name(doomed)] = f"{otherwise}: {error}"
            return 0

    def _is_restorable(self, doomed: str, removal: Removal) -> bool:
        """Whether it is as it was planned, and its core files are byte for byte those of the index."""
        if archive.observe(self._root, doomed, max_entries=MAX_ENTRIES).entries != removal.seen.entries:
            return False
        core = self._current.of(removal.name)
        read = archive.read_core(self._root, doomed, sorted(core), max_bytes=2**31)
        return {file.name: file.sha256 for file in read.files} == core


Agree = Callable[["PrunePlan"], bool]


def prune(
    settings: Settings, ages: Ages, agree: Agree, *, dry_run: bool = False
) -> tuple[PrunePlan, Pruned | None]:
    """Plan, ask, and remove; without agreement nothing is removed, and a dry run moves nothing at all.

    Beside a daemon the index is only read: the daemon sees by itself that what is left did not change, and
    takes the names of those that are gone from a note. Raises LockHeld beside another prune.
    """
    with ExitStack() as held:
        reader = held.enter_context(reader_for(settings))
        if not dry_run:
            held.enter_context(StateLock.acquire(prune_lock(settings), "collectord prune"))
        return _prune(settings, reader, ages, agree, dry_run)


def prune_lock(settings: Settings) -> Path:
    """PendingChange while a prune may have archives out of the way."""
    return settings.state_dir / "prune.lock"


def _prune(
    settings: Settings, reader: IndexReader, ages: Ages, agree: Agree, dry_run: bool
) -> tuple[PrunePlan, Pruned | None]:
    with ArchiveRoot(settings.archives_dir) as root:
        stuck = {} if dry_run else put_back_unchecked(root)[1]
        pruner = Pruner(reader, root, ages)
        plan = pruner.plan(now_ms())
        plan.stuck = stuck
        if not agree(plan):
            return plan, None
        done = Pruned(kept=plan.kept | stuck)
        began_ms = _announce(settings, plan)
        try:
            pruner.carry_out(plan, done)
        finally:
            _note(settings, done, began_ms)
    return plan, done


def _announce(settings: Settings, plan: PrunePlan) -> int:
    """Leave the note first: whoever is killed cannot any more. Returns its time."""
    began_ms = now_ms()
    try:
        leave_note(settings.state_dir, [one.name for one in plan.removals if one.due.whole], began_ms)
    except OSError as error:
        # A full disk is what a prune is called for; the note at its end then finds room.
        if error.errno not in NO_ROOM:
            raise
    return began_ms


def _note(settings: Settings, done: Pruned, began_ms: int) -> None:
    """Tell the index that what is left is unchanged and what was removed is gone, or whoever writes it."""
    changes: list[Change] = [Gone(ARCHIVE, name) for name in done.gone]
    for name, signature in done.touched.items():
        changes.append(Seen(ARCHIVE, name, OutcomeKind.UNCHANGED, signature))
    gone_for_others = done.gone
    if changes:
        with suppress(LockHeld), writer_for(settings, "collectord prune") as writer:
            now = now_ms()
            writer.apply(changes, now_ms=now, first_ingest_ms=writer.first_ingest_ms(now))
            gone_for_others = []
    leave_note(settings.state_dir, gone_for_others, began_ms)
