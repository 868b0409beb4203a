"""Snapshots of sealed epochs: each is exported by a job, and again where runs of it arrive later."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from collectord.daemon.jobs import Job, JobResult, Jobs
from collectord.daemon.settled import Settling
from collectord.daemon.telling import Telling
from collectord.environment.survey import Survey
from collectord.export.publish import read_snapshot
from collectord.index.engine import IndexConnection
from collectord.index.seals import EpochSnapshot, epoch_snapshots, keep_epoch_snapshot, seals
from collectord.index.snapshots import keep_snapshot, record_of
from collectord.index.writer import IndexWriter


class Publisher:
    """Belongs to the loop's thread; `quiet_s` is how long nothing may arrive before an export begins."""

    def __init__(self, writer: IndexWriter, jobs: Jobs, telling: Telling, quiet_s: float) -> None:
        self._writer, self._jobs, self._telling, self._quiet_s = writer, jobs, telling, quiet_s
        self._settling: dict[str, Settling] = {}
        self._given_up: set[tuple[str, str]] = set()

    @property
    def waits(self) -> bool:
        """Whether an epoch waits for its export to begin."""
        return bool(self._settling)

    def look(self, connection: IndexConnection, found: Survey, mono: float) -> None:
        """Submit the export of each sealed epoch that has no snapshot of what it holds now."""
        sealed = {key for key, seal in seals(connection).items() if seal.sealed_ms is not None}
        published = {key: listed[-1].content for key, listed in epoch_snapshots(connection).items()}
        wanted = {}
        for epoch in found.folded.epochs:
            if epoch.key in sealed:
                content = found.content_of(epoch.number)
                if published.get(epoch.key) != content and (epoch.key, content) not in self._given_up:
                    wanted[epoch.key] = (epoch.number, content)
        self._settling = {key: self._settling.get(key, Settling(self._quiet_s)) for key in wanted}
        for key, (number, content) in wanted.items():
            if self._settling[key].is_settled(content, mono):
                self._submit(key, number, content, mono)

    def _submit(self, key: str, number: int, content: str, mono: float) -> None:
        done = partial(self._done, key, content)
        arguments = ("export", "--epoch", str(number), "--json")
        self._jobs.submit(Job(f"export of epoch {number}", arguments, done), mono)

    def _done(self, key: str, content: str, result: JobResult) -> None:
        """Note the snapshot that a job published; the one before it is superseded."""
        path = Path(str((result.document or {}).get("path") or ""))
        document = read_snapshot(path)
        if result.exit_code != 0 or document is None:
            # The job was tried several times; a run that arrives, or a restart, tries again.
            self._given_up.add((key, content))
            self._telling.log.error("epoch.not_published", job=result.name, said=result.said)
            return
        record = record_of(path, document)
        snapshot = EpochSnapshot(key, record.path, record.dataset_hash, content, record.published_ms, None)
        with self._writer.transaction() as connection:
            keep_snapshot(connection, record)
            keep_epoch_snapshot(connection, snapshot)
        self._telling.log.info("epoch.published", path=record.path, rows=record.example_count)
