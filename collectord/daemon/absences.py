"""What scans do not find: weighed, told, and at last believed."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from collections.abc import Set as AbstractSet

from collectord.absence import AbsenceRules, AbsenceState, weigh
from collectord.daemon.daemon_log import DaemonLog


class Absences:
    """The memory between the scans of one folder; owned by the loop's thread.

    While `held` says so nothing is concluded: archives go away by our own hand, which tells which.
    """

    def __init__(self, rules: AbsenceRules, telling: DaemonLog) -> None:
        self._rules, self._telling = rules, telling
        self.held: Callable[[], bool] = lambda: False
        self._state = AbsenceState()

    def weigh(
        self, known: AbstractSet[str], present: AbstractSet[str], root: Hashable | None, mono: float
    ) -> frozenset[str]:
        """The names that are gone from now on. `root` is None after a scan that proves nothing."""
        before = self._state.alarm
        found = weigh(
            self._state,
            known=known,
            present=present,
            scan_ok=root is not None and not self.held(),
            root=root,
            mono=mono,
            rules=self._rules,
        )
        self._state = found.state
        if found.alarm != before:
            self._telling.absence_alarm(found.alarm)
        return found.gone_now

    @property
    def alarm(self) -> str | None:
        """The alarm that stands, as a sentence."""
        alarm = self._state.alarm
        if alarm is None:
            return None
        return f"{alarm.missing} of {alarm.known} known archives are missing: nothing is marked gone yet"
