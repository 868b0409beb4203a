"""What the daemon says in its log; what recurs at every turn is said once in a while."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from collectord.intake.absence import Alarm
from collectord.model import ARCHIVE, Outcome, OutcomeKind, Run
from collectord.system.log import Logger
from collectord.watch import WatchNote

MAX_KEYS = 1000


@dataclass(slots=True)
class _Seen:
    logged_at: float
    held_back: int = 0


class Repeats:
    """Says of each fault whether to tell it now; one in `every_s` seconds, with how many were held back."""

    def __init__(self, every_s: float = 300.0) -> None:
        self._every_s = every_s
        self._seen: dict[str, _Seen] = {}

    def tell(self, key: str, mono: float) -> int | None:
        """How many equal faults were held back since the last one told, or None to hold this one back."""
        seen = self._seen.get(key)
        if seen is not None and mono - seen.logged_at < self._every_s:
            seen.held_back += 1
            return None
        if len(self._seen) >= MAX_KEYS:
            self._seen.pop(next(iter(self._seen)))
        self._seen[key] = _Seen(mono)
        return seen.held_back if seen else 0

    def over(self, key: str) -> bool:
        """The fault is over; whether it was there at all."""
        return self._seen.pop(key, None) is not None


_CLOSING = {
    OutcomeKind.INDEXED: ("info", "archive.indexed"),
    OutcomeKind.UNCHANGED: ("debug", "archive.unchanged"),
    OutcomeKind.PARTIAL: ("warning", "archive.partial"),
    OutcomeKind.QUARANTINED: ("warning", "archive.quarantined"),
    OutcomeKind.IGNORED: ("info", "archive.ignored"),
    OutcomeKind.VANISHED: ("info", "archive.gone"),
}


# More than so many at once are told as one thing.
CROWD = 200
CATCH_UP_EVERY_S = 10.0


@dataclass(slots=True)
class _CatchingUp:
    began: float
    logged_at: float
    done: int = 0


def fields_of_run(run: Run) -> dict[str, object]:
    """What a person wants to know of a run that came in: of which issue, how it ended, what was executed."""
    found: dict[str, object] = {"issue": run.issue_id, "status": run.status, "toolchain": run.toolchain}
    label = run.label
    if label is not None and label.explicit:
        minutes = "no limit" if label.timeout_seconds is None else f"{label.timeout_seconds // 60} min"
        found["plan"] = f"{label.swarm_id}×{label.max_candidates}, {minutes}"
    return {key: value for key, value in found.items() if value is not None}


def times_in_words(fields: Mapping[str, object]) -> dict[str, str]:
    """`changed` beside `changed_ms`, in UTC: nobody reads milliseconds."""
    return {
        key.removesuffix("_ms"): datetime.fromtimestamp(value / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        for key, value in fields.items()
        if key.endswith("_ms") and isinstance(value, int) and 0 < value < 10**14
    }


def error_fields(error: Exception) -> dict[str, object]:
    """An error as fields of a line; what it says is escaped and capped by the log."""
    return {"error": type(error).__name__, "said": str(error)}


class DaemonLog:
    """The log lines of one daemon; the logger can be replaced while it runs."""

    def __init__(self, log: Logger, mono: Callable[[], float]) -> None:
        self.log = log
        self._mono = mono
        self._catching_up: _CatchingUp | None = None
        self._repeats = Repeats()

    def closing(self, kind: str, outcome: Outcome, waited_s: float | None, run: Run | None = None) -> None:
        """The one line that ends an archive's way; `waited_s` is since the first look at it."""
        level, event = _CLOSING[outcome.kind]
        fields: dict[str, object] = {"archive": outcome.name}
        if kind != ARCHIVE:
            fields["kind"] = kind
        if outcome.revision is not None:
            fields["revision"] = outcome.revision
        if outcome.reason is not None and outcome.kind is not OutcomeKind.VANISHED:
            fields["reason"] = outcome.reason
        if waited_s is not None:
            fields["waited_s"] = round(waited_s, 3)
        if run is not None:
            fields |= fields_of_run(run)
        if self._catching_up is not None and level == "info":
            self._catching_up.done += 1
            level = "debug"
        self.line(level, event, fields)

    def backlog(self, pending: int) -> None:
        """How many archives wait now: many at once are told as one thing, every few seconds."""
        now, found = self._mono(), self._catching_up
        if found is None and pending > CROWD:
            self._catching_up = _CatchingUp(now, now)
            self.log.info(
                "catch_up.started", archives=pending, hint="each is logged at level debug meanwhile"
            )
        elif found is not None and pending <= CROWD // 10:
            self._catching_up = None
            self.log.info("catch_up.done", archives=found.done, seconds=round(now - found.began, 1))
        elif found is not None and now - found.logged_at >= CATCH_UP_EVERY_S:
            found.logged_at = now
            self.log.info("catch_up.goes_on", done=found.done, left=pending)

    def vanished(self, name: str, total: int) -> None:
        """An archive was pruned before it was ever read."""
        self.log.warning("archive.vanished", archive=name, reason="removed before it was read", total=total)

    def failed(self, name: str, error: Exception) -> None:
        """A try of an archive met an error that nobody foresaw."""
        self.repeated("archive.failed", type(error).__name__, archive=name, **error_fields(error))

    def stalled(self, name: str, waits_for: str) -> None:
        """An archive stands still and cannot be taken."""
        hint = f"did its kernel die? `collectord explain {name}` says more; it is taken as it is in the end"
        self.log.warning("archive.stalled", archive=name, waits_for=waits_for, hint=hint)

    def requeued(self, archives: int, why: str) -> None:
        """What is in quarantine is read again."""
        hint = "what is still refused comes back to quarantine"
        self.log.info("quarantine.requeued", archives=archives, why=why, hint=hint)

    def short_of(self, error: OSError) -> None:
        """This process lacks something."""
        self.repeated("loop.short_of", str(error.errno), said=str(error))

    def chore_failed(self, name: str, error: Exception, wait_s: float) -> None:
        """A chore raised and is tried again later."""
        self.log.warning("chore.failed", chore=name, again_in_s=wait_s, **error_fields(error))

    def repeated(self, event: str, key: str, **fields: object) -> None:
        """A fault that may come again and again: told once, then with the number of those held back."""
        held_back = self._repeats.tell(f"{event}\0{key}", self._mono())
        if held_back is None:
            return
        more = {"held_back": held_back} if held_back else {}
        self.log.warning(event, **fields, **more)

    def over(self, event: str, key: str) -> bool:
        """A repeated fault is over; whether it was there."""
        return self._repeats.over(f"{event}\0{key}")

    def alert_resolved(self, alert: str, said: str) -> None:
        """What an alert was about is no longer so."""
        self.log.info("alert.resolved", said=f"no longer so: {said}", alert=alert)

    def absence_alarm(self, folder: Path, alarm: Alarm | None) -> None:
        """Too many are missing at once, or it is over."""
        if alarm is None:
            self.log.info("absence.over", said=f"the archives of {folder} are back, or believed to be gone")
            return
        self.log.warning(
            "absence.alarm",
            said=f"{alarm.missing} of {alarm.known} archives of {folder} are missing at once",
            hint="is its disk mounted? Removed on purpose: `collectord ingest --accept-gone`",
            why=alarm.kind,
            missing=alarm.missing,
            known=alarm.known,
        )

    def watch_notes(self, notes: Iterable[WatchNote]) -> None:
        """What the watcher has to say."""
        for note in notes:
            self.line(note.level, str(note.event), note.details)

    def line(self, level: str, event: str, fields: dict[str, object]) -> None:
        """A line at a level given as a word."""
        getattr(self.log, level)(event, **fields)
