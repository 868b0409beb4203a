"""Which kernels ran at a time. Pure: a session is what looks at the processes of a repo have seen.

The start of a process is exact. Its end lies between the look that saw it last and the one that missed it,
and before the start of a kernel that came after that last look: one kernel at a time is the rule.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from collectord.model import KernelSession


@dataclass(frozen=True, slots=True)
class Tenure:
    """A session with its end: it ran surely until `surely_until_ms`, and not any more at `ended_ms`.

    Both are None while it runs.
    """

    session: KernelSession
    surely_until_ms: int | None
    ended_ms: int | None

    def may_run_at(self, at_ms: int) -> bool:
        """Whether it can have dispatched a run then."""
        return self.session.started_ms <= at_ms and (self.ended_ms is None or at_ms < self.ended_ms)

    def surely_runs_at(self, at_ms: int) -> bool:
        """Whether it was seen before and after."""
        return self.may_run_at(at_ms) and (self.surely_until_ms is None or at_ms <= self.surely_until_ms)


class Sessions:
    """All sessions of a repo, asked again and again."""

    def __init__(self, sessions: Sequence[KernelSession]) -> None:
        ordered = sorted(sessions, key=lambda s: (s.started_ms, s.pid, s.first_seen_ms))
        self._starts = [session.started_ms for session in ordered]
        self.tenures = tuple(self._tenure(session) for session in ordered)
        # The latest end so far: what began before need not be looked at once this has passed.
        ends = (float("inf") if t.ended_ms is None else t.ended_ms for t in self.tenures)
        self._latest_end = list(accumulate(ends, max))

    def _tenure(self, session: KernelSession) -> Tenure:
        if session.gone_ms is None:
            return Tenure(session, None, None)
        following = bisect_right(self._starts, session.last_seen_ms)
        next_start = self._starts[following] if following < len(self._starts) else session.gone_ms
        return Tenure(session, session.last_seen_ms, min(session.gone_ms, next_start))

    def possible_at(self, at_ms: int) -> list[Tenure]:
        """Those that can have dispatched a run then; where some surely ran, only those. The newest first."""
        found = []
        for place in range(bisect_right(self._starts, at_ms) - 1, -1, -1):
            if self._latest_end[place] <= at_ms:
                break
            if self.tenures[place].may_run_at(at_ms):
                found.append(self.tenures[place])
        return [tenure for tenure in found if tenure.surely_runs_at(at_ms)] or found

    def last_before(self, at_ms: int) -> Tenure | None:
        """The one that started last at or before a time."""
        place = bisect_right(self._starts, at_ms) - 1
        return self.tenures[place] if place >= 0 else None
