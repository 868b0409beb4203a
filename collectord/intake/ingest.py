"""Ingest by hand: one pass over everything that is there, in batches."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from collectord.archive import ArchiveRoot, RootUnusable
from collectord.epochs.requests import accept_gone_request, evaluate_by_hand, leave, look_by_hand
from collectord.errors import LockHeld
from collectord.index.alerts import Notice
from collectord.index.info import info, put_info
from collectord.index.opening import now_ms, writer_for
from collectord.index.writer import IndexWriter
from collectord.intake.absence import Alarm, state_from, state_json
from collectord.intake.collect import ingest_beads, ingest_events, lines_dropped
from collectord.intake.commit import Committer
from collectord.intake.folder import Folder
from collectord.intake.queue import NoEvents, Rules, WatchedFolder, rules_of
from collectord.intake.settle import rules_by_hand
from collectord.model import ARCHIVE, WORLD, WORLD_RUNS, Known, Outcome, OutcomeKind, Run
from collectord.system.gc_tuning import rare_collections
from collectord.system.lock import holder

if TYPE_CHECKING:
    from collectord.config import Settings


# An outcome, and how many archives the pass looks at in all.
Report = Callable[[Outcome, int], None]
# Where in index_info the missing archives of the last pass stand, by kind.
MISSING = "missing"
# How many passes there were: each takes a whole look at another part of the archives.
PASSES = "passes"


@dataclass
class IngestResult:
    """What one pass did: outcomes by kind, and what a person should look at."""

    outcomes: Counter[str] = field(default_factory=Counter)
    noted: list[Outcome] = field(default_factory=list)
    gone: int = 0
    missing_not_yet: int = 0
    missing_not_believed: int = 0
    issues_changed: int = 0
    events_read: int = 0
    issue_lines_dropped: list[int] = field(default_factory=list)
    not_found: frozenset[str] = frozenset()
    notices: list[Notice] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count an outcome, and keep it if it needs a person's attention."""
        self.outcomes[str(outcome.kind)] += 1
        if outcome.kind not in (OutcomeKind.INDEXED, OutcomeKind.UNCHANGED, OutcomeKind.IGNORED):
            self.noted.append(outcome)


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """How one pass goes; `names` limit it to some directories."""

    rules: Rules
    ignore: frozenset[str]
    names: frozenset[str] | None = None


@rare_collections()
def ingest_repo(
    writer: IndexWriter,
    repo: Path,
    archives_dir: Path,
    options: IngestOptions,
    *,
    clock_ms: Callable[[], int],
    report: Report = lambda _outcome, _total: None,
) -> IngestResult:
    """Bring the index up to date with a repo. Safe to stop at any point and to repeat.

    The event log and Beads come first, so that what an archive is joined with is known with it.
    """
    result = IngestResult()
    result.events_read = ingest_events(writer, repo)
    result.issues_changed = ingest_beads(writer, repo, clock_ms())
    result.issue_lines_dropped = lines_dropped(writer)
    committer = Committer(writer, clock_ms)
    folders = ((ARCHIVE, archives_dir, options.ignore), (WORLD, repo / WORLD_RUNS, frozenset[str]()))
    for kind, path, ignore in folders:
        if _is_usable(kind, path):
            place = WatchedFolder(kind, path, ignore, NoEvents(), _identity)
            _Pass(place, options, writer, committer, clock_ms, result, report).run()
    result.noted.sort(key=lambda outcome: outcome.name)
    with writer.transaction() as connection:
        put_info(connection, "last_ingest_ms", str(clock_ms()))
        put_info(connection, PASSES, str(int(info(connection, PASSES) or 0) + 1))
    return result


def _passes(writer: IndexWriter) -> int:
    return int(writer.info(PASSES) or 0)


def _is_usable(kind: str, path: Path) -> bool:
    """Whether there is such a folder; raises RootUnusable for archives that cannot be read all the same."""
    try:
        ArchiveRoot(path).close()
    except RootUnusable:
        if kind == ARCHIVE and path.exists():
            raise
        return False
    return True


def _identity(root: ArchiveRoot) -> str | None:
    """As a text: absences are weighed on by the next pass, which is another process."""
    return f"{root.device}:{root.inode}" if root.is_current() else None


class _Pass:
    """One pass over one folder on the wall clock; hears from the folder what becomes of its directories."""

    def __init__(
        self,
        place: WatchedFolder,
        options: IngestOptions,
        writer: IndexWriter,
        committer: Committer,
        clock_ms: Callable[[], int],
        result: IngestResult,
        report: Report,
    ) -> None:
        self._place, self._options, self._writer = place, options, writer
        self._clock_ms, self._result, self._report = clock_ms, result, report
        self._missing = f"{MISSING} {place.kind}"
        self._closed: set[str] = set()
        self._total = 0
        self._folder = Folder(
            place,
            options.rules,
            writer,
            committer,
            self,
            self._vanished,
            self._now_s,
            absence=state_from(writer.info(self._missing), self._now_s()),
            # Who asks for some by name wants them looked at.
            turn=_passes(writer) if options.names is None else None,
        )

    def run(self) -> None:
        """Read what changed, wait once for what is too young, and weigh what is missing."""
        scan = self._folder.rescan(self._now_s(), may_write=True, names=self._options.names)
        if scan is None:
            return
        self._total = len(scan.present)
        if self._options.names is not None and self._place.kind == ARCHIVE:
            self._result.not_found = self._options.names - scan.present
        self._work()
        if len(self._folder.intake.pending):
            time.sleep(self._options.rules.settle.min_age_s)
            self._work()
        for name in sorted(scan.present - self._closed):
            self._close_rest(name)
        if self._options.names is None:
            self._count_missing()

    def closing(self, _kind: str, outcome: Outcome, _waited_s: float | None, _run: Run | None = None) -> None:
        """A directory was taken or refused, or is believed to be gone."""
        if outcome.kind is OutcomeKind.VANISHED:
            self._result.gone += 1
            return
        self._done(outcome)

    def failed(self, _name: str, _error: Exception) -> None:
        """Its outcome says so."""

    def short_of(self, error: OSError) -> None:
        """Ends the pass: whoever started it is there to see to it."""
        raise error

    def absence_alarm(self, _folder: Path, _alarm: Alarm | None) -> None:
        """The counts say so."""

    def _now_s(self) -> float:
        return self._clock_ms() / 1000

    def _work(self) -> None:
        while (due := self._folder.next_due()) is not None and due <= self._now_s():
            self._folder.work(self._now_s(), lambda: False)

    def _vanished(self, name: str) -> None:
        self._done(Outcome(name, OutcomeKind.VANISHED, "went away while it was read"))

    def _close_rest(self, name: str) -> None:
        if name in self._folder.intake.pending:
            self._done(Outcome(name, OutcomeKind.SETTLING, "still being written"))
        elif known := self._writer.known.get((self._place.kind, name)):
            self._done(_unchanged(known))

    def _done(self, outcome: Outcome) -> None:
        self._closed.add(outcome.name)
        if self._place.kind == ARCHIVE:
            self._result.add(outcome)
            self._report(outcome, self._total)

    def _count_missing(self) -> None:
        state = self._folder.absences.state
        if state.since or self._writer.info(self._missing) is not None:
            self._writer.set_info(self._missing, state_json(state))
        self._result.missing_not_believed += len(state.suspects)
        self._result.missing_not_yet += len(state.since.keys() - state.suspects)


def _unchanged(known: Known) -> Outcome:
    same = (OutcomeKind.QUARANTINED, OutcomeKind.IGNORED)
    kind = OutcomeKind(known.state) if known.state in same else OutcomeKind.UNCHANGED
    return Outcome(known.name, kind, known.reason, known.revision)


DAEMON = "collectord run"  # who holds the lock while the daemon runs


@rare_collections()
def ingest(
    settings: Settings,
    *,
    names: frozenset[str] | None = None,
    accept_gone: bool = False,
    report: Report = lambda _outcome, _total: None,
) -> IngestResult:
    """One pass over archives, world runs, issues and event log, and one look at the environment."""
    options = ingest_options(settings, names=names, accept_gone=accept_gone)
    with _unless_the_daemon_does_it(settings), writer_for(settings, "collectord ingest") as writer:
        archives = settings.archives_dir
        notices = look_by_hand(settings, writer)
        result = ingest_repo(writer, settings.repo, archives, options, clock_ms=now_ms, report=report)
        result.notices += [*notices, *evaluate_by_hand(settings, writer)]
        return result


def may_lack_archives(settings: Settings) -> bool:
    """Whether it is no wonder that there is no archives folder: a Cyntra repo none of whose runs is known."""
    if not (settings.repo / ".cyntra").is_dir():
        return False
    if not settings.index_path.exists():
        return True
    with writer_for(settings, "collectord ingest") as writer:
        return not writer.known


def ingest_options(
    settings: Settings, *, names: frozenset[str] | None = None, accept_gone: bool = False
) -> IngestOptions:
    """How the configuration wants a pass to go: with the daemon's rules, but for the time that it stays."""
    usual = rules_of(settings)
    rules = replace(
        usual,
        settle=rules_by_hand(settings.config.settle.min_age),
        absence=replace(usual.absence, at_once=accept_gone),
        quarantine_after=1,
    )
    return IngestOptions(rules, frozenset(settings.config.watch.ignore), names)


def leave_accept_gone(settings: Settings) -> bool:
    """Ask the running daemon to believe gone what is missing; False where it is not what holds the lock."""
    if (holder(settings.lock_path) or {}).get("command") != DAEMON:
        return False
    leave(settings.state_dir, accept_gone_request(now_ms()))
    return True


@contextmanager
def _unless_the_daemon_does_it(settings: Settings) -> Iterator[None]:
    try:
        yield
    except LockHeld as held:
        found = holder(settings.lock_path) or {}
        if found.get("command") != DAEMON:
            raise
        raise LockHeld(
            f"the daemon (process {found.get('pid')}) runs and does this by itself: it indexes each archive "
            "once it is whole; `collectord status` shows what is pending"
        ) from held
