"""The environment as a hash: one digest a component, and one over those that can move a label."""

from __future__ import annotations

import hashlib

from collectord.cyntra.jsonio import ascii_json
from collectord.cyntra.policy import MATERIAL, Surface

# Counts up whenever the same files give another surface: stored environments are then read again, which
# by itself opens no epoch.
NORMALISER = 1


def component_digests(surface: Surface) -> dict[str, str]:
    """sha256 hex of each component's canonical JSON, in the order of the surface."""
    return {name: _sha256(ascii_json(value)) for name, value in surface.components.items()}


def fingerprint(surface: Surface) -> str:
    """sha256 hex over the material components: all but scheduling, which changes pressure, not labels."""
    digests = component_digests(surface)
    return _sha256(ascii_json({name: digests[name] for name in MATERIAL}))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()
