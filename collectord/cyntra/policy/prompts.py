"""Which prompt genome the kernel selects for a (domain, toolchain) pair (CONTRACT.md section 5)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from collectord.cyntra.jsonio import JsonObject
from collectord.cyntra.values import as_object, member


def select_genome(frontier: Any, existing: Collection[str]) -> str | None:
    """The id of the best genome of a parsed `frontier.json` among those whose file exists; None: none.

    With objectives (`max` or `min` by metric) it is the item with the highest average of min–max
    normalised metrics, a missing metric counting as the worst, ties to the greater id; without any, or
    where no item with metrics has a file, the first item that has one.
    """
    objectives = _objectives(frontier)
    items = member(frontier, "items")
    candidates = [
        (genome_id, item)
        for item in (items if objectives and isinstance(items, list) else [])
        if (genome_id := _id(item)) in existing
    ]
    if not candidates:
        return next((listed for listed in _listed(frontier) if listed in existing), None)
    try:
        scores = _scores([item for _, item in candidates], objectives)
    except OverflowError:  # an integer that no float can hold: the kernel gives up and uses no genome
        return None
    scored = zip(scores, (genome_id for genome_id, _ in candidates), strict=True)
    return max(scored)[1]


def _id(item: Any) -> str:
    genome_id = member(item, "genome_id")
    return genome_id.strip() if isinstance(genome_id, str) else ""


def _objectives(frontier: Any) -> dict[str, bool]:
    """Whether more is better, by metric."""
    directions = {
        key: str(direction).strip().lower()
        for key, direction in as_object(member(frontier, "objectives")).items()
    }
    return {key: direction == "max" for key, direction in directions.items() if direction in ("max", "min")}


def _scores(items: list[JsonObject], objectives: Mapping[str, bool]) -> list[float]:
    """The average of the normalised metrics of each item."""
    columns = [_normalised([_metric(item.get(key)) for item in items], objectives[key]) for key in objectives]
    used = [column for column in columns if column is not None]
    return [sum(row) / len(row) for row in zip(*used, strict=True)] if used else [0.0] * len(items)


def _normalised(values: list[float | None], more_is_better: bool) -> list[float] | None:
    """One metric of every item brought to 0–1, 1 the best; None where no item has it."""
    present = [value for value in values if value is not None]
    if not present:
        return None
    low, high = min(present), max(present)
    shares = [
        None if value is None else 0.0 if high == low else (value - low) / (high - low) for value in values
    ]
    return [0.0 if share is None else share if more_is_better else 1.0 - share for share in shares]


def _metric(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None


def _listed(frontier: Any) -> list[str]:
    """The ids of a frontier in order, whether its items are objects or ids."""
    if isinstance(frontier, list):
        return [str(item).strip() for item in frontier if isinstance(item, str | int)]
    items = member(frontier, "items")
    listed = items if isinstance(items, list) else []
    return [item.strip() if isinstance(item, str) else _id(item) for item in listed]
