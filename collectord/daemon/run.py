"""`collectord run` from the lock to the last heartbeat: signals, and what a reload may change."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version

from collectord.config import Settings
from collectord.config.schema import OFF
from collectord.daemon.compose import ProcessState, wire
from collectord.daemon.daemon_log import DaemonLog
from collectord.daemon.heartbeat import Clocks, HeartbeatWriter, VanishedCount
from collectord.daemon.jobs import Jobs
from collectord.daemon.loop import Loop
from collectord.daemon.maintenance import put_back
from collectord.daemon.signals import Signals
from collectord.errors import CollectordError, ConfigError, LockHeld
from collectord.index.engine import quick_check
from collectord.index.files import finish_exchange, require_whole_log
from collectord.index.queries import requeue
from collectord.index.writer import IndexWriter
from collectord.intake.commit import Committer
from collectord.intake.ingest import DAEMON
from collectord.system.durable import ensure_private_dir
from collectord.system.lock import StateLock, holder
from collectord.system.log import to_stderr
from collectord.system.notify import Notifier
from collectord.watch import Wakeup

LOCK_WAIT_S = 0.2
# The lock, the index and the folder whose absences are weighed are what the daemon stands on.
_FIXED = ("repo", "paths.archives", "paths.state")


def changed_keys(old: Settings, new: Settings) -> dict[str, str]:
    """Dotted key → "before → after" of every value that differs."""
    before = {key: value for key, value, _ in old.rows()}
    return {key: f"{before[key]} → {value}" for key, value, _ in new.rows() if before[key] != value}


def refusal(changes: dict[str, str]) -> str | None:
    """Why the new configuration cannot be taken over without a restart, or None."""
    fixed = [f"{key} ({changes[key]})" for key in _FIXED if key in changes]
    return f"restart the daemon to change {', '.join(fixed)}" if fixed else None


def run(settings: Settings, read_again: Callable[[], Settings], environ: Mapping[str, str]) -> None:
    """Stands beside the kernel until a signal ends it; `read_again` loads the configuration for SIGHUP.

    Raises LockHeld where another is the writer already, and CollectordError for what ends the daemon.
    """
    ensure_private_dir(settings.state_dir)
    clocks = Clocks()
    log = to_stderr(level=settings.config.log.level, form=settings.config.log.format)
    journal = DaemonLog(log, clocks.mono)
    notifier = Notifier.from_environ(environ)
    with _lock(settings, journal, notifier) as lock:
        wakeup = Wakeup()
        signals = Signals(wakeup.wake)
        signals.install(settings.config.daemon.shutdown_timeout, lambda: journal.log.error("daemon.gave_up"))
        finish_exchange(settings.index_path)
        if settings.index_path.exists():
            # Before anything opens the index: what SQLite forgets of a damaged log is gone.
            require_whole_log(settings.index_path)
            quick_check(settings.index_path)
        put_back(settings, journal)
        writer = IndexWriter(settings.index_path)
        try:
            process_state = ProcessState(
                lock=lock,
                writer=writer,
                clocks=clocks,
                journal=journal,
                signals=signals,
                wakeup=wakeup,
                heart=HeartbeatWriter(writer, notifier, clocks, journal, environ),
                jobs=Jobs(_options(settings), journal),
                applier=Committer(writer, clocks.wall_ms),
                tally=VanishedCount(writer, journal),
            )
            _Running(settings, process_state, notifier, read_again).run()
        finally:
            writer.close()


def _lock(settings: Settings, journal: DaemonLog, notifier: Notifier) -> StateLock:
    """The state lock. A command that holds it for a while is waited for; another daemon is final."""
    waits_for: object = None
    while True:
        try:
            return StateLock.acquire(settings.lock_path, DAEMON)
        except LockHeld:
            found = holder(settings.lock_path) or {}
            command, pid = found.get("command", "?"), found.get("pid", "?")
            if command == DAEMON:
                raise
            if waits_for != (waits_for := pid):
                hint = "the daemon starts as soon as that has ended; nothing is to be done"
                journal.log.info("lock.waiting", command=command, pid=pid, hint=hint)
                notifier.status(f"waits for `{command}` (process {pid}), which holds the lock")
            time.sleep(LOCK_WAIT_S)


class _Running:
    """One life of the daemon: a loop, and another one after each reload."""

    def __init__(
        self,
        settings: Settings,
        process_state: ProcessState,
        notifier: Notifier,
        read_again: Callable[[], Settings],
    ) -> None:
        self._settings, self._process_state, self._notifier = settings, process_state, notifier
        self._read_again = read_again

    def run(self) -> None:
        log = self._process_state.journal.log
        log.info(
            "daemon.started",
            version=version("collectord"),
            pid=os.getpid(),
            repo=str(self._settings.repo),
            index=str(self._settings.index_path),
            config=str(self._settings.file) if self._settings.file else "defaults",
            watch=self._settings.config.watch.mode,
            known=len(self._process_state.writer.known),
        )
        if (where := self._settings.config.metrics.listen) != OFF:
            from collectord.status.metrics import listen

            host, _, port = where.rpartition(":")
            listen(self._settings, host, int(port))
        loop = self._start()
        self._notifier.ready(loop.vitals().as_sentence())
        while not self._process_state.signals.stopping:
            try:
                loop.run()
            except BaseException:
                loop.close(stopped=False)
                raise
            if self._process_state.signals.take_reload() and not self._process_state.signals.stopping:
                loop = self._reload(loop)
        self._notifier.stopping()
        self._process_state.journal.log.info("daemon.stopping")
        loop.close(stopped=True)
        self._process_state.journal.log.info("daemon.stopped")

    def _start(self) -> Loop:
        return Loop(wire(self._settings, self._process_state))

    def _reload(self, loop: Loop) -> Loop:
        """The loop to go on with: a new one under a new configuration, or the old one."""
        self._notifier.reloading()
        journal = self._process_state.journal
        try:
            settings = self._read_again()
            changes = changed_keys(self._settings, settings)
            if why := refusal(changes):
                raise ConfigError(why)
        except (CollectordError, OSError) as error:
            journal.log.error("config.refused", reason=str(error), doing="the old configuration stays")
        else:
            journal.log.info("config.reloaded", changed=[f"{key}: {text}" for key, text in changes.items()])
            if changes:
                loop = self._replace(loop, settings)
            if any(key.startswith("limits.") for key in changes):
                self._try_again()
        self._notifier.ready(loop.vitals().as_sentence())
        return loop

    def _try_again(self) -> None:
        """What is in quarantine may be there for a limit that is another one now."""
        if requeued := requeue(self._process_state.writer):
            self._process_state.journal.requeued(len(requeued), "the limits changed")

    def _replace(self, loop: Loop, settings: Settings) -> Loop:
        self._settings = settings
        log = settings.config.log
        self._process_state.journal.log = to_stderr(level=log.level, form=log.format)
        loop.close(stopped=False)
        return self._start()


def _options(settings: Settings) -> list[str]:
    """The options before a command that give a child process the same settings."""
    config = ["--config", str(settings.file)] if settings.file else []
    return ["--repo", str(settings.repo), *config]
