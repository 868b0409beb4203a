"""Ingest by hand: one pass over everything that is there, in batches."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from collectord import archive
from collectord.archive import ArchiveRoot
from collectord.epochs.requests import evaluate_by_hand, look_by_hand
from collectord.errors import LockHeld
from collectord.index.alerts import Notice
from collectord.index.opening import now_ms, writer_for
from collectord.index.writer import Change, Gone, IndexWriter, Seen
from collectord.intake.absence import AbsenceRules, AbsenceState, state_from, state_json, weigh
from collectord.intake.collect import (
    Collected,
    NotYet,
    ReadLimits,
    collect,
    ingest_beads,
    ingest_events,
    is_stray,
)
from collectord.model import ARCHIVE, WORLD, Known, Observation, Outcome, OutcomeKind
from collectord.system.gc_tuning import rare_collections
from collectord.system.lock import holder
from collectord.system.names import is_own, readable_name

if TYPE_CHECKING:
    from collectord.config import Settings
    from collectord.model import Outcome


Report = Callable[[Outcome], None]
# Where in index_info the missing archives of the last pass stand, by kind.
MISSING = "missing"


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
    not_found: frozenset[str] = frozenset()
    notices: list[Notice] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count an outcome, and keep it if it needs a person's attention."""
        self.outcomes[str(outcome.kind)] += 1
        if outcome.kind not in (OutcomeKind.INDEXED, OutcomeKind.UNCHANGED, OutcomeKind.IGNORED):
            self.noted.append(outcome)


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """How one pass goes; `min_age_s` is how old an archive's youngest entry must be, `names` limit it."""

    limits: ReadLimits = field(default_factory=ReadLimits)
    ignore: frozenset[str] = frozenset({"orphaned-workcells"})
    batch: int = 200
    min_age_s: float = 2.0
    names: frozenset[str] | None = None
    accept_gone: bool = False
    absence: AbsenceRules = field(default_factory=AbsenceRules)


@dataclass(frozen=True, slots=True)
class _Place:
    kind: str
    path: Path
    ignore: frozenset[str]


@rare_collections()
def ingest_repo(
    writer: IndexWriter,
    repo: Path,
    archives_dir: Path,
    options: IngestOptions,
    *,
    clock_ms: Callable[[], int],
    report: Report = lambda _outcome: None,
) -> IngestResult:
    """Bring the index up to date with a repo. Safe to stop at any point and to repeat.

    The event log and Beads come first, so that what an archive is joined with is known with it.
    """
    result = IngestResult()
    first_ingest_ms = writer.first_ingest_ms(clock_ms())
    result.events_read = ingest_events(writer, repo)
    result.issues_changed = ingest_beads(writer, repo, clock_ms())
    places = [
        _Place(ARCHIVE, archives_dir, options.ignore),
        _Place(WORLD, repo / ".cyntra/runs", frozenset()),
    ]
    for place in places:
        pass_ = _Pass(writer, place, options, clock_ms, first_ingest_ms, result, report)
        pass_.run()
    writer.set_info("last_ingest_ms", str(clock_ms()))
    return result


class _Pass:
    """One pass over one folder."""

    def __init__(
        self,
        writer: IndexWriter,
        place: _Place,
        options: IngestOptions,
        clock_ms: Callable[[], int],
        first_ingest_ms: int,
        result: IngestResult,
        report: Report,
    ) -> None:
        self._writer, self._place, self._options = writer, place, options
        self._clock_ms, self._first_ingest_ms = clock_ms, first_ingest_ms
        self._result, self._report = result, report

    def run(self) -> None:
        """Read what changed, wait once for what is too young, then note what is gone."""
        try:
            root = ArchiveRoot(self._place.path)
        except archive.RootUnusable:
            if self._place.kind == ARCHIVE and self._place.path.exists():
                raise
            return
        with root:
            entries = sorted(entry for entry in archive.names(root) if not is_own(entry[0]))
            self._take(self._strays(entries))
            directories = [name for name, kind in entries if not is_stray(name, kind, self._place.ignore)]
            wanted = [name for name in directories if self._is_wanted(name)]
            if self._options.names is not None and self._place.kind == ARCHIVE:
                self._result.not_found = self._options.names - {readable_name(name) for name, _ in entries}
            young = self._take(self._collect(root, name) for name in wanted)
            if young:
                time.sleep(self._options.min_age_s)
                self._take((self._collect(root, name) for name in young), last=True)
            if self._options.names is None and root.is_current():
                self._note_missing(root, frozenset(readable_name(name) for name, _ in entries))

    def _is_wanted(self, name: str) -> bool:
        return self._options.names is None or readable_name(name) in self._options.names

    def _known(self, name: str) -> Known | None:
        return self._writer.known.get((self._place.kind, readable_name(name)))

    def _strays(self, entries: Iterable[tuple[str, str]]) -> Iterator[Collected | None]:
        for name, kind in entries:
            reason = is_stray(name, kind, self._place.ignore)
            if reason and self._place.kind == ARCHIVE and self._is_wanted(name):
                yield self._stray(name, reason)

    def _stray(self, name: str, reason: str) -> Collected | None:
        known = self._known(name)
        if known and (known.state, known.reason, known.gone_ms) == (OutcomeKind.IGNORED, reason, None):
            self._done(_unchanged(known))
            return None
        return Seen(self._place.kind, readable_name(name), OutcomeKind.IGNORED, None, reason)

    def _collect(self, root: ArchiveRoot, name: str) -> Collected | None:
        known = self._known(name)
        collected = collect(root, name, known, self._options.limits, self._place.kind, self._is_young)
        if collected is None:
            assert known is not None
            self._done(_unchanged(known))
        return collected

    def _is_young(self, observation: Observation) -> bool:
        # A time in the future is a clock's mistake and must not make an archive wait for ever.
        age_ms = self._clock_ms() - observation.newest_mtime_ns // 1_000_000
        return 0 <= age_ms < self._options.min_age_s * 1000

    def _take(self, found: Iterable[Collected | None], *, last: bool = False) -> list[str]:
        """Apply changes in batches; returns the names that were still being written, unless `last`."""
        young: list[str] = []
        batch: list[Change] = []
        for collected in found:
            if isinstance(collected, NotYet):
                if collected.outcome.kind is OutcomeKind.SETTLING and not last:
                    young.append(collected.outcome.name)
                else:
                    self._done(collected.outcome)
            elif collected is not None:
                batch.append(collected)
            if len(batch) >= self._options.batch:
                self._apply(batch)
                batch = []
        self._apply(batch)
        return young

    def _apply(self, batch: list[Change]) -> None:
        if not batch:
            return
        now = self._clock_ms()
        for outcome in self._writer.apply(batch, now_ms=now, first_ingest_ms=self._first_ingest_ms):
            self._done(outcome)

    def _done(self, outcome: Outcome) -> None:
        if self._place.kind == ARCHIVE:
            self._result.add(outcome)
            self._report(outcome)

    def _note_missing(self, root: ArchiveRoot, present: frozenset[str]) -> None:
        """Weigh what is missing as the daemon does: from one pass to another, on the wall clock."""
        kind, key = self._place.kind, f"{MISSING} {self._place.kind}"
        known = frozenset(k.name for k in self._writer.known.values() if k.kind == kind and k.gone_ms is None)
        now_s, before = self._clock_ms() / 1000, self._writer.info(key)
        found = weigh(
            state_from(before, now_s),
            known=known,
            present=present,
            scan_ok=True,
            root=f"{root.device}:{root.inode}",
            mono=now_s,
            rules=self._options.absence,
        )
        gone = known - present if self._options.accept_gone else found.gone_now
        state = AbsenceState(found.state.root) if self._options.accept_gone else found.state
        changes: list[Change] = [Gone(kind, name) for name in sorted(gone)]
        if changes:
            self._writer.apply(changes, now_ms=self._clock_ms(), first_ingest_ms=self._first_ingest_ms)
        if before is not None or state.since:
            self._writer.set_info(key, state_json(state))
        self._result.gone += len(gone)
        self._result.missing_not_believed += len(state.suspects)
        self._result.missing_not_yet += len(state.since.keys() - state.suspects)


def _unchanged(known: Known) -> Outcome:
    kept = (OutcomeKind.QUARANTINED, OutcomeKind.IGNORED)
    kind = OutcomeKind(known.state) if known.state in kept else OutcomeKind.UNCHANGED
    return Outcome(known.name, kind, known.reason, known.revision)


DAEMON = "collectord run"  # who holds the lock while the daemon runs


def ingest(
    settings: Settings,
    *,
    names: frozenset[str] | None = None,
    accept_gone: bool = False,
    report: Callable[[Outcome], None] = lambda _outcome: None,
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
    """How the configuration wants a pass to go."""

    config = settings.config
    return IngestOptions(
        limits=ReadLimits(config.limits.json_bytes, config.limits.entries),
        ignore=frozenset(config.watch.ignore),
        batch=config.ingest.batch,
        min_age_s=config.settle.min_age,
        names=names,
        accept_gone=accept_gone,
        absence=AbsenceRules(confirm_s=config.watch.gone_after, alarm_hold_s=config.watch.mass_gone_after),
    )


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
