"""Core values: what travels down the flow from a directory on disk to a row of a dataset.

All values are frozen; those of which each archive has some are tuples, which are made in a third of the time.
Times are UTC epoch milliseconds and named `*_ms`; `*_ns` are nanoseconds as the file system gives them.
Nothing here reads a clock or a file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

Progress = Callable[[int, int], None]  # (done, of how many; 0 where that is not known)

ARCHIVE = "archive"
WORLD = "world"
WORLD_RUNS = ".cyntra/runs"  # where world runs lie in a repo
REPORTS = Path(".cyntra/reports/collectord")
# An environment that is known from the history of the repo.
GIT = "git"


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


class Entry(NamedTuple):
    """One top-level entry of an archive as lstat saw it; a tuple, as a dozen are made for each archive."""

    name: str
    kind: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


class Observation(NamedTuple):
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

    @property
    def newest_ctime_ns(self) -> int:
        """When the file system last changed the directory or an entry directly in it."""
        return max((self.dir_ctime_ns, *(e.ctime_ns for e in self.entries)))

    def has(self, name: str) -> bool:
        """Whether an entry of that name is directly in the archive."""
        return name in [e.name for e in self.entries]


class CoreFile(NamedTuple):
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


class Outcome(NamedTuple):
    """What became of one directory, with the reason a person can read."""

    name: str
    kind: OutcomeKind
    reason: str | None = None
    revision: int | None = None


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


class Evidence(NamedTuple):
    """What a manifest shows of the environment that its run had; None where it shows nothing.

    `domain` is the one that genomes and control modes are chosen by, `gates` are (name, command),
    `universe_defaults` are (swarm, objective). A value that something else than the environment decided is
    None, with its name in `overridden`.
    """

    toolchain: str | None = None
    model: str | None = None
    prompt_genome_id: str | None = None
    domain: str | None = None
    gates: tuple[tuple[str, str], ...] | None = None
    control_mode: str | None = None
    timeout_seconds: int | None = None
    universe_id: str | None = None
    universe_defaults: tuple[str | None, str | None] | None = None
    swarm_ids: tuple[str, ...] | None = None
    overridden: tuple[str, ...] = ()


class Situation(NamedTuple):
    """What a run was dispatched for, as its manifest shows it: the key by which equal issues are found.

    `tags` are sorted. `available_toolchains` is no part of the key: it is a cause of different labels.
    """

    job_type: str
    risk: str | None = None
    size: str | None = None
    tool_hint: str | None = None
    tags: tuple[str, ...] = ()
    available_toolchains: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class KeptRow:
    """A dataset row that depends on one manifest only; `key` is a digest of all that its bytes depend on."""

    key: bytes
    data: bytes


class Run(NamedTuple):
    """One executed run as derived from the artifacts of one revision; all texts are the run's own.

    `summary` is the run in rebuilt histories (CONTRACT.md section 7), `builder_summary` the one of the
    kernel's own builder or None where it makes none; `executed` and `issue_text` are JSON texts of what a
    manifest records of the action and of its issue (`cyntra.executed`). `finished_ms` is None where only the
    arrival of the archive tells; `time_conflict` is how its times contradict each other (`cyntra.dispatch`).
    `artifact_facts` is what the audit asks its artifacts for, as a JSON text (`kernel/artifact_facts.py`);
    None for a world.
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
    evidence: Evidence = Evidence()
    situation: Situation | None = None
    executed: str = "null"
    issue_text: str | None = None
    time_conflict: str | None = None
    artifact_facts: str | None = None
    row: KeptRow | None = None


class Reading(NamedTuple):
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
    glance: str | None = None


class Known(NamedTuple):
    """What the index holds of a directory: enough to tell whether it must be read again.

    `glance` is that of the look that gave the signature (`archive.glance`), None where none is known.
    """

    kind: str
    name: str
    state: str
    reason: str | None
    signature: str | None
    revision: int | None
    gone_ms: int | None
    tries: int
    glance: str | None = None


@dataclass(frozen=True)
class Selection:
    """The runs that an export takes; `others` are (kind, name) of those that are left out.

    The documents tell of the epoch and its environment, and are empty where nothing is known of them.
    """

    epoch: int | None = None
    environment: str | None = None
    others: frozenset[tuple[str, str]] = frozenset()
    epoch_document: dict[str, Any] | None = None
    environment_document: dict[str, Any] | None = None
    drift: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class IssueRevision:
    """One state of a Beads record and when collectord first saw it."""

    issue_id: str
    seen_ms: int
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class IndexedRun:
    """A run of a current revision as the export reads it back.

    `summary` is JSON text, of the builder's summary or of ours, whichever was asked for, `status` the outcome
    in it; `digest` is
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
    status: str
    summary: str
    label: Label | None
    artifacts: dict[str, str]
    time_conflict: str | None = None


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment as the index keeps it.

    `origin` is `policy` for one that was read from the repo, `evidence` for one that only runs show.
    """

    fingerprint: str
    origin: str
    normaliser: int
    digests: dict[str, str]
    components: dict[str, Any]
    unrecognised: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Launch:
    """The options of `cyntra run` that change labels: with others the same files are another environment.

    `config` is the configuration file, a path below the repo or, where it lies outside of it, from the root
    on; None is `.cyntra/config.yaml`. Without `universe` the kernel runs in none.
    """

    config: str | None = None
    universe: str | None = None
    speculate: bool = False

    @property
    def command(self) -> str:
        """As it would be typed."""
        config = f" -c {self.config}" if self.config is not None else ""
        universe = f" --universe {self.universe}" if self.universe is not None else ""
        return f"cyntra{config} run{universe}{' --speculate' if self.speculate else ''}"


@dataclass(frozen=True, slots=True)
class KernelSession:
    """One process of the kernel of this repo, from its start, which the system knows exactly, to its end.

    It was seen from `first_seen_ms` to `last_seen_ms`, and not any more at `gone_ms` (None: it runs).
    """

    pid: int
    started_ms: int
    launch: Launch
    max_concurrent: int | None
    first_seen_ms: int
    last_seen_ms: int
    gone_ms: int | None = None


@dataclass(frozen=True, slots=True)
class EnvironmentObservation:
    """One look at the repo that found another environment than the look before.

    `source` is daemon, start (the first look after nobody looked) or git. It stands since `since_ms` and was
    seen at `seen_ms`; the look before was at `previous_ms` (None: there was none). `launch` is the command of
    the kernel that it is the environment of, None for one that was started without options.
    """

    fingerprint: str
    source: str
    since_ms: int
    seen_ms: int
    previous_ms: int | None = None
    commit: str | None = None
    launch: str | None = None


@dataclass(frozen=True, slots=True)
class EnvironmentChange:
    """One fingerprint followed another; `source` says how that is known: daemon, start or git."""

    at_ms: int
    before: str
    after: str
    source: str


@dataclass(frozen=True, slots=True)
class Epoch:
    """A longest stretch of runs under one environment.

    `key` names it whatever its number becomes, `first_ms` and `last_ms` are dispatch times. `since_ms` is
    when its environment or the cut before it took effect, `ended_ms` when the next one did (None: nothing has
    ended it), and `why` says what ended it. `origin` is that of its environment. `strays` are runs in it
    that its environment does not explain.
    """

    number: int
    key: str
    fingerprint: str
    origin: str
    first_ms: int
    last_ms: int
    runs: int
    since_ms: int
    ended_ms: int | None = None
    why: str | None = None
    strays: int = 0


@dataclass(frozen=True, slots=True)
class Alert:
    """Something about the environment that a person should know.

    `event` is a constant, `key` tells causes apart; the same cause stays one alert while it is open.
    """

    id: int
    event: str
    key: str
    opened_ms: int
    last_ms: int
    resolved_ms: int | None
    acked_ms: int | None
    fields: dict[str, Any]
