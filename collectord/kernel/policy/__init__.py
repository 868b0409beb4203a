"""The policy surface of a Cyntra repo: what decides its labels, and what it does with an issue. Pure."""

from __future__ import annotations

from collectord.kernel.policy.normalise import Genomes, normalise
from collectord.kernel.policy.routing import Action, IssueFacts, Search, plan_action, search
from collectord.kernel.policy.surface import (
    COMPONENTS,
    MATERIAL,
    SCHEDULING,
    PolicyUnreadable,
    Surface,
    domain_of,
)

__all__ = [
    "COMPONENTS",
    "MATERIAL",
    "SCHEDULING",
    "Action",
    "Genomes",
    "IssueFacts",
    "PolicyUnreadable",
    "Search",
    "Surface",
    "domain_of",
    "normalise",
    "plan_action",
    "search",
]
