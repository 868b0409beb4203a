"""Histories of rows in order of dispatch: which earlier runs a row shows. Pure."""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from collectord.cyntra.jsonio import JsonObject, canonical
from collectord.cyntra.rows import HistoryRun, history_run
from collectord.cyntra.similar import Candidate, Pool
from collectord.cyntra.values import texts

PoolKey = tuple[str, Hashable, Hashable]


@dataclass(frozen=True, slots=True)
class Candidacy:
    """A run as a possible part of histories: its summary as JSON text, and from when on it is visible."""

    summary: str
    visible_from_ms: int


class Histories:
    """Answers rows in order of their time; runs become visible as that time passes.

    `candidates` are in the order in which ties are broken last; each row is shown `n` of them.
    """

    def __init__(self, candidates: Sequence[Candidacy], n: int) -> None:
        self._candidates, self._n = candidates, n
        self._order = sorted(range(len(candidates)), key=lambda i: candidates[i].visible_from_ms)
        self._next = 0
        self._pools: dict[PoolKey, Pool] = {}
        self._encoded: dict[int, tuple[HistoryRun, str]] = {}

    def similar(self, tags: Sequence[str], started_ms: int, key: PoolKey, leave_out: int | None) -> list[int]:
        """Places of the most similar candidates; call with `started_ms` never going back."""
        self._reveal(started_ms)
        pool = self._pools.get(key)
        return pool.nearest(frozenset(tags), started_ms, leave_out) if pool else []

    def _reveal(self, now_ms: int) -> None:
        while self._next < len(self._order):
            place = self._order[self._next]
            if self._candidates[place].visible_from_ms > now_ms:
                return
            self._add(place)
            self._next += 1

    def _add(self, place: int) -> None:
        summary = json.loads(self._candidates[place].summary)
        candidate = Candidate(-summary["started_ms"], summary["run_id"], place)
        tags = frozenset(texts(summary.get("tags")))
        for key in _keys_of_candidate(summary):
            self._pools.setdefault(key, Pool(self._n)).add(tags, candidate)

    def encoded(self, place: int) -> tuple[HistoryRun, str]:
        """A candidate encoded for a row, and the digest of it; encoded once."""
        found = self._encoded.get(place)
        if found is None:
            run = history_run(json.loads(self._candidates[place].summary))
            found = run, sha256(run.summary.encode("utf-8")).hexdigest()
            self._encoded[place] = found
        return found


def _keys_of_candidate(summary: JsonObject) -> set[PoolKey]:
    """Every pool that a run belongs to: fab-world rows ask for their own world and objective only."""
    job_type, world, objective = pool_key(summary)
    return {(job_type, w, o) for w in (None, world) for o in (None, objective)}


def pool_key(summary: JsonObject) -> PoolKey:
    """The pool that a row draws from."""
    job_type = summary["job_type"]
    if job_type != "fab-world":
        return job_type, None, None
    return job_type, _name(summary.get("world_id")), _name(summary.get("objective_id"))


def _name(value: object) -> Hashable:
    # The kernel compares the values themselves: 1 equals true, and NaN equals nothing, itself included.
    if isinstance(value, list | dict):
        return (canonical(value),)
    # The parser gives one and the same NaN each time, and a dict would find it by identity.
    return object() if value != value else value
