"""Regular expressions out of the repo, run under a limit: one that backtracks without end ends nothing.

Python's own engine is kept, because the kernel's rules are matched with it and every other engine reads
some patterns otherwise. It looks for signals while it backtracks, so a timer of processor time can stop it:
on a busy machine the limit is the same work. Only the main thread can have such a timer.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

PATTERN_LIMIT_S = 2.0
ALL_LIMIT_S = 10.0
# Between two looks for signals the engine may go through a text some thousand times.
MAX_TEXT = 2**18


class _TooSlow(Exception):
    """Raised out of the engine when the time is up."""


@dataclass
class LimitedSearch:
    """`re.search` as a yes or no; a pattern that took too long in all is given up and matches nothing more.

    `given_up` are those patterns in the order in which they were.
    """

    pattern_limit_s: float = PATTERN_LIMIT_S
    all_limit_s: float = ALL_LIMIT_S
    given_up: dict[str, None] = field(default_factory=dict)
    _spent: dict[str, float] = field(default_factory=dict)
    _armed: bool = False

    def __call__(self, pattern: str, text: str) -> bool:
        """Whether the pattern is found; False once it is given up, and in a text of more than MAX_TEXT."""
        if pattern in self.given_up or len(text) > MAX_TEXT:
            return False
        begun = time.process_time()
        try:
            return self._search(pattern, text)
        except _TooSlow:
            self.given_up[pattern] = None
            return False
        finally:
            self._spent[pattern] = self._spent.get(pattern, 0.0) + time.process_time() - begun

    def found_or_not(self, pattern: str, text: str) -> bool | None:
        """As a call; None where it is not known, as the pattern was given up or the text is too long."""
        found = self(pattern, text)
        return None if pattern in self.given_up or len(text) > MAX_TEXT else found

    def _search(self, pattern: str, text: str) -> bool:
        left = min(
            self.pattern_limit_s - self._spent.get(pattern, 0.0), self.all_limit_s - sum(self._spent.values())
        )
        if left <= 0:
            raise _TooSlow
        self._armed = True
        signal.setitimer(signal.ITIMER_VIRTUAL, left)
        try:
            return re.search(pattern, text) is not None
        finally:
            self._armed = False  # first: the time may be up between here and the next line
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    def _time_is_up(self, _number: int, _frame: object) -> None:
        if self._armed:
            raise _TooSlow


@contextmanager
def limited_search(
    pattern_limit_s: float = PATTERN_LIMIT_S, all_limit_s: float = ALL_LIMIT_S
) -> Iterator[LimitedSearch]:
    """A search under a limit, while it lasts; in the main thread only (ValueError elsewhere)."""
    found = LimitedSearch(pattern_limit_s, all_limit_s)
    before = signal.signal(signal.SIGVTALRM, found._time_is_up)
    try:
        yield found
    finally:
        signal.signal(signal.SIGVTALRM, before)
