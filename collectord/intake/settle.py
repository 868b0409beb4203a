"""Is an archive whole, and when to look at those that are not. Decided from looks and a monotonic clock."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, NamedTuple

from collectord.model import Observation

MANIFEST: Final = "manifest.json"
LAST_SMALL_FILE: Final = ".workcell"


@dataclass(frozen=True, slots=True)
class SettleRules:
    """How long to wait, all in seconds on the monotonic clock.

    `short_s` applies once `.workcell` (the last small file the kernel copies) is there, `long_s` before;
    neither goes below `min_age_s`. After `stalled_after_s` of stillness an archive is taken as it is.
    Looks come at most `look_max_s` apart and, however many events arrive, at least `touch_gap_s`.

    What nothing touched for `old_s` by the file system's own clock (ctime, which a copy cannot keep) is still
    from the first look on: so thousands of old archives are taken at once.

    With `trusts_times` the clock is the wall's and an archive is still since its youngest entry: a pass by
    hand does not stay to see stillness. Copies keep old times, so the daemon does not trust them.
    """

    min_age_s: float = 2.0
    short_s: float = 2.0
    long_s: float = 30.0
    stalled_after_s: float = 3600.0
    look_min_s: float = 0.5
    look_max_s: float = 30.0
    retry_first_s: float = 2.0
    retry_max_s: float = 600.0
    touch_gap_s: float = 0.25
    trusts_times: bool = False
    old_s: float = 600.0


def rules_by_hand(min_age_s: float) -> SettleRules:
    """For a pass by hand: what is older than that is taken at once and as it is."""
    return SettleRules(min_age_s, min_age_s, min_age_s, stalled_after_s=min_age_s, trusts_times=True)


@dataclass(frozen=True, slots=True)
class Pending:
    """What is remembered of an archive that is not accepted yet; times are monotonic seconds.

    `quiet_since` is the first look that saw the present signature, `failures` the reads of it that
    found the core files unreadable, `retry_at` the time before which it is not read again.
    """

    name: str
    signature: str
    first_seen: float
    quiet_since: float
    looked_at: float
    has_manifest: bool
    has_last_file: bool
    failures: int = 0
    retry_at: float = 0.0


class VerdictKind(StrEnum):
    """WAITING: look again later. SETTLED, STALLED: read it now. ACCEPT, ACCEPT_PARTIAL: index the read."""

    WAITING = "waiting"
    SETTLED = "settled"
    STALLED = "stalled"
    ACCEPT = "accept"
    ACCEPT_PARTIAL = "accept_partial"


class Verdict(NamedTuple):
    """A decision, and the monotonic time at which it is worth asking again if it says WAITING."""

    kind: VerdictKind
    until: float


def look(
    pending: Pending | None,
    seen: Observation,
    *,
    mono: float,
    rules: SettleRules,
    wall_s: float | None = None,
) -> tuple[Pending, Verdict]:
    """Takes in one look at the archive: WAITING, SETTLED (read it) or STALLED (read it, take it as it is).

    A signature that differs from the look before starts the stillness, and the failures, anew. `wall_s` is
    the wall clock, by which alone an archive may be old enough for one look.
    """
    now = _noted(pending, seen, mono, rules)
    if now.quiet_since == mono and wall_s is not None and wall_s - seen.newest_ctime_ns / 1e9 > rules.old_s:
        now = replace(now, quiet_since=mono - rules.old_s)
    return now, Verdict(_stillness(now, rules), next_look(now, rules))


def after_read(
    pending: Pending, after: Observation, *, core_ok: bool, mono: float, rules: SettleRules
) -> tuple[Pending, Verdict]:
    """Takes in a read of the core files, framed by a look after it: ACCEPT, ACCEPT_PARTIAL or WAITING.

    `core_ok`: the manifest, and the proof if there is one, were read whole and parse. A signature that
    changed meanwhile makes the bytes worthless whatever they say. An archive that vanished has no look
    to give: that is the caller's to count.
    """
    now = _noted(pending, after, mono, rules)
    if after.signature != pending.signature:
        return now, Verdict(VerdictKind.WAITING, next_look(now, rules))
    if core_ok:
        return now, Verdict(VerdictKind.ACCEPT, mono)
    if mono >= stalled_at(now, rules):
        return now, Verdict(VerdictKind.ACCEPT_PARTIAL, mono)
    now = replace(now, failures=now.failures + 1, retry_at=mono + _retry_wait(now.failures, rules))
    return now, Verdict(VerdictKind.WAITING, next_look(now, rules))


def after_failure(pending: Pending | None, name: str, *, mono: float, rules: SettleRules) -> Pending:
    """Takes in a look or a read that failed as a whole; the next one is worth making at its `retry_at`.

    Without a look there is no signature, so the first look that succeeds starts the failures anew.
    """
    before = pending or Pending(name, "", mono, mono, mono, has_manifest=False, has_last_file=False)
    wait = _retry_wait(before.failures, rules)
    return replace(before, looked_at=mono, failures=before.failures + 1, retry_at=mono + wait)


def next_look(pending: Pending, rules: SettleRules) -> float:
    """When to look again if no event comes first: at the next time at which the verdict can change.

    On the way there looks come at doubling distances, so that without any event a change is noticed
    after about as long as it took to come.
    """
    gap = min(max(pending.looked_at - pending.quiet_since, rules.look_min_s), rules.look_max_s)
    milestones = (settled_at(pending, rules), pending.retry_at, stalled_at(pending, rules))
    return min([t for t in milestones if t > pending.looked_at] + [pending.looked_at + gap])


def settled_at(pending: Pending, rules: SettleRules) -> float:
    """The monotonic time at which the stillness is long enough to read the archive."""
    wait = rules.short_s if pending.has_last_file else rules.long_s
    return pending.quiet_since + max(wait, rules.min_age_s)


def stalled_at(pending: Pending, rules: SettleRules) -> float:
    """The monotonic time from which the archive is taken as it is, whole or not."""
    return max(pending.quiet_since + rules.stalled_after_s, settled_at(pending, rules))


def is_stuck(pending: Pending, rules: SettleRules) -> bool:
    """Still for long enough and yet not accepted: without a manifest, or not readable so far."""
    return pending.looked_at >= settled_at(pending, rules) and (
        pending.failures > 0 or not pending.has_manifest
    )


def waits_for(pending: Pending, rules: SettleRules) -> str:
    """What an archive that is not accepted yet waits for, in words."""
    if pending.failures:
        return "core files that can be read"
    if not pending.has_manifest:
        return MANIFEST
    if not pending.has_last_file:
        return f"{LAST_SMALL_FILE}, or {rules.long_s:g} s without a change"
    return f"{rules.short_s:g} s without a change"


def _still_since(seen: Observation, mono: float, rules: SettleRules) -> float:
    if not rules.trusts_times:
        return mono
    changed = seen.newest_mtime_ns / 1e9
    # A time in the future is a clock's mistake and must not make an archive wait for ever.
    return changed if changed < mono else float("-inf")


def _noted(pending: Pending | None, seen: Observation, mono: float, rules: SettleRules) -> Pending:
    now = Pending(
        name=seen.name,
        signature=seen.signature,
        first_seen=mono if pending is None else pending.first_seen,
        quiet_since=_still_since(seen, mono, rules),
        looked_at=mono,
        has_manifest=seen.has(MANIFEST),
        has_last_file=seen.has(LAST_SMALL_FILE),
    )
    if pending is None or pending.signature != seen.signature:
        return now
    return replace(now, quiet_since=pending.quiet_since, failures=pending.failures, retry_at=pending.retry_at)


def _stillness(now: Pending, rules: SettleRules) -> VerdictKind:
    if now.looked_at <= now.quiet_since:
        return VerdictKind.WAITING  # one look shows no stillness, however short the times are set
    if now.looked_at >= stalled_at(now, rules):
        return VerdictKind.STALLED
    # Without a manifest there is nothing to parse: not worth a read before it is given up as stalled.
    ready = now.has_manifest and now.looked_at >= max(settled_at(now, rules), now.retry_at)
    return VerdictKind.SETTLED if ready else VerdictKind.WAITING


def _retry_wait(failures: int, rules: SettleRules) -> float:
    # The exponent is capped because a float power overflows long before an hour of failures is over.
    return min(rules.retry_first_s * 2.0 ** min(failures, 30), rules.retry_max_s)


_SLACK = 64


_LIVE, _BACKLOG = 0, 1


@dataclass(slots=True)
class _Slot:
    pending: Pending | None = None
    due: float | None = None
    rank: int = _LIVE


class PendingSet:
    """One slot a name whatever arrives; owned by one thread. Times are monotonic seconds.

    A name that `due` gave out has no next look until `put`, `touch` or `drop` says what becomes of it. Names
    that only a scan found (`find`) are the backlog: they wait while anything else is due, so that what lands
    now does not queue behind the thousands that were there before.
    """

    def __init__(self, rules: SettleRules) -> None:
        self._rules = rules
        self._slots: dict[str, _Slot] = {}
        # By rank. Items whose time or rank is no longer their slot's are stale; _plan bounds their number.
        self._heaps: tuple[list[tuple[float, str]], list[tuple[float, str]]] = ([], [])

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, name: object) -> bool:
        return name in self._slots

    def __iter__(self) -> Iterator[str]:
        return iter(self._slots)

    def get(self, name: str) -> Pending | None:
        """What the last look left behind; None before the first one."""
        slot = self._slots.get(name)
        return slot.pending if slot else None

    def looked_at(self) -> Iterator[Pending]:
        """What every archive's last look left behind, for counting."""
        return (slot.pending for slot in self._slots.values() if slot.pending is not None)

    def find(self, name: str, mono: float) -> None:
        """A scan found a name that is not here yet."""
        if name not in self._slots:
            self._plan(name, self._slots.setdefault(name, _Slot()), mono, _BACKLOG)

    def touch(self, name: str, mono: float) -> None:
        """Something stirred there: look soon, yet not sooner than `touch_gap_s` after the last look.

        Never puts a look off, so a storm of events can neither starve an archive nor cost a look each.
        """
        slot = self._slots.setdefault(name, _Slot())
        soon = mono
        if slot.pending is not None:
            soon = max(mono, slot.pending.looked_at + self._rules.touch_gap_s)
        planned = soon if slot.due is None else min(soon, slot.due)
        if (planned, _LIVE) != (slot.due, slot.rank):
            self._plan(name, slot, planned)

    def put(self, pending: Pending, due: float) -> None:
        """Keeps what a look left behind and plans the next one for `due`."""
        slot = self._slots.setdefault(pending.name, _Slot())
        slot.pending = pending
        self._plan(pending.name, slot, due, slot.rank)

    def drop(self, name: str) -> None:
        """Forgets the name: accepted, vanished or no archive at all."""
        self._slots.pop(name, None)

    def due(self, mono: float, limit: int) -> list[str]:
        """At most `limit` names whose look is due, longest due first, the backlog last."""
        names: list[str] = []
        for rank, heap in enumerate(self._heaps):
            while len(names) < limit and (first := self._first(rank)) is not None and first <= mono:
                name = heapq.heappop(heap)[1]
                self._slots[name].due = None
                names.append(name)
        return names

    def next_due(self) -> float | None:
        """When the next look is due, or None if none is planned."""
        found = [first for rank in (_LIVE, _BACKLOG) if (first := self._first(rank)) is not None]
        return min(found, default=None)

    def _first(self, rank: int) -> float | None:
        heap = self._heaps[rank]
        while heap and self._is_stale(heap[0], rank):
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def _is_stale(self, item: tuple[float, str], rank: int) -> bool:
        slot = self._slots.get(item[1])
        return slot is None or (slot.due, slot.rank) != (item[0], rank)

    def _plan(self, name: str, slot: _Slot, due: float, rank: int = _LIVE) -> None:
        slot.due, slot.rank = due, rank
        heap = self._heaps[rank]
        if len(heap) > 2 * len(self._slots) + _SLACK:
            heap[:] = [(s.due, n) for n, s in self._slots.items() if s.due is not None and s.rank == rank]
            heapq.heapify(heap)
        else:
            heapq.heappush(heap, (due, name))
