"""All answers, and what to do first. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from collectord.audit.agreement import AgreementAnswer, agreement
from collectord.audit.backlog import Backlog, backlog
from collectord.audit.consistency import Consistency, consistency
from collectord.audit.coverage import Coverage, coverage
from collectord.audit.drift import Drift, drift
from collectord.audit.facts import AuditFacts
from collectord.audit.fill import Fill, fill
from collectord.audit.findings import Finding, in_order
from collectord.audit.health import HealthAnswer, health
from collectord.audit.lanes import Lanes, lanes
from collectord.audit.outcomes import Outcomes, outcomes
from collectord.audit.phase import Phase, phase
from collectord.audit.quality import Quality, quality
from collectord.audit.reachability import player_of, reach_of
from collectord.audit.steadiness import Steadiness, steadiness
from collectord.cyntra.policy import Search, Surface, search


@dataclass(frozen=True, slots=True)
class Answers:
    """One of each; the names are the members of the JSON document."""

    coverage: Coverage
    lanes: Lanes
    fill: Fill
    backlog: Backlog
    consistency: Consistency
    agreement: AgreementAnswer
    outcomes: Outcomes
    drift: Drift
    quality: Quality
    steadiness: Steadiness
    phase: Phase
    health: HealthAnswer

    @property
    def findings(self) -> list[Finding]:
        """Everything that was found, by what to do first."""
        each: Iterable[str] = self.__dataclass_fields__
        return in_order([finding for name in each for finding in getattr(self, name).findings])


def answer(
    facts: AuditFacts, surface: Surface | None, search: Search = search, given_up: Collection[str] = ()
) -> Answers:
    """Every answer from the facts and the policy of now; without one nothing is called unreachable.

    `search` is for the patterns of the policy's rules; `given_up` holds those that it gave up, as it goes.
    """
    play = player_of(surface, search) if surface else None
    reach = reach_of(surface, search) if surface else None
    found, cover = lanes(facts), coverage(facts, reach)
    return Answers(
        coverage=cover,
        lanes=found,
        fill=fill(facts, found, cover, reach),
        backlog=backlog(facts, play, given_up),
        consistency=consistency(facts),
        agreement=agreement(facts),
        outcomes=outcomes(facts),
        drift=drift(facts),
        quality=quality(facts),
        steadiness=steadiness(facts),
        phase=phase(facts),
        health=health(facts),
    )
