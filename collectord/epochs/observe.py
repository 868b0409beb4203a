"""The environment of a repo as it is now and over its git history, and noting it in the index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from collectord.epochs.fingerprint import NORMALISER, component_digests, fingerprint
from collectord.epochs.timeline import START, since_ms
from collectord.index.engine import IndexConnection
from collectord.index.environments import (
    environments,
    last_look_ms,
    observations,
    replace_fingerprint,
    store_environment,
    store_last_look,
    store_observation,
)
from collectord.kernel.policy import PolicyUnreadable, Surface
from collectord.kernel.universe import UNKNOWN
from collectord.kernel.values import member
from collectord.model import GIT, Environment, EnvironmentObservation, KernelSession, Launch
from collectord.repo.git_objects import first_parents, is_shallow
from collectord.repo.git_tree import policy_history
from collectord.repo.policy import PolicyReader

POLICY = "policy"


@dataclass(frozen=True, slots=True)
class Look:
    """What a look saw: an environment whose files changed last at `modified_ms`; or why it is unknown.

    `launch` is the command of the kernel that it is the environment of, None for one without options.
    """

    at_ms: int
    environment: Environment | None
    modified_ms: int | None = None
    unreadable: PolicyUnreadable | None = None
    launch: str | None = None

    @property
    def has_universe(self) -> bool:
        """Whether it is the environment of a kernel in a universe; True while it is unknown."""
        components = {} if self.environment is None else self.environment.components
        return bool(member(components.get("universe"), "universe_id") != UNKNOWN)


def environment_of(surface: Surface) -> Environment:
    """A surface as the index keeps it."""
    return Environment(
        fingerprint=fingerprint(surface),
        origin=POLICY,
        normaliser=NORMALISER,
        digests=component_digests(surface),
        components=dict(surface.components),
        unrecognised=surface.unrecognised,
    )


def take_look(reader: PolicyReader, now_ms: int) -> Look:
    """The environment of the repo as it is now; unknown where it cannot be read."""
    launch = None if reader.launch is None else reader.launch.command
    try:
        surface = reader.read(now_ms * 1_000_000)
    except PolicyUnreadable as unreadable:
        return Look(now_ms, None, unreadable=unreadable, launch=launch)
    newest_ns = reader.newest_mtime_ns()
    modified_ms = None if newest_ns is None else newest_ns // 1_000_000
    return Look(now_ms, environment_of(surface), modified_ms, launch=launch)


def launches_of_interest(sessions: Sequence[KernelSession], has_universe: bool) -> list[Launch]:
    """How kernels are started whose files must be looked at beside those of a kernel without options: of
    those that run, and of the one that ran last, as the next one is likely to be started so too.

    In a repo with just one universe a kernel is taken to run in it; one without options does not
    (`has_universe`).
    """
    running = [session.launch for session in sessions if session.gone_ms is None]
    last = [session.launch for session in sessions[-1:]]
    wanted = dict.fromkeys([*running, *last])
    return [launch for launch in wanted if has_universe or launch != Launch()]


def note_look(connection: IndexConnection, look: Look, source: str, seen_ms: int | None = None) -> bool:
    """Note what was seen; returns whether the environment is another one than at the last look.

    `seen_ms` is when the one before was seen for the last time by looks that were not noted.
    Where nothing could be read the last good environment stands, and the look does not count as one.
    """
    seen = look.environment
    if seen is None:
        return False
    noted_ms = last_look_ms(connection, look.launch)
    previous_ms = max((at for at in (noted_ms, seen_ms) if at is not None), default=None)
    looks = [o for o in observations(connection) if o.source != GIT and o.launch == look.launch]
    before = looks[-1].fingerprint if looks else None
    if (
        before is not None
        and before != seen.fingerprint
        and _was_read_anew(connection, before, look, previous_ms)
    ):
        replace_fingerprint(connection, before, seen, look.at_ms)
        before = seen.fingerprint
    if before != seen.fingerprint or _was_touched_unseen(look, previous_ms, source):
        since = since_ms(look.modified_ms, previous_ms, look.at_ms)
        store_environment(connection, seen, look.at_ms)
        stands = EnvironmentObservation(
            seen.fingerprint, source, since, look.at_ms, previous_ms, launch=look.launch
        )
        store_observation(connection, stands)
    store_last_look(connection, look.at_ms, look.launch)
    return before != seen.fingerprint


def _was_touched_unseen(look: Look, previous_ms: int | None, source: str) -> bool:
    """Whether files changed while nobody looked, and say again what they said before.

    What stood in between is in the repo's history, if anywhere; without this look nothing tells of the gap.
    """
    return source == START and (look.modified_ms or 0) > (look.at_ms if previous_ms is None else previous_ms)


def _was_read_anew(connection: IndexConnection, before: str, look: Look, previous_ms: int | None) -> bool:
    """Whether only our reading changed: a newer normaliser, and files no younger than the last look."""
    older = environments(connection)[before].normaliser < NORMALISER
    untouched = None not in (look.modified_ms, previous_ms) and (look.modified_ms or 0) <= (previous_ms or 0)
    return older and untouched


@dataclass(frozen=True)
class Backfilled:
    """`found` are the changes in order; `unreadable` are (commit, why it could not be told).

    `early` are commits whose own time has not come yet; `shallow` is the commit that the history begins at
    where the clone does not have what was before.
    """

    commits: int
    found: list[tuple[Environment, EnvironmentObservation]]
    unreadable: list[tuple[str, str]]
    early: list[str]
    shallow: str | None = None


def read_history(repo: Path, now_ms: int, launch: Launch | None = None) -> Backfilled:
    """Every change of the environment in the repo's history, for a kernel started so. Raises GitUnusable.

    A commit whose environment cannot be told changes nothing: the one before it stands.
    """
    result = Backfilled(0, [], [], [])
    commits, before = 0, None
    command = None if launch is None else launch.command
    for past in policy_history(repo, now_ms, launch):
        commits += 1
        if past.is_early:
            result.early.append(past.commit.id)
        if past.surface is None:
            result.unreadable.append((past.commit.id, past.unreadable or ""))
            continue
        environment = environment_of(past.surface)
        if environment.fingerprint != before:
            before = environment.fingerprint
            seen = EnvironmentObservation(
                before, GIT, past.commit.at_ms, now_ms, None, past.commit.id, command
            )
            result.found.append((environment, seen))
    return Backfilled(commits, result.found, result.unreadable, result.early, _shallow_at(repo))


def _shallow_at(repo: Path) -> str | None:
    if not is_shallow(repo):
        return None
    return next((commit.id for commit in first_parents(repo)), None)
