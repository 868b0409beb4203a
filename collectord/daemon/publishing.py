"""Snapshots of sealed epochs: each is exported by a job, and again where runs of it arrive later."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from collectord.cyntra.values import as_object
from collectord.daemon.jobs import Job, JobResult, Jobs
from collectord.daemon.settled import Settling
from collectord.daemon.telling import Telling
from collectord.environment.survey import Survey
from collectord.export.publish import read_snapshot
from collectord.index.engine import IndexConnection
from collectord.index.seals import EpochSnapshot, epoch_snapshots, keep_epoch_snapshot, seals
from collectord.index.snapshots import SnapshotRecord, keep_snapshot, record_of
from collectord.index.writer import IndexWriter
from collectord.model import Epoch

# What the name of every job begins with that publishes an epoch; its number follows.
EXPORT_OF = "export of epoch "
# An epoch by its key, its number and a digest of what it holds: what one export is asked for.
Asked = tuple[str, int, str]


class Publisher:
    """Belongs to the loop's thread; `quiet_s` is how long nothing may arrive before an export begins."""

    def __init__(self, writer: IndexWriter, jobs: Jobs, telling: Telling, quiet_s: float) -> None:
        self._writer, self._jobs, self._telling, self._quiet_s = writer, jobs, telling, quiet_s
        self._settling: dict[str, Settling] = {}
        self._given_up: set[Asked] = set()
        self._renumbered: set[Asked] = set()

    @property
    def waits(self) -> bool:
        """Whether an epoch waits for its export to begin."""
        return bool(self._settling)

    def look(self, connection: IndexConnection, found: Survey, mono: float) -> None:
        """Submit the export of each sealed epoch that has no snapshot of what it holds now."""
        sealed = {key for key, seal in seals(connection).items() if seal.sealed_ms is not None}
        published = {key: listed[-1].content for key, listed in epoch_snapshots(connection).items()}
        ended = [(e, found.content_of(e.number)) for e in found.folded.epochs if e.key in sealed]
        lacking = [(epoch, content) for epoch, content in ended if published.get(epoch.key) != content]
        # With those that were given up, which are failing still; what stood under a number of before is over.
        self._jobs.keep_only(EXPORT_OF, {_job_name(epoch) for epoch, _ in lacking})
        wanted = [one for one in lacking if _asked(*one) not in self._given_up]
        self._settling = {e.key: self._settling.get(e.key, Settling(self._quiet_s)) for e, _ in wanted}
        for epoch, content in wanted:
            if self._settling[epoch.key].is_settled(content, mono):
                self._submit(epoch, content, mono)

    def _submit(self, epoch: Epoch, content: str, mono: float) -> None:
        done = partial(self._done, epoch, content)
        arguments = ("export", "--epoch", str(epoch.number), "--json")
        self._jobs.submit(Job(_job_name(epoch), arguments, done), mono)

    def _done(self, epoch: Epoch, content: str, result: JobResult) -> None:
        """Note the snapshot that a job published; the one before it is superseded."""
        path = Path(str((result.document or {}).get("path") or ""))
        document = read_snapshot(path)
        if result.exit_code != 0 or document is None:
            # The job was tried several times; a run that arrives, another number, or a restart tries again.
            self._give_up(epoch, content, result.name, result.said)
        elif not _is_of(document, epoch):
            self._renumbered_meanwhile(epoch, content, result.name)
        else:
            self._keep(epoch.key, content, record_of(path, document))

    def _renumbered_meanwhile(self, epoch: Epoch, content: str, job: str) -> None:
        """An epoch found before this one gave its number to another: the next look asks by the new number."""
        if _asked(epoch, content) in self._renumbered:
            said = "it exported another epoch twice; was the configuration changed without a reload?"
            self._give_up(epoch, content, job, said)
        self._renumbered.add(_asked(epoch, content))

    def _give_up(self, epoch: Epoch, content: str, job: str, said: str) -> None:
        self._given_up.add(_asked(epoch, content))
        self._telling.log.error("epoch.not_published", job=job, said=said)

    def _keep(self, key: str, content: str, record: SnapshotRecord) -> None:
        snapshot = EpochSnapshot(key, record.path, record.dataset_hash, content, record.published_ms, None)
        with self._writer.transaction() as connection:
            keep_snapshot(connection, record)
            keep_epoch_snapshot(connection, snapshot)
        self._telling.log.info("epoch.published", path=record.path, rows=record.example_count)


def _job_name(epoch: Epoch) -> str:
    return f"{EXPORT_OF}{epoch.number}"


def _asked(epoch: Epoch, content: str) -> Asked:
    return epoch.key, epoch.number, content


def _is_of(document: Mapping[str, Any], epoch: Epoch) -> bool:
    told = as_object(document.get("epoch"))
    return all(told.get(name) == getattr(epoch, name) for name in ("fingerprint", "since_ms", "ended_ms"))
