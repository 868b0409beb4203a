"""Long work as a child process of our own command line, one at a time, nice, started and reaped by the loop.

A job only reads the index. What it says with --json is handed to a callback on the loop's thread, which
may write. A job that dies is told and tried again with backoff; it never takes the daemon down.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import IO, Any

from collectord.daemon.daemon_log import DaemonLog, error_fields
from collectord.errors import INDEX_FAULTS

NICENESS = 10
MAX_OUTPUT_BYTES = 16 * 2**20
MAX_SAID_BYTES = 2000
STOP_WAIT_S = 3.0
# Far beyond any honest job, and one that never ends (a pattern of the repo's own configuration can be so
# slow) holds up the others only this long at a time.
LONGEST_RUN_S = 3600.0


@dataclass(frozen=True, slots=True)
class JobResult:
    """How a job ended; `document` is its JSON, None where it printed none."""

    name: str
    exit_code: int
    document: dict[str, Any] | None
    said: str


@dataclass(frozen=True, slots=True)
class Job:
    """A command of ours without the options before it, such as ("export", "--json").

    `good` are the exit codes that are an answer, unless `is_answer` says otherwise of the result; any other
    is tried again, `tries` times in all, after which the last result is handed to `done` all the same. One
    that runs longer than `limit_s` is killed, which is a failed try.
    """

    name: str
    arguments: tuple[str, ...]
    done: Callable[[JobResult], None]
    good: frozenset[int] = frozenset({0})
    is_answer: Callable[[JobResult], bool] = lambda _result: True
    tries: int = 5
    first_wait_s: float = 60.0
    limit_s: float = LONGEST_RUN_S


@dataclass(slots=True)
class _Waiting:
    job: Job
    tries: int
    not_before: float


@dataclass(slots=True)
class _Running:
    waiting: _Waiting
    process: subprocess.Popen[bytes]
    out: IO[bytes]
    err: IO[bytes]
    kill_at: float
    is_wanted: bool = True


class Jobs:
    """Owned by the loop's thread; `top` are the options before the command (`--repo`, `--config`)."""

    def __init__(self, top: Sequence[str], journal: DaemonLog) -> None:
        self._top, self._journal = tuple(top), journal
        self._queue: deque[_Waiting] = deque()
        self._undelivered: deque[tuple[Job, JobResult]] = deque()
        self._running: _Running | None = None
        self._failed: dict[str, None] = {}

    @property
    def failing(self) -> tuple[str, ...]:
        """A sentence for each job that failed when it ran last, also where that was its last try."""
        again = {n: "and is tried again" if self.has(n) else "when it ran last" for n in self._failed}
        return tuple(f"the job {name} failed {how}: the log says why" for name, how in again.items())

    @property
    def running(self) -> str | None:
        """The name of the job that runs now."""
        return self._running.waiting.job.name if self._running else None

    def has(self, name: str) -> bool:
        """Whether a job of that name waits or runs."""
        return name == self.running or any(waiting.job.name == name for waiting in self._queue)

    def submit(self, job: Job, mono: float) -> bool:
        """Queues a job; False if one of that name waits or runs already."""
        if self.has(job.name):
            return False
        self._queue.append(_Waiting(job, 0, mono))
        return True

    def keep_only(self, group: str, names: Container[str]) -> None:
        """Of the jobs whose names begin with `group` nobody wants any other than these any more.

        They leave the queue and what is failing. One that runs may end; it is not tried again.
        """

        def is_kept(name: str) -> bool:
            return not name.startswith(group) or name in names

        self._queue = deque(waiting for waiting in self._queue if is_kept(waiting.job.name))
        self._failed = {name: None for name in self._failed if is_kept(name)}
        if self._running is not None:
            self._running.is_wanted &= is_kept(self._running.waiting.job.name)

    def poll(self, mono: float) -> None:
        """Reaps the job that ended, and starts the next one that is due."""
        if self._running is not None and self._running.process.poll() is not None:
            ended, self._running = self._running, None
            self._end(ended, mono)
        if self._running is not None and self._running.kill_at <= mono:
            self._kill_overdue(self._running)
        self._deliver()
        if self._running is None:
            self._start_next(mono)

    def stop(self) -> None:
        """Ends the running job, kindly at first; it is begun anew by whoever plans it after a restart."""
        if self._running is None:
            return
        process = self._running.process
        process.terminate()
        try:
            process.wait(STOP_WAIT_S)
        except subprocess.TimeoutExpired:
            _kill(process)
            process.wait()
        self._running = None

    def _kill_overdue(self, overdue: _Running) -> None:
        job = overdue.waiting.job
        self._journal.log.warning("job.overdue", job=job.name, limit_s=round(job.limit_s))
        _kill(overdue.process)
        overdue.kill_at = math.inf  # a later poll reaps it: in the middle of a disk's trouble it may linger

    def _start_next(self, mono: float) -> None:
        due = next((waiting for waiting in self._queue if waiting.not_before <= mono), None)
        if due is None:
            return
        self._queue.remove(due)
        out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 (closed when it ends)
        argv = [sys.executable, "-m", "collectord", *self._top, *due.job.arguments]
        try:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, process_group=0
            )
        except OSError as error:
            self._again(due, JobResult(due.job.name, -1, None, str(error)), mono)
            return
        with contextlib.suppress(OSError):  # a hardened service may not; it then only is not nice
            os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
        self._running = _Running(due, process, out, err, mono + due.job.limit_s)
        self._journal.log.info("job.started", job=due.job.name, pid=process.pid)

    def _end(self, ended: _Running, mono: float) -> None:
        job = ended.waiting.job
        result = JobResult(job.name, ended.process.returncode, _document(ended.out), _tail(ended.err))
        ended.out.close()
        ended.err.close()
        if result.exit_code not in job.good or not job.is_answer(result):
            if ended.is_wanted:
                self._again(ended.waiting, result, mono)
            else:
                self._journal.log.info("job.unwanted", job=job.name, exit_code=result.exit_code)
            return
        self._failed.pop(job.name, None)
        self._journal.log.info("job.done", job=job.name, exit_code=result.exit_code)
        self._undelivered.append((job, result))

    def _again(self, waiting: _Waiting, result: JobResult, mono: float) -> None:
        job, tries = waiting.job, waiting.tries + 1
        wait = job.first_wait_s * 2 ** (tries - 1)
        self._failed[job.name] = None
        last = tries >= job.tries
        self._journal.log.warning(
            "job.failed",
            job=job.name,
            exit_code=result.exit_code,
            said=result.said,
            again_in_s=None if last else round(wait),
        )
        if last:
            self._undelivered.append((job, result))
        else:
            self._queue.append(_Waiting(job, tries, mono + wait))

    def _deliver(self) -> None:
        """Hands results over; one whose callback finds the index full or busy is handed over again."""
        while self._undelivered:
            job, result = self._undelivered[0]
            try:
                job.done(result)
            except INDEX_FAULTS:
                raise
            except Exception as error:
                self._journal.log.warning("job.lost", job=job.name, **error_fields(error))
            self._undelivered.popleft()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """With all that it started; not reaped yet, so the number is still its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _document(out: IO[bytes]) -> dict[str, Any] | None:
    out.seek(0)
    try:
        found = json.loads(out.read(MAX_OUTPUT_BYTES))
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _tail(err: IO[bytes]) -> str:
    size = err.seek(0, os.SEEK_END)
    err.seek(max(0, size - MAX_SAID_BYTES))
    return err.read().decode("utf-8", "replace").strip()
