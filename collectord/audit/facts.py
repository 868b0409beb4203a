"""What the audit knows: plain values gathered once. Every answer is a function of these and of the time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from collectord.audit.findings import DAY_MS, LANE_A, LANE_B, LANE_C, OTHER_LANE, SERIAL, SPECULATE
from collectord.kernel.artifact_facts import ArtifactFacts, Bin
from collectord.kernel.beads import blockers, critical_path, first_set, issue_attempts, issue_tags
from collectord.kernel.jsonio import JsonObject
from collectord.kernel.values import text_or_none


@dataclass(frozen=True, slots=True)
class Action:
    """An action in the policy's own bins; `minutes` is "NA" where there was no timeout."""

    swarm: str
    candidates: Bin
    minutes: Bin

    @property
    def lane(self) -> str:
        """A, B, C, or `other` for what is none of the three."""
        if self.swarm == SERIAL:
            return LANE_A.key
        if self.swarm == SPECULATE and self.candidates in (2, 3):
            return LANE_B.key if self.candidates == 2 else LANE_C.key
        return OTHER_LANE

    @property
    def words(self) -> str:
        """`speculate_vote×2, 60 min`."""
        minutes = "no limit" if self.minutes == "NA" else f"{self.minutes} min"
        return f"{self.swarm}×{self.candidates}, {minutes}"


@dataclass(frozen=True, slots=True)
class AuditRun:
    """One run: what the index tells of it, and what its artifacts do."""

    name: str
    run_id: str
    issue_id: str | None
    started_ms: int
    finished_ms: int | None
    seen_ms: int
    job_type: str
    status: str
    toolchain: str | None
    model: str | None
    genome: str | None
    cost_usd: float | None
    duration_ms: int
    has_proof: bool
    hash_state: str
    input_state: str
    label: Action | None
    recorded: ArtifactFacts = field(default_factory=ArtifactFacts)
    epoch: int = 1

    @property
    def lane(self) -> str | None:
        """The lane of its label; None without one."""
        return self.label.lane if self.label else None

    @property
    def block(self) -> str:
        """What belongs together in a test: the runs of one issue."""
        return self.issue_id if self.issue_id is not None else f"run {self.run_id}"

    @property
    def k2(self) -> tuple[object, ...]:
        """The key of what a person sets on an issue: job type, risk, size, hint and sorted tags."""
        t = self.recorded
        return self.job_type, t.risk, t.size, t.hint, tuple(sorted(t.tags))


@dataclass(frozen=True, slots=True)
class BacklogIssue:
    """One Beads issue as it is now; fields that are missing or of an unknown value are None."""

    issue_id: str
    title: str
    description: str
    status: str
    risk: str | None
    size: str | None
    hint: str | None
    tags: tuple[str, ...]
    attempts: int = 0
    max_attempts: int = 3
    escalated: bool = False
    speculate: bool = False
    on_critical_path: bool = False
    blocked_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Epoch:
    """A span in which the environment was one and the same."""

    number: int
    from_ms: int
    to_ms: int | None
    fingerprint: str | None = None
    words: str = ""


@dataclass(frozen=True, slots=True)
class Agreement:
    """One recorded input against the one that the index would build.

    `history_equal`: the same runs (None: not compared); `contents_equal`: also in the same order, each with
    the same outcome in every detail.
    """

    name: str
    hash_state: str
    history_equal: bool | None
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    issue_differs: tuple[str, ...] = ()
    issue_compared: bool = True
    contents_equal: bool = True


@dataclass(frozen=True, slots=True)
class SnapshotFact:
    """The newest published dataset; `rebuilt` is None where it was not made again."""

    path: str
    dataset_hash: str
    rows: int
    published_ms: int
    exists: bool
    rebuilt: bool | None = None
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An alert that nobody has acknowledged and whose cause stands; `words` say what it is about."""

    event: str
    opened_ms: int
    words: str


@dataclass(frozen=True, slots=True)
class Health:
    """How the collection itself is; `unseen` are workcells that ended in the log without an archive.

    `lines_dropped` are those of a file of Beads that no kernel reads. `copies` are archives that copy another
    one, with its name: they are no runs of the audit, as they are no rows of a dataset.
    `time_conflicts` counts runs whose times contradict each other, by how they do (`kernel/dispatch.py`).
    """

    archives: Mapping[str, int]
    reasons: tuple[tuple[str, str, str], ...] = ()
    unseen: tuple[str, ...] = ()
    last_ingest_ms: int | None = None
    alerts: tuple[OpenAlert, ...] = ()
    snapshot: SnapshotFact | None = None
    time_conflicts: Mapping[str, int] = field(default_factory=dict)
    lines_dropped: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    copies: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LabelVariety:
    """Several labels that one rule of an epoch's policy gives to equal issues, by design.

    `rule` is its index in the configuration (None: no rule decides), `rows` the runs of such issues, `lost`
    those that no policy which gives one label can get right; `remedy` would make it one label.
    """

    epoch: int
    rule: int | None
    labels: tuple[str, ...]
    rows: int
    lost: int
    remedy: str


@dataclass(frozen=True, slots=True)
class AuditFacts:
    """Everything the audit looks at, as of `now_ms`; `runs` are in order of dispatch.

    `credentials` are the kinds of what looks like one in an issue's texts, by issue; never the values.
    `unrun_since_ms` is since when another environment is in effect than the last run has.
    """

    repo: str
    now_ms: int
    window_ms: int
    runs: tuple[AuditRun, ...]
    backlog: tuple[BacklogIssue, ...] = ()
    epochs: tuple[Epoch, ...] = ()
    agreement: tuple[Agreement, ...] = ()
    health: Health = field(default_factory=lambda: Health({}))
    policy_unknown: str | None = None
    concurrent: int | None = None
    varieties: tuple[LabelVariety, ...] = ()
    credentials: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unrun_since_ms: int | None = None

    @property
    def window_start_ms(self) -> int:
        """When the window began."""
        return self.now_ms - self.window_ms

    @property
    def recent(self) -> tuple[AuditRun, ...]:
        """The runs of the window."""
        start_ms = self.window_start_ms
        return tuple(run for run in self.runs if run.started_ms >= start_ms)

    @property
    def window_words(self) -> str:
        """`the last 7 days`."""
        for unit, ms in (("days", DAY_MS), ("hours", DAY_MS // 24)):
            if self.window_ms >= 2 * ms:
                return f"the last {self.window_ms // ms:,} {unit}"
        return f"the last {self.window_ms // 60_000:,} minutes"


RISKS = ("low", "medium", "high", "critical")
SIZES = ("XS", "S", "M", "L", "XL")
DONE = frozenset({"done", "closed", "cancelled", "canceled", "wontfix"})
READY = frozenset({"open", "ready"})
DEFAULT_MAX_ATTEMPTS = 3
ESCALATED_TAG = "escalation"


def backlog_of(
    records: Mapping[str, JsonObject], edges: tuple[tuple[str, str], ...]
) -> tuple[BacklogIssue, ...]:
    """Every issue of the Beads file, with what holds it back now."""
    open_ids = frozenset(key for key, record in records.items() if _status(record) not in DONE)
    blocked_by = blockers(edges, open_ids)
    critical = critical_path(blocked_by, open_ids)
    return tuple(
        _issue(key, record, blocked_by.get(key, ()), key in critical) for key, record in records.items()
    )


def _issue(key: str, record: JsonObject, blocked_by: tuple[str, ...], critical: bool) -> BacklogIssue:
    most = record.get("dk_max_attempts")
    status = _status(record)
    tags = tuple(issue_tags(record))
    return BacklogIssue(
        issue_id=key,
        title=text_or_none(record.get("title")) or "",
        description=text_or_none(record.get("description")) or "",
        status=status,
        risk=_known(first_set(record, "dk_risk", "risk"), RISKS),
        size=_known(first_set(record, "dk_size", "size"), SIZES),
        hint=text_or_none(first_set(record, "dk_tool_hint", "tool_hint")),
        tags=tags,
        attempts=issue_attempts(record),
        max_attempts=DEFAULT_MAX_ATTEMPTS if most is None else int(most),
        escalated=status == "escalated" or bool(record.get("dk_escalated")) or ESCALATED_TAG in tags,
        speculate=bool(record.get("dk_speculate")),
        on_critical_path=critical,
        blocked_by=blocked_by,
    )


def _status(record: JsonObject) -> str:
    return (text_or_none(record.get("status")) or "open").lower()


def _known(value: object, allowed: tuple[str, ...]) -> str | None:
    return value if isinstance(value, str) and value in allowed else None


def is_ready(issue: BacklogIssue) -> bool:
    """Open or ready, nothing open before it, attempts left, not escalated."""
    left = issue.attempts < issue.max_attempts
    return issue.status in READY and not issue.blocked_by and left and not issue.escalated
