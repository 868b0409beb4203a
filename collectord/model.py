"""Core values: what travels down the flow from a directory on disk to a row of a dataset.

All values are frozen. Times are UTC epoch milliseconds and named `*_ms`; `*_ns` are nanoseconds as
the file system gives them. Nothing here reads a clock or a file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

ARCHIVE = "archive"
WORLD = "world"


class FileState(StrEnum):
    """What became of one core file when it was read."""

    READ = "read"
    MISSING = "missing"
    REFUSED = "refused"


class OutcomeKind(StrEnum):
    """What became of one directory; every directory ends in exactly one of these."""

    INDEXED = "indexed"
    UNCHANGED = "unchanged"
    PARTIAL = "partial"
    QUARANTINED = "quarantined"
    IGNORED = "ignored"
    SETTLING = "settling"
    VANISHED = "vanished"


@dataclass(frozen=True, slots=True)
class Entry:
    """One top-level entry of an archive as lstat saw it."""

    name: str
    kind: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at an archive directory without opening any file in it."""

    name: str
    dir_mtime_ns: int
    dir_ctime_ns: int
    device: int
    inode: int
    entries: tuple[Entry, ...]
    signature: str

    @property
    def newest_mtime_ns(self) -> int:
        """The youngest modification of an entry directly in it; of the directory where it has none."""
        return max((e.mtime_ns for e in self.entries), default=self.dir_mtime_ns)

    def has(self, name: str) -> bool:
        """Whether an entry of that name is directly in the archive."""
        return any(e.name == name for e in self.entries)


@dataclass(frozen=True, slots=True)
class CoreFile:
    """One core file of an archive: its raw bytes, or why they were not taken."""

    name: str
    state: FileState
    data: bytes = b""
    sha256: str | None = None
    mtime_ns: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Artifacts:
    """The core files of one archive as they were read in one go, in a fixed order."""

    files: tuple[CoreFile, ...]

    def get(self, name: str) -> CoreFile | None:
        """The core file of that name, if it was looked for."""
        return next((f for f in self.files if f.name == name), None)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one directory, with the reason a person can read."""

    name: str
    kind: OutcomeKind
    reason: str | None = None
    revision: int | None = None
    details: dict[str, object] = field(default_factory=dict, hash=False, compare=False)


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What the index keeps of one core file of a revision."""

    name: str
    state: str
    sha256: str | None
    mtime_ns: int | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Label:
    """The executed plan of a run as it was recorded; `explicit` plans alone can become rows.

    `recorded_swarms` are the swarms of the recorded action space, None where none was recorded.
    """

    explicit: bool
    swarm_id: str | None
    max_candidates: int | None
    timeout_seconds: int | None
    max_iterations: int | None
    recorded_swarms: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Run:
    """One executed run as derived from the artifacts of one revision; all texts are the run's own.

    `summary` is the run in rebuilt histories (CONTRACT.md section 7), `builder_summary` the one of the
    kernel's own builder or None where it makes none. `finished_ms` is None where only the arrival of the
    archive tells.
    """

    run_id: str
    issue_id: str | None
    job_type: str
    domain: str
    status: str
    toolchain: str | None
    model: str | None
    prompt_genome_id: str | None
    started_ms: int
    started_source: str
    finished_ms: int | None
    duration_ms: int
    cost_usd: float | None
    tokens_used: int | None
    has_proof: bool
    has_rollout: bool
    ends_in_event_log: bool
    input_state: str
    hash_state: str
    encodable: bool
    summary: dict[str, Any]
    builder_summary: dict[str, Any] | None
    label: Label | None


@dataclass(frozen=True, slots=True)
class Reading:
    """One revision of a directory, read and understood: what ingest hands to the index.

    `whole`: there is a manifest, and the core files that are there parse; settling waits for that.
    """

    kind: str
    name: str
    signature: str
    digest: str
    partial: str | None
    dir_mtime_ns: int
    files: tuple[CoreFile, ...]
    run: Run | None
    whole: bool


@dataclass(frozen=True, slots=True)
class Known:
    """What the index holds of a directory: enough to tell whether it must be read again."""

    kind: str
    name: str
    state: str
    reason: str | None
    signature: str | None
    revision: int | None
    digest: str | None
    gone_ms: int | None
    tries: int


@dataclass(frozen=True, slots=True)
class IssueRevision:
    """One state of a Beads record and when collectord first saw it."""

    issue_id: str
    seen_ms: int
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class IndexedRun:
    """A run of a current revision as the export reads it back.

    `summary` is JSON text, of the builder's summary or of ours, whichever was asked for; `digest` is
    the revision's, `artifacts` are name → sha256; `complete_ms` is when the archive was first seen complete.
    """

    kind: str
    name: str
    digest: str
    run_id: str
    started_ms: int
    finished_ms: int | None
    complete_ms: int
    duration_ms: int
    input_state: str
    hash_state: str
    encodable: bool
    ends_in_event_log: bool
    job_type: str
    domain: str
    summary: str
    label: Label | None
    artifacts: dict[str, str]
