"""When a missing archive may be believed to be gone.

Deleting is easy to believe wrongly: an unmounted disk, a swapped folder and a failing scan all look like
it. So an absence counts only from a healthy root and an error-free scan, and must stand unbroken for
`confirm_s` (a minute) on the monotonic clock from one such scan to another.

Many vanishing at once is an alarm, not a clean-up. There is an alarm when

- MANY: more than `alarm_count` (20) *and* more than `alarm_share` (20 %) of the known ones are missing;
- ALL: none of the known ones is left, and there were at least two. Twenty is no measure for a young
  repository, and a disk that was unmounted before the start shows itself in no other way;
- NEW_ROOT: the folder was replaced and some known ones are not in the new one.

What an alarm covers is believed only after `alarm_hold_s` (a day) of healthy scans without a break: long
enough for a person to see it and for a mount to come back over a night, while a real mass prune (the
kernel's weekly one may take half of them) is still booked without anybody's help. A name stays covered
until it is seen again, so that a restore half way does not turn the remaining twenty into a belief.
Waiting costs little, as only the label waits: nothing of a gone archive is ever deleted from the index.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class AbsenceRules:
    """Times in seconds; a share is a fraction of the known archives. `at_once`: a person said so."""

    confirm_s: float = 60.0
    alarm_count: int = 20
    alarm_share: float = 0.2
    alarm_hold_s: float = 86_400.0
    at_once: bool = False


class AlarmKind(StrEnum):
    """Why the missing ones are not believed to be gone yet; see the module's text."""

    MANY = "many"
    ALL = "all"
    NEW_ROOT = "new_root"


@dataclass(frozen=True, slots=True)
class Alarm:
    """Too much is missing to believe it at once. Equal alarms need to be told only once."""

    kind: AlarmKind
    missing: int = field(compare=False)
    known: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class AbsenceState:
    """What is remembered between scans: since when each missing name is missing, without a break.

    `suspects` are the missing names that an alarm covers.
    """

    root: Hashable | None = None
    since: Mapping[str, float] = field(default_factory=dict)
    suspects: frozenset[str] = frozenset()
    alarm: Alarm | None = None


@dataclass(frozen=True, slots=True)
class Absence:
    """What one scan changed: the state to keep, the names that are gone now, the alarm as it stands."""

    state: AbsenceState
    gone_now: frozenset[str]
    alarm: Alarm | None


def state_json(state: AbsenceState) -> str:
    """A state as ASCII JSON, to be weighed on by another process; its root must be a text."""
    alarm = state.alarm and [state.alarm.kind, state.alarm.missing, state.alarm.known]
    return json.dumps([state.root, dict(state.since), sorted(state.suspects), alarm], sort_keys=True)


def state_from(text: str | None, now_s: float) -> AbsenceState:
    """The state back from its JSON, on the wall clock; what is missing since the future is so since now."""
    if text is None:
        return AbsenceState()
    root, since, suspects, alarm = json.loads(text)
    standing = None if alarm is None else Alarm(AlarmKind(alarm[0]), alarm[1], alarm[2])
    return AbsenceState(root, {n: min(at, now_s) for n, at in since.items()}, frozenset(suspects), standing)


def weigh(
    state: AbsenceState,
    *,
    known: AbstractSet[str],
    present: AbstractSet[str],
    scan_ok: bool,
    root: Hashable | None,
    mono: float,
    rules: AbsenceRules,
) -> Absence:
    """Weighs one scan. `known`: the archives held to be there, without those marked gone already.

    `root` is the identity of the folder that was scanned, None if it is not healthy. An unhealthy root
    or a failed scan proves nothing and breaks every absence; an alarm stands until a good scan ends it.
    A name given in `gone_now` is expected to be out of `known` the next time, or it is given again.
    """
    if not scan_ok or root is None:
        return Absence(replace(state, since={}), frozenset(), state.alarm)
    missing = frozenset(known) - present
    if rules.at_once:
        return Absence(AbsenceState(root), missing, None)
    replaced = state.root is not None and state.root != root
    kind = _trigger(len(missing), len(known), replaced, rules)
    suspects = missing if kind else missing & state.suspects
    # A replaced root is a break like any other: what was missing from the old one begins anew.
    before: Mapping[str, float] = {} if replaced else state.since
    since = {name: before.get(name, mono) for name in missing}
    gone = frozenset(n for n in missing & before.keys() if mono - since[n] >= _wait(n in suspects, rules))
    suspects -= gone
    alarm = Alarm(_kind_of(kind, suspects, state), len(suspects), len(known)) if suspects else None
    waiting = {name: start for name, start in since.items() if name not in gone}
    return Absence(AbsenceState(root, waiting, suspects, alarm), gone, alarm)


def _trigger(missing: int, known: int, replaced: bool, rules: AbsenceRules) -> AlarmKind | None:
    if replaced and missing:
        return AlarmKind.NEW_ROOT
    if missing > rules.alarm_count and missing > rules.alarm_share * known:
        return AlarmKind.MANY
    return AlarmKind.ALL if known >= 2 and missing == known else None


def _kind_of(kind: AlarmKind | None, suspects: frozenset[str], state: AbsenceState) -> AlarmKind:
    """An alarm keeps its name while it covers nothing new, so that it is told once."""
    if state.alarm is not None and (kind is None or suspects <= state.suspects):
        return state.alarm.kind
    return kind or AlarmKind.MANY


def _wait(suspect: bool, rules: AbsenceRules) -> float:
    return max(rules.alarm_hold_s, rules.confirm_s) if suspect else rules.confirm_s
