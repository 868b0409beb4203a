"""Where the rows of a dataset come from: the epoch, its environment, and what changed before it."""

from __future__ import annotations

from dataclasses import dataclass

from collectord.cyntra.jsonio import JsonObject


@dataclass(frozen=True, slots=True)
class Provenance:
    """What stands beside a dataset about its environment; empty where none is known.

    `epoch` has the number, times, runs and the reason of the cut; `environment` the fingerprint, the digest
    of each component and the components; `drift` the changes from the environment before, in order.
    """

    epoch: JsonObject | None = None
    environment: JsonObject | None = None
    drift: tuple[JsonObject, ...] = ()


NO_PROVENANCE = Provenance()
