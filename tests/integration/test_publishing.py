"""Snapshots of sealed epochs whose end or number moves: each is filed under the epoch that it is of."""

from __future__ import annotations

import io
import itertools
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from collectord.daemon.daemon_log import DaemonLog
from collectord.daemon.jobs import Jobs
from collectord.daemon.publishing import Publisher, _job_name
from collectord.epochs.epochs import Folded
from collectord.epochs.evaluate import Evaluation, evaluate
from collectord.epochs.rules import Overrides
from collectord.epochs.survey import survey
from collectord.index.environments import epoch_snapshots, seals
from collectord.index.writer import IndexWriter
from collectord.system.log import configure as configure_log
from tests.support.cli import Cli
from tests.support.daemon import wait_until
from tests.support.small_kernel import SmallKernel

LIMIT_MS = 60_000


class Room:
    """The index of a repo whose configuration is edited, and what publishes its epochs."""

    def __init__(self, cli: Cli) -> None:
        self.cli, self.said = cli, io.StringIO()
        self.edit(60)
        self.cli.ok("ingest")
        self.writer = IndexWriter(cli.index)
        log = configure_log(level="info", form="json", stream=self.said, environ={})
        journal = DaemonLog(log, time.monotonic)
        self.jobs = Jobs(["--repo", str(cli.repo)], journal)
        self.publisher = Publisher(self.writer, self.jobs, journal, 0.0)

    def edit(self, minutes: int) -> None:
        config = f"toolchains: {{codex: {{model: m1, timeout_minutes: {minutes}}}}}\n"
        (self.cli.repo / ".cyntra").mkdir(exist_ok=True)
        (self.cli.repo / ".cyntra/config.yaml").write_text(config)

    def run(self) -> str:
        name = SmallKernel(self.cli.repo).run()
        self.cli.ok("ingest")
        return name

    def follow_up(self, later_ms: int = 0) -> Evaluation:
        with self.writer.transaction() as connection:
            now_ms = time.time_ns() // 1_000_000 + later_ms
            return evaluate(connection, self.cli.repo, Overrides(), now_ms=now_ms, seal_after_ms=LIMIT_MS)

    def submit(self) -> None:
        with self.writer.transaction() as connection:
            self.publisher.look(connection, survey(connection), 0.0)

    def publish(self) -> None:
        self.submit()
        self.wait()

    def wait(self) -> None:
        wait_until(self._no_job, "the end of the exports")

    def _no_job(self) -> bool:
        self.jobs.poll(0.0)
        return not self.publishing()

    def publishing(self) -> bool:
        jobs = (_job_name(epoch) for epoch in self._folded().epochs)
        return self.jobs.running is not None or any(map(self.jobs.has, jobs))

    def _folded(self) -> Folded:
        with self.writer.transaction() as connection:
            return survey(connection).folded

    def epochs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.cli.ok("epoch", "list", "--json"))["epochs"]
        return found


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    (tmp_path / "repo/.cyntra/archives").mkdir(parents=True)
    found = Room(Cli(tmp_path / "repo", tmp_path))
    yield found
    found.jobs.stop()
    found.writer.close()


def _rows(snapshot: dict[str, Any]) -> int:
    return int(json.loads((Path(snapshot["path"]) / "meta.json").read_text())["example_count"])


@pytest.mark.slow
def test_an_epoch_sealed_by_the_limit_that_goes_on_after_an_undo_is_one_epoch_with_two_snapshots(
    room: Room,
) -> None:
    name = room.run()
    assert "epoch 1 (current)" in room.cli.ok("explain", name)
    room.edit(45)
    room.cli.ok("ingest")
    room.follow_up()
    room.follow_up(2 * LIMIT_MS)
    room.publish()
    [epoch] = room.epochs()
    assert (epoch["state"], [_rows(s) for s in epoch["snapshots"]]) == ("sealed", [1])

    room.edit(60)
    room.run()
    room.follow_up()
    [epoch] = room.epochs()
    assert (epoch["state"], epoch["runs"], len(epoch["snapshots"])) == ("open", 2, 1)

    room.edit(45)
    room.run()
    room.follow_up()
    room.follow_up()
    room.publish()
    first, second = room.epochs()
    assert [(_rows(s), s["superseded"]) for s in first["snapshots"]] == [(1, True), (2, False)]
    assert (first["state"], second["snapshots"]) == ("sealed", [])
    assert "epoch 1 (an export takes epoch 2; `export --epoch 1` takes this one)" in room.cli.ok(
        "explain", name
    )
    with room.writer.transaction() as connection:
        assert set(seals(connection)) == set(epoch_snapshots(connection))


def _renumber(room: Room) -> None:
    """Of epochs 1, which is sealed, and 2 make 2 and 3."""
    kernel = SmallKernel(room.cli.repo)
    kernel.model = "m9"
    for day in (1, 2, 3):  # of another model, from before anything is known: an epoch before the others
        kernel.run(datetime(2025, 3, day, tzinfo=UTC))
    room.cli.ok("ingest")
    assert [e["number"] for e in room.epochs() if e["state"] == "sealed"] == [2]


def test_an_export_takes_the_epoch_of_its_key_whatever_its_number_has_become(room: Room) -> None:
    room.run()
    room.edit(45)
    room.run()
    room.follow_up()
    room.follow_up()
    room.submit()
    _renumber(room)
    room.wait()
    before, sealed, last = room.epochs()
    assert (before["snapshots"], [_rows(s) for s in sealed["snapshots"]], last["snapshots"]) == ([], [1], [])
    assert (
        json.loads(room.cli.ok("export", "--epoch", sealed["key"], "--dry-run", "--json"))["example_count"]
        == 1
    )


@pytest.mark.slow
def test_an_export_that_was_given_up_is_failing_until_its_epoch_holds_something_else(room: Room) -> None:
    room.run()
    room.edit(45)
    room.run()
    room.follow_up()
    room.follow_up()
    (room.cli.repo / ".cyntra/benches").write_text("in the way")
    room.submit()
    days = itertools.count(0.0, 86_400.0)  # no try waits for its turn, and none runs for long
    wait_until(lambda: room.jobs.poll(next(days)) or "epoch.not_published" in room.said.getvalue(), "the end")
    room.submit()
    [sealed] = [epoch for epoch in room.epochs() if epoch["state"] == "sealed"]
    name = f"export of epoch {sealed['fingerprint'][:12]}@{sealed['key'].partition('@')[2]}"
    assert room.jobs.failing == (f"the job {name} failed when it ran last: the log says why",)
    assert not room.publishing()
    _renumber(room)  # which changes nothing in it
    room.submit()
    assert not room.publishing()
    SmallKernel(room.cli.repo, 60).run(datetime.fromtimestamp(sealed["last_ms"] / 1000, UTC))
    room.cli.ok("ingest")
    room.submit()
    assert room.jobs.failing == (f"the job {name} failed and is tried again: the log says why",)
    assert room.jobs.has(name)
