"""Pushes the index to the storage of its fleet: every night, and when an epoch was sealed. A job does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from collectord.daemon.daemon_log import DaemonLog
from collectord.daemon.heartbeat import Clocks
from collectord.daemon.jobs import Job, JobResult, Jobs
from collectord.index.environments import seals
from collectord.index.info import PUSHED
from collectord.index.writer import IndexWriter

PUSH = "push"
COMMAND = ("fleet", "push", "--json")
# Long enough for what was sealed at once to be one push.
LOOK_EVERY_S = 60.0


class PushAfterSeal:
    """Belongs to the loop's thread. What was sealed before it looked first is for the night."""

    name = "fleet"

    def __init__(
        self,
        writer: IndexWriter,
        jobs: Jobs,
        clocks: Clocks,
        journal: DaemonLog,
        every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._writer, self._jobs, self._clocks, self._journal = writer, jobs, clocks, journal
        self._every_s = every_s
        self._sealed = self._look()
        self._next = clocks.mono() + every_s

    def due_at(self) -> float:
        """The next look."""
        return self._next

    def run(self, mono: float) -> None:
        """Submit a push where an epoch was sealed since; one that runs already may have begun too early."""
        self._next = mono + self._every_s
        sealed = self._look()
        if sealed <= self._sealed or self._jobs.submit(Job(PUSH, COMMAND, self._ended), mono):
            self._sealed = sealed

    def _look(self) -> frozenset[str]:
        with self._writer.transaction() as connection:
            return frozenset(key for key, seal in seals(connection).items() if seal.sealed_ms is not None)

    def _ended(self, result: JobResult) -> None:
        if result.exit_code != 0 or result.document is None:
            self._journal.log.error("push.failed", exit_code=result.exit_code, said=result.said[-300:])
            return
        log_push(self._journal)(result.document)
        self._writer.set_info(PUSHED, str(self._clocks.wall_ms()))


def log_push(journal: DaemonLog) -> Callable[[dict[str, Any]], None]:
    """Logs what a push did."""

    def log(document: dict[str, Any]) -> None:
        shown = {name: document[name] for name in ("url", "source", "sequence", "runs", "bytes", "is_new")}
        journal.log.info("push.done", **shown)
        for problem in document["problems"]:
            journal.log.warning("push.problem", said=problem)

    return log
