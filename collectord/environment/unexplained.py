"""Environments that only runs show: no policy file ever seen explains what their manifests say. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from collectord.cyntra.jsonio import ascii_json
from collectord.environment.evidence import Facts

PREFIX = "evidence-"


@dataclass(slots=True)
class _Gathered:
    fingerprint: str
    facts: Facts
    runs: int = 0


class Gathering:
    """Puts evidence together that can be of one environment; given in dispatch order.

    Equal evidence is always of the same environment; other evidence joins the one of those it can be of
    that most runs had by then, the latest of equals. So a few odd runs make a few environments, however
    they are mixed with others. Each has the fingerprint of the evidence that it began with, which stays
    as it is when more comes in.
    """

    def __init__(self) -> None:
        self._gathered: list[_Gathered] = []
        self._known: dict[str, _Gathered] = {}

    def add(self, text: str, facts: Facts) -> None:
        """Take in the evidence of one run, and what it says."""
        if text not in self._known:
            self._known[text] = self._joined(facts)
        self._known[text].runs += 1

    def _joined(self, facts: Facts) -> _Gathered:
        fitting = [gathered for gathered in reversed(self._gathered) if gathered.facts.agrees(facts)]
        if not fitting:
            self._gathered.append(_Gathered(_fingerprint(facts), facts))
            return self._gathered[-1]
        largest = max(fitting, key=lambda gathered: gathered.runs)
        largest.facts = largest.facts.joined(facts)
        return largest

    def fingerprint_of(self, text: str) -> str:
        """The environment of evidence that was taken in."""
        return self._known[text].fingerprint

    def can_be_of(self, fingerprint: str, facts: Facts) -> bool:
        """Whether facts can be of a gathered environment."""
        return any(g.facts.agrees(facts) for g in self._gathered if g.fingerprint == fingerprint)

    def facts(self) -> dict[str, Facts]:
        """Fingerprint → all that is known of it."""
        return {gathered.fingerprint: gathered.facts for gathered in self._gathered}


def _fingerprint(facts: Facts) -> str:
    listed = ascii_json(sorted([list(fact), value] for fact, value in facts.values.items()))
    return PREFIX + sha256(listed.encode("ascii")).hexdigest()
