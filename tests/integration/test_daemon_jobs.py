"""Long work as child processes: one at a time, handed back, tried again, ended with the daemon."""

from __future__ import annotations

import io
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from collectord.daemon.daemon_log import DaemonLog
from collectord.daemon.jobs import Job, JobResult, Jobs
from collectord.system.log import configure
from tests.support.cli import Cli
from tests.support.daemon import Daemon, wait_until
from tests.support.daemon import configure as configure_daemon


@pytest.fixture
def said() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def jobs(ingested: Cli, said: io.StringIO) -> Iterator[Jobs]:
    log = configure(level="info", form="json", stream=said, environ={})
    made = Jobs(["--repo", str(ingested.repo)], DaemonLog(log, time.monotonic))
    yield made
    made.stop()


def _run(jobs: Jobs, results: list[JobResult], mono: float = 0.0) -> JobResult:
    def polled() -> bool:
        jobs.poll(mono)
        return bool(results)

    wait_until(polled, "the job's end")
    return results.pop()


def test_the_document_of_a_job_comes_back(jobs: Jobs) -> None:
    results: list[JobResult] = []
    assert jobs.submit(Job("look", ("status", "--json"), results.append), 0.0)
    assert not jobs.submit(Job("look", ("status", "--json"), results.append), 0.0)
    result = _run(jobs, results)
    assert result.exit_code == 0
    assert result.document is not None
    assert result.document["schema"] == "collectord.status.v1"
    assert jobs.running is None


def test_a_job_that_fails_is_tried_again_later_and_at_last_handed_back(
    jobs: Jobs, said: io.StringIO, tmp_path: Path
) -> None:
    results: list[JobResult] = []
    missing = str(tmp_path / "no-such-dataset")
    jobs.submit(Job("check", ("verify", missing), results.append, tries=2, first_wait_s=60), 0.0)
    wait_until(lambda: jobs.poll(0.0) or "job.failed" in said.getvalue(), "a failure")
    jobs.poll(59.0)
    assert jobs.running is None
    assert not results
    assert jobs.failing == ("the job check failed and is tried again: the log says why",)
    result = _run(jobs, results, 60.0)
    assert result.exit_code != 0
    assert "no-such-dataset" in result.said
    assert not jobs.has("check")
    assert jobs.failing == ("the job check failed when it ran last: the log says why",)
    jobs.submit(Job("check", ("status", "--json"), results.append), 61.0)
    _run(jobs, results, 61.0)
    assert jobs.failing == ()


def test_a_failed_job_that_nobody_wants_any_more_is_not_tried_again_and_not_failing(
    jobs: Jobs, said: io.StringIO
) -> None:
    for name in ("export of 1", "export of 2", "backup"):
        jobs.submit(Job(name, ("nonsense",), lambda _result: None), 0.0)
    wait_until(lambda: jobs.poll(0.0) or said.getvalue().count("job.failed") == 3, "the failures")
    jobs.keep_only("export of ", {"export of 2"})
    assert [name for name in ("export of 1", "export of 2", "backup") if jobs.has(name)] == [
        "export of 2",
        "backup",
    ]
    assert [sentence.split(" failed")[0] for sentence in jobs.failing] == [
        "the job export of 2",
        "the job backup",
    ]


def test_a_job_that_nobody_wants_any_more_while_it_runs_is_not_failing_when_it_fails(
    jobs: Jobs, said: io.StringIO
) -> None:
    jobs.submit(Job("export of 1", ("nonsense",), lambda _result: None), 0.0)
    jobs.poll(0.0)
    jobs.keep_only("export of ", ())
    assert jobs.running == "export of 1"
    wait_until(lambda: jobs.poll(0.0) or "job.unwanted" in said.getvalue(), "its end")
    assert (jobs.has("export of 1"), jobs.failing) == (False, ())


def test_an_exit_code_that_is_an_answer_is_no_failure(jobs: Jobs, tmp_path: Path) -> None:
    results: list[JobResult] = []
    jobs.submit(Job("check", ("nonsense",), results.append, good=frozenset({2})), 0.0)
    assert _run(jobs, results).exit_code == 2


def test_a_callback_that_raises_ends_nothing(jobs: Jobs, said: io.StringIO) -> None:
    def done(_result: JobResult) -> None:
        raise RuntimeError("no")

    jobs.submit(Job("look", ("config", "check"), done), 0.0)
    wait_until(lambda: jobs.poll(0.0) or "job.lost" in said.getvalue(), "the loss")
    jobs.poll(0.0)
    assert said.getvalue().count("job.lost") == 1


def test_a_running_job_ends_with_the_daemon(jobs: Jobs, ingested: Cli) -> None:
    jobs.submit(Job("follow", ("run",), lambda _result: None), 0.0)
    jobs.poll(0.0)
    assert [jobs.running] == ["follow"]
    jobs.stop()
    assert [jobs.running] == [None]
    assert ingested("ingest").returncode == 0


def test_a_job_that_never_ends_is_killed_and_lets_the_next_one_run(jobs: Jobs, said: io.StringIO) -> None:
    results: list[JobResult] = []
    jobs.submit(Job("endless", ("run",), results.append, tries=1, limit_s=3600.0), 0.0)
    jobs.submit(Job("look", ("status", "--json"), results.append), 0.0)
    jobs.poll(0.0)
    jobs.poll(3599.0)
    assert "job.overdue" not in said.getvalue()
    ended = _run(jobs, results, 3600.0)
    assert (ended.name, ended.exit_code) == ("endless", -signal.SIGKILL)
    assert said.getvalue().count("job.overdue") == 1
    assert _run(jobs, results, 3601.0).name == "look"


def test_a_report_that_cannot_be_written_shows_in_the_status(ingested: Cli) -> None:
    configure_daemon(ingested)
    (ingested.repo / ".cyntra/reports").write_text("in the way")
    with closing(sqlite3.connect(ingested.index)) as connection, connection:
        connection.execute("UPDATE index_info SET value = '0' WHERE key = 'first_ingest_ms'")
    with Daemon(ingested) as daemon:
        daemon.wait_for("chore.failed", chore="audit")
        wait_until(lambda: "degraded       the chore audit failed" in ingested.ok("status"), daemon.said)
