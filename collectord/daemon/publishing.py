"""Snapshots of sealed epochs: each is exported by a job once nothing has arrived for a while, and again where
runs of it arrive later.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from collectord.daemon.daemon_log import DaemonLog
from collectord.daemon.jobs import Job, JobResult, Jobs
from collectord.dataset.publish import read_snapshot
from collectord.epochs.survey import Survey
from collectord.index.engine import IndexConnection
from collectord.index.environments import EpochSnapshot, epoch_snapshots, seals, store_epoch_snapshot
from collectord.index.snapshots import SnapshotRecord, record_of, store_snapshot
from collectord.index.writer import IndexWriter
from collectord.model import Epoch


class Settling:
    """Says that a value is settled once it was the same for so long, in seconds."""

    def __init__(self, quiet_s: float) -> None:
        self._quiet_s = quiet_s
        self._value: object = None
        self._since: float | None = None

    def is_settled(self, value: object, mono: float) -> bool:
        """One look at the value."""
        if self._since is None or value != self._value:
            self._value, self._since = value, mono
        return mono - self._since >= self._quiet_s

    def clear(self) -> None:
        """Forget what was seen."""
        self._since = None


# What the name of every job begins with that publishes an epoch; what its key begins with follows.
EXPORT_OF = "export of epoch "
# An epoch by its key and a digest of what it holds: what one export is asked for.
Asked = tuple[str, str]


class Publisher:
    """Belongs to the loop's thread; `quiet_s` is how long nothing may arrive before an export begins."""

    def __init__(self, writer: IndexWriter, jobs: Jobs, journal: DaemonLog, quiet_s: float) -> None:
        self._writer, self._jobs, self._journal, self._quiet_s = writer, jobs, journal, quiet_s
        self._settling: dict[str, Settling] = {}
        self._given_up: set[Asked] = set()

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
        # With those that were given up, which are failing still; what stood under a key of before is over.
        self._jobs.keep_only(EXPORT_OF, {_job_name(epoch) for epoch, _ in lacking})
        wanted = [
            (epoch, content) for epoch, content in lacking if (epoch.key, content) not in self._given_up
        ]
        self._settling = {e.key: self._settling.get(e.key, Settling(self._quiet_s)) for e, _ in wanted}
        for epoch, content in wanted:
            if self._settling[epoch.key].is_settled(content, mono):
                self._submit(epoch, content, mono)

    def _submit(self, epoch: Epoch, content: str, mono: float) -> None:
        done = partial(self._done, epoch, content)
        # By its key: a run that arrives late can give its number to another before the job begins.
        arguments = ("export", "--epoch", epoch.key, "--json")
        self._jobs.submit(Job(_job_name(epoch), arguments, done), mono)

    def _done(self, epoch: Epoch, content: str, result: JobResult) -> None:
        """Note the snapshot that a job published; the one before it is superseded."""
        path = Path(str((result.document or {}).get("path") or ""))
        document = read_snapshot(path)
        if result.exit_code != 0 or document is None:
            # The job was tried several times; a run that arrives, another end, or a restart tries again.
            self._given_up.add((epoch.key, content))
            self._journal.log.error("epoch.not_published", job=result.name, said=result.said)
        else:
            self._note(epoch.key, content, record_of(path, document))

    def _note(self, key: str, content: str, record: SnapshotRecord) -> None:
        snapshot = EpochSnapshot(key, record.path, record.dataset_hash, content, record.published_ms, None)
        with self._writer.transaction() as connection:
            store_snapshot(connection, record)
            store_epoch_snapshot(connection, snapshot)
        self._journal.log.info("epoch.published", path=record.path, rows=record.example_count)


def _job_name(epoch: Epoch) -> str:
    fingerprint, _, end = epoch.key.partition("@")
    return f"{EXPORT_OF}{fingerprint[:12]}@{end}"
