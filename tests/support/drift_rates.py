"""How often the drift test says drift: measured over simulated collections, in CI and in the soak."""

from __future__ import annotations

from dataclasses import dataclass

from collectord.audit.findings import DRIFT_P
from collectord.audit.shift import drift
from tests.support.collections import WEEKS, as_of, collection


@dataclass(frozen=True, slots=True)
class Rates:
    """`audits` that could be judged, `alarms` among them, `insufficient` beside them."""

    audits: int
    alarms: int
    insufficient: int

    @property
    def share(self) -> float:
        """Alarms an audit."""
        return self.alarms / (self.audits or 1)


def false_alarms(collections: int, *, rows_a_week: int, retries: bool, first: int = 0) -> Rates:
    """Weekly audits of collections without drift, one a week from the second week on."""
    verdicts = [
        drift(as_of(found, back)).verdict
        for seed in range(first, first + collections)
        for found in [collection(seed, rows_a_week=rows_a_week, retries=retries)]
        for back in reversed(range(WEEKS - 1))
    ]
    return _rates(verdicts)


def found_shifts(collections: int, *, rows_a_week: int, shift: float, first: int = 0) -> Rates:
    """One audit of each collection at the end of its last week, in which fewer runs passed."""
    verdicts = []
    for seed in range(first, first + collections):
        answer = drift(collection(seed, rows_a_week=rows_a_week, shift=shift))
        alarm = any(one.drifted and one.what == "success" for one in answer.tested)
        verdicts.append("drift" if alarm else "none" if answer.tested else answer.verdict)
    return _rates(verdicts)


def main() -> int:
    """Measure all of what the audit promises, over 500 collections each; some twelve minutes of one core."""
    promised = [
        ("false alarms, repeated issues", false_alarms(500, rows_a_week=200, retries=False), 0.0, DRIFT_P),
        ("false alarms, retried failures", false_alarms(500, rows_a_week=200, retries=True), 0.0, DRIFT_P),
        ("a shift of 20 points found", found_shifts(500, rows_a_week=200, shift=0.2), 0.8, 1.0),
    ]
    for what, rates, low, high in promised:
        kept = "kept" if low <= rates.share <= high else "BROKEN"
        print(f"{what}: {rates.alarms} of {rates.audits} audits ({rates.share:.4f}), {low}–{high}: {kept}")
    return int(any(not low <= rates.share <= high for _, rates, low, high in promised))


def _rates(verdicts: list[str]) -> Rates:
    judged = [verdict for verdict in verdicts if verdict != "insufficient"]
    return Rates(len(judged), judged.count("drift"), len(verdicts) - len(judged))


if __name__ == "__main__":
    raise SystemExit(main())
