"""A sealed epoch is pushed once, and again only when another one is sealed."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from collectord.daemon.daemon_log import DaemonLog
from collectord.daemon.fleet import COMMAND, PUSH, PushAfterSeal
from collectord.daemon.jobs import Job, JobResult
from collectord.index.environments import Seal, store_seal
from collectord.index.writer import IndexWriter
from collectord.system.log import configure


class Queue:
    """Takes jobs, or has one already."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.is_busy = False

    def submit(self, job: Job, _mono: float) -> bool:
        if not self.is_busy:
            self.jobs.append(job)
        return not self.is_busy


def test_each_seal_is_pushed_once_and_none_is_forgotten_beside_a_push_that_runs(tmp_path: Path) -> None:
    writer = IndexWriter(tmp_path / "index.sqlite3")
    queue, said = Queue(), io.StringIO()
    jobs: Any = queue
    log = DaemonLog(configure(level="info", form="json", stream=said, environ={}), lambda: 0.0)
    clocks: Any = SimpleNamespace(mono=lambda: 0.0)

    def seal(key: str, sealed_ms: int | None = 5) -> None:
        with writer.transaction() as connection:
            store_seal(connection, Seal(key, 1, 1, sealed_ms, "quiet"))

    seal("long ago")
    chore = PushAfterSeal(writer, jobs, clocks, log)
    assert chore.due_at() > 0
    chore.run(60)
    assert queue.jobs == []
    seal("closing", None)
    chore.run(120)
    assert queue.jobs == []
    queue.is_busy = True
    seal("closing")
    chore.run(180)
    queue.is_busy = False
    chore.run(240)
    chore.run(300)
    assert [(job.name, job.arguments) for job in queue.jobs] == [(PUSH, COMMAND)]
    assert chore.due_at() > 300
    queue.jobs[0].done(JobResult(PUSH, 1, None, "no such bucket"))
    assert "push.failed" in said.getvalue()
    writer.close()
