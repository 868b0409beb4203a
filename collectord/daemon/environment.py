"""The daemon's eye on the environment: looks, waits for edits to settle, and follows up on what it sees."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from collectord.config import Settings
from collectord.daemon.daemon_log import DaemonLog, times_in_words
from collectord.daemon.jobs import Jobs
from collectord.daemon.publishing import Publisher, Settling
from collectord.epochs import requests
from collectord.epochs.evaluate import evaluate, note_unreadable
from collectord.epochs.json_views import Remembered, summary_of
from collectord.epochs.observe import Look, launches_of_interest, note_look, take_look
from collectord.epochs.outline import KeptOutline
from collectord.epochs.rules import overrides_from
from collectord.epochs.survey import Memory
from collectord.epochs.timeline import DAEMON, START
from collectord.index.alerts import Notice
from collectord.index.environments import has_closing, kernel_sessions, known_fingerprint, store_kernel_look
from collectord.index.queries import requeue
from collectord.index.writer import IndexWriter, KnownKey
from collectord.intake.commit import Committer
from collectord.kernel.jsonio import JsonObject
from collectord.kernel.policy import PolicyUnreadable
from collectord.model import KernelSession, Launch
from collectord.repo.kernel_processes import KernelFinder
from collectord.repo.policy import PolicyReader, WorkingTree

LOOK_EVERY_S = 5.0
# Epochs open, close and are sealed in the course of things.
NORMAL = "epoch."
# Between two changes a look is noted only so often: each note is a write.
NOTE_EVERY_S = 30.0
# With many runs a follow-up takes a while: it may take at most a tenth of the time, and less while many
# archives wait to be read, as each batch would ask for one.
SHARE = 10.0
LONGEST_PAUSE_S = 30.0


@dataclass
class _Files:
    """The files that a kernel reads which is started in one way, and how far the looks at them are.

    At `seen_ms` the environment that is known still stood; not every such look is noted.
    """

    reader: PolicyReader
    edit: Settling
    source: str = START
    noted_at: float = float("-inf")
    unreadable: PolicyUnreadable | None = None
    seen_ms: int | None = None
    has_universe: bool = field(default=True)


class Hands(Protocol):
    """What a request has done to the watched folders."""

    def look_again(self, keys: Collection[KnownKey]) -> None:
        """Look at these directories soon."""

    def accept_gone(self) -> None:
        """Believe that what the next scan misses is gone."""

    def are_crowded(self) -> bool:
        """Whether so much waits to be read that all else can wait."""


class EnvironmentTask:
    """Belongs to the loop's thread. A look costs a few milliseconds while nothing changes."""

    name = "environment"

    def __init__(
        self,
        settings: Settings,
        writer: IndexWriter,
        jobs: Jobs,
        applier: Committer,
        journal: DaemonLog,
        wall_ms: Callable[[], int],
        hands: Hands,
    ) -> None:
        self._hands = hands
        section = settings.config.environment
        self._settings, self._writer, self._applier = settings, writer, applier
        self._journal, self._wall_ms = journal, wall_ms
        self._overrides = overrides_from(section)
        self._seal_after_ms = int(section.seal_after * 1000) or None
        self._every_s = min(LOOK_EVERY_S, settings.config.watch.poll_interval, max(0.1, section.debounce / 4))
        self._remembered: Remembered = {}
        self._memory = Memory()
        # With the code that runs here, whatever is installed meanwhile.
        self._kept, self._kept_key = KeptOutline(settings), ""
        self._finder = KernelFinder(settings.repo)
        self._kernels_seen: list[tuple[int, Launch]] | None = None
        self._kernels_seen_ms: int | None = None
        self._kernels_noted_at = self._next_kernels = float("-inf")
        self._debounce_s = section.debounce
        self._files: dict[Launch | None, _Files] = {None: self._files_of(None)}
        self._publisher = Publisher(writer, jobs, journal, section.debounce)
        self._next = self._not_before = float("-inf")
        self._applied: int | None = None
        self._closing = True

    def due_at(self) -> float:
        """The next look."""
        return self._next

    def run(self, mono: float) -> None:
        """Carry out requests, look, and follow up where something changed or waits."""
        self._next = mono + self._every_s
        changed = self._carry_out_requests()
        changed = self._look(self._files[None], mono) or changed
        changed = self._look_for_kernels(mono) or changed
        for files in [files for launch, files in self._files.items() if launch is not None]:
            changed = self._look(files, mono) or changed
        waits = self._applied != self._applier.applied or self._closing or self._publisher.waits
        if changed or (waits and mono >= self._not_before):
            self._follow_up(mono)

    def _files_of(self, launch: Launch | None) -> _Files:
        reader = PolicyReader(WorkingTree(self._settings.repo), launch)
        return _Files(reader, Settling(self._debounce_s))

    def _look_for_kernels(self, mono: float) -> bool:
        """With every rescan, and when an archive came: whether a kernel began or ended."""
        if mono < self._next_kernels and self._applied == self._applier.applied:
            return False
        self._next_kernels = mono + self._settings.config.watch.poll_interval
        seen = self._finder.look(self._wall_ms())
        running = [(session.pid, session.launch) for session in seen.kernels]
        self._kernels_seen_ms, before_ms = seen.at_ms, self._kernels_seen_ms
        if running == self._kernels_seen and mono < self._kernels_noted_at + NOTE_EVERY_S:
            return False
        with self._writer.transaction() as connection:
            changed = store_kernel_look(connection, seen.kernels, seen.at_ms, before_ms)
            self._follow_launches(kernel_sessions(connection))
        self._kernels_seen, self._kernels_noted_at = running, mono
        return changed

    def _follow_launches(self, sessions: list[KernelSession]) -> None:
        """Look at the files of the kernels that there are, and of no others any more."""
        wanted = launches_of_interest(sessions, self._files[None].has_universe)
        launches: list[Launch | None] = [None, *wanted]
        self._files = {launch: self._files.get(launch) or self._files_of(launch) for launch in launches}

    def _carry_out_requests(self) -> bool:
        done = False
        for path, request in requests.left(self._settings.state_dir):
            try:
                self._carry_out(request or {})
            except (KeyError, TypeError, ValueError) as error:
                self._journal.log.warning("request.refused", path=str(path), said=repr(error))
            path.unlink(missing_ok=True)
            done = True
        return done

    def _carry_out(self, request: JsonObject) -> None:
        if request["kind"] == requests.ACCEPT_GONE:
            self._hands.accept_gone()
            return
        if request["kind"] == requests.REQUEUE:
            requeued = requeue(self._writer, request["names"])
            self._hands.look_again(requeued)
            self._journal.requeued(len(requeued), "somebody asked for it")
            return
        with self._writer.transaction() as connection:
            requests.carry_out(connection, request)

    def _look(self, files: _Files, mono: float) -> bool:
        """One look; whether another environment stands now. An edit counts when it has settled."""
        look = take_look(files.reader, self._wall_ms())
        files.has_universe = look.has_universe
        with self._writer.transaction() as connection:
            known = known_fingerprint(connection, look.launch)
        seen = look.environment.fingerprint if look.environment else None
        if seen is not None and known in (None, seen):
            files.edit.clear()
            files.seen_ms = None if known is None else look.at_ms
            is_due = files.unreadable is not None or mono >= files.noted_at + NOTE_EVERY_S
            return is_due and self._note(files, look, mono)
        what = (seen, str(look.unreadable), look.modified_ms)
        return files.edit.is_settled(what, mono) and self._note(files, look, mono)

    def _note(self, files: _Files, look: Look, mono: float) -> bool:
        files.unreadable = look.unreadable
        unreadable = [found for each in self._files.values() if (found := each.unreadable) is not None]
        with self._writer.transaction() as connection:
            changed = note_look(connection, look, files.source, files.seen_ms)
            notices = note_unreadable(connection, unreadable, look.at_ms)
        files.noted_at, files.source = mono, DAEMON
        self._log(notices)
        return changed

    def _follow_up(self, mono: float) -> None:
        begun = time.perf_counter()
        self._applied = self._applier.applied
        # Put back only when all went well: after a failure everything is read again.
        memory, self._memory = self._memory, Memory()
        changed = self._applier.take_changed()
        with self._writer.transaction() as connection:
            done = evaluate(
                connection,
                self._settings.repo,
                self._overrides,
                now_ms=self._wall_ms(),
                seal_after_ms=self._seal_after_ms,
                remembered=self._remembered,
                memory=memory,
                changed=changed,
            )
            self._closing = has_closing(connection)
            self._publisher.look(connection, done.survey, mono)
            key = self._kept.key(connection)
        self._memory = memory
        if key != self._kept_key:
            self._kept.save(key, done.survey)
            self._kept_key = key
        self._log(done.notices)
        pause_s = LONGEST_PAUSE_S if self._hands.are_crowded() else SHARE * (time.perf_counter() - begun)
        self._not_before = mono + min(LONGEST_PAUSE_S, pause_s)

    def _log(self, notices: Iterable[Notice]) -> None:
        """One line each: what, in a sentence, and its fields."""
        for notice in notices:
            level = "info" if notice.is_resolved or notice.event.startswith(NORMAL) else "warning"
            said = summary_of(notice.event, notice.fields)
            if notice.is_resolved:
                self._journal.alert_resolved(notice.event, said)
                continue
            fields = {"said": said, **notice.fields, **times_in_words(notice.fields)}
            self._journal.line(level, notice.event, fields)
