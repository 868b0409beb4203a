"""What an audit says and asks for, and the thresholds it judges by."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

SERIAL = "serial_handoff"
SPECULATE = "speculate_vote"
DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
TREND_WEEKS = 8


@dataclass(frozen=True, slots=True)
class Lane:
    """One of the three kinds of action that a collection wants, with the band of its share."""

    key: str
    name: str
    low: float
    high: float


LANE_A = Lane("A", "serial_handoff", 0.50, 0.70)
LANE_B = Lane("B", "speculate_vote×2", 0.20, 0.40)
LANE_C = Lane("C", "speculate_vote×3", 0.05, 0.15)
LANES = (LANE_A, LANE_B, LANE_C)
OTHER_LANE = "other"
# The two minute bins that the strategy wants to see both of; it names no shares for them.
WANTED_MINUTES = (45, 60)

# Simultaneous confidence of the three lane intervals.
CONFIDENCE = 0.95
# Below so many runs a share says nothing; a window with fewer than THIN_WINDOW is joined by earlier weeks.
LEAST_RUNS = 20
THIN_WINDOW = 300
THIN_WEEKS = 4
# Advice aims this far into a band: at its very edge the next week's chance would bring it back.
AIM = 0.35
# A question of "how many runs would settle it" is not worth an answer beyond this.
MOST_RUNS = 100_000

# A cell of the grid with fewer rows teaches little: its pass rate is not even known to ±20 points.
THIN_BELOW = 20

# Fewer labelled runs than this that contradict others are noise, and no reason to do something.
FEW_CONFLICTS = 0.02

# Drift: reported only when both hold, so that a large collection does not report trifles.
DRIFT_P = 0.01
DRIFT_SHIFT = 0.10
EFFECTIVE_ROWS = 50
AUDITS_A_YEAR = 52

# Schedule pressure: few enough ready issues to choose from, enough to keep every workcell busy.
READY_RANGE = (10, 50)
CONCURRENT_RANGE = (2, 3)

# Archives that a phase begins with and wants; phase 3 is about candidates, not about numbers.
PHASES = (
    (0, "until archives are whole and gates test something", 10, 15),
    (1, "enough for a first planner", 500, 2_000),
    (2, "enough for a planner to trust", 5_000, 20_000),
)
LAST_PHASE = 3

# One day or one issue with a larger share makes its week a poor sample.
BUSIEST_DAY = 0.50
BUSIEST_ISSUE = 0.20
QUEUE_GAP_MS = DAY_MS


class Kind(StrEnum):
    """What `--fail-on` may name; each finding is of one kind."""

    OUT = "out"
    LEANING = "leaning"
    BLOCKED = "blocked"
    CONFLICT = "conflict"
    DRIFT = "drift"
    ENVIRONMENT = "environment"
    DISAGREEMENT = "disagreement"
    QUALITY = "quality"
    UNSTEADY = "unsteady"
    PRESSURE = "pressure"
    COLLECTION = "collection"
    UNDETERMINED = "undetermined"
    NOTE = "note"


# What costs the dataset most stands first, of what somebody can do this week: what falsifies rows, what loses
# runs, what no issue can mend, equal issues with different labels, then the mix and the way it is fed.
_ORDER = (
    Kind.DISAGREEMENT,
    Kind.COLLECTION,
    Kind.BLOCKED,
    Kind.CONFLICT,
    Kind.ENVIRONMENT,
    Kind.OUT,
    Kind.LEANING,
    Kind.PRESSURE,
    Kind.UNSTEADY,
    Kind.QUALITY,
    Kind.DRIFT,
    Kind.UNDETERMINED,
    Kind.NOTE,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """`do` is one thing to do, in the imperative; `why` the numbers behind it."""

    kind: Kind
    answer: str
    do: str
    why: str


def in_order(findings: list[Finding]) -> list[Finding]:
    """Findings by what to do first; those of a kind stay as they came."""
    return sorted(findings, key=lambda finding: _ORDER.index(finding.kind))
