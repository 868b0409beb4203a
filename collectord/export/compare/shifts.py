"""How distributions of labels and outcomes differ between two datasets. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from collectord.cyntra.jsonio import JsonObject
from collectord.cyntra.values import as_object
from collectord.export.distributions import DIMENSIONS, LABEL_PARTS, OUTCOME

Counts = Mapping[str, int]


def counts_of(labels: Iterable[tuple[str, ...]], document: JsonObject) -> dict[str, Counts]:
    """Dimension → value → rows; outcomes from snapshot.json, missing where that does not tell."""
    counters = [Counter[str]() for _ in LABEL_PARTS]
    for label in labels:
        for counter, value in zip(counters, label, strict=True):
            counter[value] += 1
    found: dict[str, Counts] = dict(zip(LABEL_PARTS, counters, strict=True))
    outcomes = as_object(as_object(document.get("distributions")).get(OUTCOME))
    if outcomes:
        found[OUTCOME] = {value: sum(splits.values()) for value, splits in outcomes.items()}
    return found


def shift(before: Counts, after: Counts) -> float:
    """Total variation distance: the share of rows that would have to change to make them alike, 0 to 1."""
    totals = sum(before.values()), sum(after.values())
    if not all(totals):
        return 0.0 if totals[0] == totals[1] else 1.0
    values = {*before, *after}
    return sum(abs(before.get(v, 0) / totals[0] - after.get(v, 0) / totals[1]) for v in values) / 2


def shifts(before: Mapping[str, Counts], after: Mapping[str, Counts]) -> dict[str, JsonObject]:
    """The dimensions that differ, with counts on both sides and the shift."""
    found = {}
    for name in DIMENSIONS:
        if name in before and name in after and dict(before[name]) != dict(after[name]):
            values = sorted({*before[name], *after[name]})
            found[name] = {
                "shift": round(shift(before[name], after[name]), 6),
                "values": {v: [before[name].get(v, 0), after[name].get(v, 0)] for v in values},
            }
    return found
