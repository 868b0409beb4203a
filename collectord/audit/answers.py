"""One of each answer of an audit; the names are the members of the JSON document."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from collectord.audit.agreement import AgreementAnswer
from collectord.audit.backlog import Backlog
from collectord.audit.collection import HealthAnswer, Steadiness
from collectord.audit.consistency import Consistency
from collectord.audit.coverage import Coverage
from collectord.audit.fill import Fill
from collectord.audit.findings import Finding, in_order
from collectord.audit.lanes import Lanes
from collectord.audit.outcomes import Outcomes
from collectord.audit.phase import Phase
from collectord.audit.quality import Quality
from collectord.audit.shift import Drift


@dataclass(frozen=True, slots=True)
class Answers:
    """One of each; the names are the members of the JSON document."""

    coverage: Coverage
    lanes: Lanes
    fill: Fill
    backlog: Backlog
    consistency: Consistency
    agreement: AgreementAnswer
    phase: Phase
    outcomes: Outcomes
    drift: Drift
    quality: Quality
    steadiness: Steadiness
    health: HealthAnswer

    @property
    def findings(self) -> list[Finding]:
        """Everything that was found, by what to do first."""
        each: Iterable[str] = self.__dataclass_fields__
        return in_order([finding for name in each for finding in getattr(self, name).findings])
