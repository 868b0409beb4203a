"""What the daemon does once a day or week: measure, back up, prune where that is wanted, audit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from collectord.archive import ArchiveRoot, RootUnusable
from collectord.config import Settings
from collectord.config.schema import OFF
from collectord.daemon.daemon_log import DaemonLog
from collectord.daemon.fleet import COMMAND, PUSH, PushAfterSeal, log_push
from collectord.daemon.heartbeat import Clocks
from collectord.daemon.jobs import Jobs
from collectord.daemon.schedule import Recurring, ScheduledTask, WeeklyReport, Work, daily, wait_s
from collectord.errors import LockHeld
from collectord.index.alerts import unacknowledged_counts
from collectord.index.identity import give_identity
from collectord.index.info import DISK_USAGE
from collectord.index.queries import totals
from collectord.index.reader import IndexReader
from collectord.index.writer import Gone, IndexWriter
from collectord.intake.commit import Committer
from collectord.kernel.jsonio import ascii_json
from collectord.model import ARCHIVE, Outcome
from collectord.retention.plan import notes_left
from collectord.retention.prune import is_there, prune_lock, put_back_unchecked
from collectord.system.lock import StateLock, holder

BACKUP, PRUNE, USAGE = "backup", "prune", "usage"
# Before the others, which change what is measured; UTC.
_USAGE_AT = "02:30"
_NOTES_EVERY_S = 5.0
# Some of what was planned could stay, with a reason; the document says what went.
_PRUNED = frozenset({0, 1})


@dataclass(frozen=True, slots=True)
class TaskContext:
    """What the chores work with, all of it the loop's."""

    writer: IndexWriter
    applier: Committer
    jobs: Jobs
    clocks: Clocks
    journal: DaemonLog


def storage_chores(settings: Settings, context: TaskContext) -> Iterator[ScheduledTask]:
    """The chores that the configuration asks for."""
    config = settings.config
    yield PruneNotes(settings, context)
    yield DailySummary(settings, context)
    if config.metrics.textfile != OFF:
        yield MetricsFile(settings)
    usage = ("status", "--disk", "--json")
    yield _daily(settings, context, USAGE, _USAGE_AT, usage, partial(_note_usage, context))
    if config.backup.at != OFF:
        logged = partial(_log_backup, context.journal)
        yield _daily(settings, context, BACKUP, config.backup.at, ("db", "backup", "--json"), logged)
    if config.retention.removes_anything:
        command = ("prune", *prune_options(settings), "--yes", "--json")
        noted = partial(_note_pruned, context)
        at = config.retention.at
        yield _daily(settings, context, PRUNE, at, command, noted, good=_PRUNED, fault=prune_fault)


def fleet_chores(settings: Settings, context: TaskContext) -> Iterator[ScheduledTask]:
    """Pushes, where a storage and a name for this index are configured."""
    config = settings.config.fleet
    if OFF in (config.url, config.source):
        return
    give_identity(context.writer)
    if config.at != OFF:
        yield _daily(settings, context, PUSH, config.at, COMMAND, log_push(context.journal))
    yield PushAfterSeal(context.writer, context.jobs, context.clocks, context.journal)


def weekly_report(settings: Settings, context: TaskContext) -> Iterator[ScheduledTask]:
    """The weekly audit, unless it is switched off."""
    config = settings.config.audit
    if config.weekly != OFF:
        work = WeeklyReport(settings.repo, context.journal).work(config.weekly, config.hour)
        yield _recurring(settings, context, work)


def _recurring(settings: Settings, context: TaskContext, work: Work) -> Recurring:
    began = partial(_info, settings, "first_ingest_ms")
    return Recurring(work, context.jobs, context.clocks, began, context.journal)


def _daily(
    settings: Settings,
    context: TaskContext,
    name: str,
    at: str,
    command: tuple[str, ...],
    take: Callable[[dict[str, Any]], None],
    *,
    good: frozenset[int] = frozenset({0}),
    fault: Callable[[dict[str, Any]], str | None] = lambda _document: None,
) -> Recurring:
    """Work of each day; when it was done last stands in the index."""
    key = f"{name}_done_ms"

    def done(_slot_ms: int, document: dict[str, Any]) -> None:
        take(document)
        context.writer.set_info(key, str(context.clocks.wall_ms()))

    done_ms = partial(_info, settings, key)
    work = Work(name, daily(at), lambda _slot: command, done, lambda _slot: done_ms(), good, fault)
    return _recurring(settings, context, work)


def is_pruning(settings: Settings, jobs: Jobs) -> bool:
    """Whether archives go away by our own hand right now, or did and are not noted yet."""
    return jobs.running == PRUNE or any(notes_left(settings.state_dir)) or _somebody_prunes(settings)


def _somebody_prunes(settings: Settings) -> bool:
    try:
        return holder(prune_lock(settings)) is not None
    except OSError:
        return False


class DailySummary:
    """One line a day that says how the collection is, for whoever reads the journal and nothing else."""

    name = "summary"
    _slot = daily("00:00")

    def __init__(self, settings: Settings, context: TaskContext) -> None:
        self._settings, self._context = settings, context
        self._logged_ms = context.clocks.wall_ms()
        self._next = float("-inf")

    def due_at(self) -> float:
        """The next look."""
        return self._next

    def run(self, mono: float) -> None:
        """Log the line where a day ended since the last one."""
        now_ms = self._context.clocks.wall_ms()
        self._next = mono + wait_s(now_ms, self._slot)
        if self._logged_ms >= self._slot.last_ms(now_ms):
            return
        self._logged_ms = now_ms
        with IndexReader(self._settings.index_path) as reader:
            found = totals(reader)
            alerts = unacknowledged_counts(reader.connection)
        counts = {state: count for state, count in found.archives.items() if count}
        self._context.journal.log.info("daemon.summary", archives=counts, runs=found.runs, open_alerts=alerts)


class MetricsFile:
    """Writes the metrics for node_exporter at every heartbeat."""

    name = "metrics"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._next = float("-inf")

    def due_at(self) -> float:
        """The next writing."""
        return self._next

    def run(self, mono: float) -> None:
        """One file, whole or not at all."""
        from collectord.status.metrics import write_textfile  # only where it is asked for: it looks at all

        self._next = mono + self._settings.config.daemon.heartbeat_interval
        write_textfile(self._settings, Path(self._settings.config.metrics.textfile))


class PruneNotes:
    """What somebody pruned beside the daemon, noted within seconds instead of weighed as an absence."""

    name = "prune notes"

    def __init__(self, settings: Settings, context: TaskContext) -> None:
        self._settings, self._context = settings, context
        self._every_s = min(_NOTES_EVERY_S, settings.config.watch.poll_interval)
        self._next = float("-inf")

    def due_at(self) -> float:
        """The next look."""
        return self._next

    def run(self, mono: float) -> None:
        """Take in every note; one that is interrupted is taken in again, and none while a prune runs."""
        self._next = mono + self._every_s
        notes = list(notes_left(self._settings.state_dir))
        # Listed first: a prune leaves its note under its lock, and holds that until all of it is done.
        if not notes or _somebody_prunes(self._settings):
            return
        put_back(self._settings, self._context.journal)
        try:
            with ArchiveRoot(self._settings.archives_dir) as root:
                # A note can be old, or of a prune that was killed: some were restored, or never removed.
                notes = [
                    (path, [name for name in names if not is_there(root, name)]) for path, names in notes
                ]
        except (RootUnusable, OSError):
            return  # nobody can say now what is gone
        for path, names in notes:
            _note_gone(self._context, names)
            path.unlink(missing_ok=True)


def prune_options(settings: Settings) -> tuple[str, ...]:
    """The options of `prune` that the configuration asks for; none where nothing is to go."""
    retention = settings.config.retention
    ages = {
        "--logs-older-than": retention.logs_older_than,
        "--renders-older-than": retention.renders_older_than,
        "--archives-older-than": retention.archives_older_than,
    }
    return tuple(part for option, age in ages.items() if age != OFF for part in (option, f"{age:.3f}s"))


def prune_fault(document: dict[str, Any]) -> str | None:
    """Why a prune removed nothing of what it had planned; None where it did some, or had no plans. Pure."""
    kept = document["kept"]
    failed = [one["name"] for one in document["planned"] if one["name"] in kept]
    if not failed or len(failed) < len(document["planned"]):
        return None
    return f"nothing of what was planned could be removed; {failed[0]}: {kept[failed[0]]}"


def put_back(settings: Settings, journal: DaemonLog) -> None:
    """Give archives their names again that a killed prune had out of the way, unless one runs now."""
    try:
        with (
            StateLock.acquire(prune_lock(settings), "collectord run"),
            ArchiveRoot(settings.archives_dir) as root,
        ):
            back, stuck = put_back_unchecked(root)
    except (LockHeld, RootUnusable, OSError):
        return
    for name in back:
        journal.log.info("archive.put_back", archive=name, reason="a prune was killed")
    for name, why in stuck.items():
        journal.log.warning("archive.not_put_back", archive=name, reason=why)


def _info(settings: Settings, key: str) -> int | None:
    # Read beside the writer, as any reader does: it must not wait for a lock that another process holds.
    with IndexReader(settings.index_path) as reader:
        found = reader.info(key)
    return int(found) if found else None


def _note_usage(context: TaskContext, document: dict[str, Any]) -> None:
    context.writer.set_info(DISK_USAGE, ascii_json(document["disk"]))


def _log_backup(journal: DaemonLog, document: dict[str, Any]) -> None:
    removed = len(document["removed"])
    journal.log.info("backup.made", path=document["path"], bytes=document["bytes"], removed=removed)


def _note_pruned(context: TaskContext, document: dict[str, Any]) -> None:
    _note_gone(context, document["gone"])
    counts = {name: len(document[name]) for name in ("gone", "touched", "kept")}
    context.journal.log.info("prune.done", bytes=document["bytes"], **counts)


def _note_gone(context: TaskContext, names: Iterable[str]) -> None:
    """Believe at once that what was removed is gone: scans would weigh it, and many at once are an alarm."""
    changes = list(_gone(context.writer, names))
    for position, result in context.applier.apply(changes):
        if isinstance(result, Outcome):
            context.journal.closing(ARCHIVE, result, None)
        else:
            context.journal.failed(changes[position].name, result)


def _gone(writer: IndexWriter, names: Iterable[str]) -> Iterator[Gone]:
    for name in names:
        known = writer.known.get((ARCHIVE, name))
        if known is not None and known.gone_ms is None:
            yield Gone(ARCHIVE, name)
