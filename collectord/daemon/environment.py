"""The daemon's eye on the environment: looks, waits for edits to settle, and follows up on what it sees."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from collectord.config import Settings
from collectord.cyntra.jsonio import ascii_json
from collectord.daemon.applying import Applier
from collectord.daemon.jobs import Jobs
from collectord.daemon.publishing import Publisher
from collectord.daemon.settled import Settling
from collectord.daemon.telling import Telling
from collectord.environment import requests
from collectord.environment.evaluate import evaluate, note_unreadable
from collectord.environment.look import Look, note_look, take_look
from collectord.environment.memory import Memory
from collectord.environment.severity import overrides_from
from collectord.environment.timeline import DAEMON, START
from collectord.environment.told import Remembered
from collectord.index.alerts import Notice
from collectord.index.environments import known_fingerprint
from collectord.index.seals import has_closing
from collectord.index.writer import IndexWriter
from collectord.sources.policy import PolicyReader
from collectord.sources.tree import WorkingTree

LOOK_EVERY_S = 5.0
# Between two changes a look is noted only so often: each note is a write.
NOTE_EVERY_S = 30.0
# With many runs a follow-up takes a while: it may take at most a tenth of the time.
SHARE = 10.0
LONGEST_PAUSE_S = 30.0


class EnvironmentChore:
    """Belongs to the loop's thread. A look costs a few milliseconds while nothing changes."""

    name = "environment"

    def __init__(
        self,
        settings: Settings,
        writer: IndexWriter,
        jobs: Jobs,
        applier: Applier,
        telling: Telling,
        wall_ms: Callable[[], int],
    ) -> None:
        section = settings.config.environment
        self._settings, self._writer, self._applier = settings, writer, applier
        self._telling, self._wall_ms = telling, wall_ms
        self._overrides = overrides_from(section)
        self._seal_after_ms = int(section.seal_after * 1000) or None
        self._every_s = min(LOOK_EVERY_S, settings.config.watch.poll_interval, max(0.1, section.debounce / 4))
        self._remembered: Remembered = {}
        self._memory = Memory()
        self._reader = PolicyReader(WorkingTree(settings.repo))
        self._edit = Settling(section.debounce)
        self._publisher = Publisher(writer, jobs, telling, section.debounce)
        self._source = START
        self._next = self._noted_at = self._not_before = float("-inf")
        self._was_unknown = False
        self._applied: int | None = None
        self._closing = True

    def due_at(self) -> float:
        """The next look."""
        return self._next

    def run(self, mono: float) -> None:
        """Carry out requests, look, and follow up where something changed or waits."""
        self._next = mono + self._every_s
        changed = self._carry_out_requests()
        changed = self._look(mono) or changed
        waits = self._applied != self._applier.applied or self._closing or self._publisher.waits
        if changed or (waits and mono >= self._not_before):
            self._follow_up(mono)

    def _carry_out_requests(self) -> bool:
        done = False
        for path, request in requests.left(self._settings.state_dir):
            try:
                with self._writer.transaction() as connection:
                    requests.carry_out(connection, request or {})
            except (KeyError, TypeError, ValueError) as error:
                self._telling.log.warning("request.refused", path=str(path), said=repr(error))
            path.unlink(missing_ok=True)
            done = True
        return done

    def _look(self, mono: float) -> bool:
        """One look; whether another environment stands now. An edit counts when it has settled."""
        look = take_look(self._reader, self._wall_ms())
        with self._writer.transaction() as connection:
            known = known_fingerprint(connection)
        seen = look.environment.fingerprint if look.environment else None
        if seen is not None and known in (None, seen):
            self._edit.clear()
            is_due = self._was_unknown or mono >= self._noted_at + NOTE_EVERY_S
            return is_due and self._note(look, mono)
        what = (seen, str(look.unreadable), look.modified_ms)
        return self._edit.is_settled(what, mono) and self._note(look, mono)

    def _note(self, look: Look, mono: float) -> bool:
        with self._writer.transaction() as connection:
            changed = note_look(connection, look, self._source)
            notices = note_unreadable(connection, look.unreadable, look.at_ms)
        self._noted_at, self._source = mono, DAEMON
        self._was_unknown = look.environment is None
        self._tell(notices)
        return changed

    def _follow_up(self, mono: float) -> None:
        begun = time.perf_counter()
        self._applied = self._applier.applied
        # Put back only when all went well: after a failure everything is read again.
        memory, self._memory = self._memory, Memory()
        changed = self._applier.take_changed()
        with self._writer.transaction() as connection:
            done = evaluate(
                connection,
                self._settings.repo,
                self._overrides,
                now_ms=self._wall_ms(),
                seal_after_ms=self._seal_after_ms,
                remembered=self._remembered,
                memory=memory,
                changed=changed,
            )
            self._closing = has_closing(connection)
            self._publisher.look(connection, done.survey, mono)
        self._memory = memory
        self._tell(done.notices)
        self._not_before = mono + min(LONGEST_PAUSE_S, SHARE * (time.perf_counter() - begun))

    def _tell(self, notices: Iterable[Notice]) -> None:
        """One line each, level warning; what is over says so."""
        for notice in notices:
            over = {"resolved": True} if notice.is_resolved else {}
            fields = {key: _shown(value) for key, value in notice.fields.items()}
            self._telling.log.warning(notice.event, repo=str(self._settings.repo), **fields, **over)


def _shown(value: object) -> object:
    """A field as a line can hold it: texts, numbers and lists of texts as they are, else JSON."""
    if isinstance(value, list):
        return [item if isinstance(item, str) else ascii_json(item) for item in value]
    return ascii_json(value) if isinstance(value, dict) else value
