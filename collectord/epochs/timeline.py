"""What stood when: environments of the files, kernels that ran, and what those had read. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

from collectord.epochs.fingerprint import component_digests, fingerprint
from collectord.epochs.unexplained import Facts, facts_of
from collectord.kernel.policy import Surface
from collectord.kernel.values import as_object, member
from collectord.model import (
    GIT,
    Environment,
    EnvironmentChange,
    EnvironmentObservation,
    KernelSession,
    Launch,
)


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


DAEMON, START = "daemon", "start"


@dataclass(frozen=True, slots=True)
class Stretch:
    """One environment stood from `since_ms` until `until_ms` (None: it stands), known from `source`.

    `launch` is the command of the kernel that it is the environment of, None for one without options. Nobody
    looked between `unseen_ms` and `since_ms` (None: somebody did, or it is from git).
    """

    fingerprint: str
    since_ms: int
    until_ms: int | None
    source: str
    seen_ms: int
    commit: str | None = None
    launch: str | None = None
    unseen_ms: int | None = None


def since_ms(modified_ms: int | None, previous_ms: int | None, now_ms: int) -> int:
    """When an environment that is seen now began to stand: since its files changed, at the earliest.

    Never before the last look, which saw another one, and never in the future. Files that are gone have
    no modification: then it is as early as it can be.
    """
    known = previous_ms if modified_ms is None else modified_ms
    at_most_now = now_ms if known is None else min(known, now_ms)
    return at_most_now if previous_ms is None else max(at_most_now, min(previous_ms, now_ms))


def timelines(observations: Iterable[EnvironmentObservation]) -> dict[str | None, tuple[Stretch, ...]]:
    """By the command of a kernel its timeline; the one of a kernel without options (None) is always there."""
    given: dict[str | None, list[EnvironmentObservation]] = {None: []}
    for observation in observations:
        given.setdefault(observation.launch, []).append(observation)
    return {launch: timeline(seen) for launch, seen in given.items()}


def timeline(observations: Iterable[EnvironmentObservation]) -> tuple[Stretch, ...]:
    """The stretches of one launch in order, without gaps; neighbours are of different environments.

    What a look saw goes before what git says: commits count only for the time before the first look, and
    for the time between two looks that saw different environments.
    """
    given = list(observations)
    looks = sorted((o for o in given if o.source != GIT), key=lambda o: (o.seen_ms, o.since_ms))
    commits = sorted((o for o in given if o.source == GIT), key=lambda o: (o.since_ms, o.seen_ms))
    return _closed([*(c for c in commits if _is_in_a_gap(c.since_ms, looks)), *looks])


def _is_in_a_gap(at_ms: int, looks: Sequence[EnvironmentObservation]) -> bool:
    """Whether nobody looked then: before the first look, or after one and before the change the next saw."""
    following = next((look for look in looks if look.since_ms > at_ms), None)
    if following is None:
        return not looks
    return following is looks[0] or (following.previous_ms is not None and at_ms > following.previous_ms)


def _closed(observations: list[EnvironmentObservation]) -> tuple[Stretch, ...]:
    stretches: list[Stretch] = []
    for seen in sorted(observations, key=lambda o: (o.since_ms, o.source != GIT, o.seen_ms)):
        if stretches and stretches[-1].fingerprint == seen.fingerprint:
            continue
        if stretches:
            stretches[-1] = replace(stretches[-1], until_ms=seen.since_ms)
        stretches.append(
            Stretch(
                seen.fingerprint,
                seen.since_ms,
                None,
                seen.source,
                seen.seen_ms,
                seen.commit,
                seen.launch,
                None if seen.source == GIT else seen.previous_ms,
            )
        )
    return tuple(stretches)


def position_at(stretches: Sequence[Stretch], at_ms: int) -> int:
    """The place of the stretch that stood then; 0, the earliest known, for a time before anything is known.

    Of several that began in the same millisecond the last one stood. -1 where nothing is known at all.
    """
    if not stretches:
        return -1
    return max(0, bisect_right(stretches, at_ms, key=lambda s: s.since_ms) - 1)


def changes(stretches: Sequence[Stretch]) -> list[EnvironmentChange]:
    """What followed what, in order."""
    pairs = pairwise(stretches)
    return [EnvironmentChange(b.since_ms, a.fingerprint, b.fingerprint, b.source) for a, b in pairs]


NOWHERE = -1
PROMPTS, TOOLCHAINS = "prompts", "toolchains"
PLAIN = Launch()
# The start of a process is known to a hundredth of a second, and it reads its files after it.
READS_AFTER_MS = 10


@dataclass(frozen=True, slots=True)
class Candidate:
    """An environment that a run may have had: the configuration of a stretch, in effect since a time."""

    position: int
    fingerprint: str
    since_ms: int


class Standing:
    """The timelines by launch, the environments on them, and the sessions; its answers never change.

    Positions are places in `stretches`, where each launch has a part of its own, the one without options
    (None) the first.
    """

    def __init__(
        self,
        timelines: Mapping[str | None, Sequence[Stretch]],
        environments: Mapping[str, Environment],
        sessions: Sequence[KernelSession] = (),
    ) -> None:
        ordered = sorted(timelines, key=lambda launch: (launch is not None, launch or ""))
        self.timelines = {launch: tuple(timelines[launch]) for launch in ordered}
        self.stretches = tuple(s for listed in self.timelines.values() for s in listed)
        self.given = dict(environments)
        self.sessions = Sessions(sessions)
        self._listed_sessions = tuple(sessions)
        self._environments = dict(environments)
        self._first: dict[str | None, int] = {}
        for launch in self.timelines:
            self._first[launch] = sum(len(self.timelines[other]) for other in self._first)
        self._joined: dict[tuple[int, int], str] = {}
        self._facts: dict[str, Facts] = {}
        self._candidates: dict[tuple[str | None, int, int], tuple[Candidate, ...]] = {}

    def is_of(
        self,
        timelines: Mapping[str | None, Sequence[Stretch]],
        environments: Mapping[str, Environment],
        sessions: Sequence[KernelSession],
    ) -> bool:
        """Whether it would be the same, made of these."""
        same_files = self.timelines == timelines and self.given == environments
        return same_files and _as_values(self._listed_sessions) == _as_values(sessions)

    @property
    def environments(self) -> Mapping[str, Environment]:
        """By fingerprint: what was given, and what a run was found to have had."""
        return self._environments

    def of_runs(self, names: Iterable[str]) -> dict[str, Environment]:
        """What was given, and those of these fingerprints that were put together."""
        joined = {name: self._environments[name] for name in set(names) & set(self._environments)}
        return {**self.given, **dict(sorted(joined.items()))}

    def environment(self, name: str) -> Environment | None:
        """The environment of a fingerprint, None where only runs show it."""
        return self._environments.get(name)

    def facts(self, name: str) -> Facts:
        """What an environment makes runs show."""
        if name not in self._facts:
            self._facts[name] = facts_of(self._environments[name].components)
        return self._facts[name]

    def launch_of(self, session: KernelSession, at_ms: int) -> str | None:
        """The timeline of a session. One without options has that of the repo, but in a repo with one
        universe, where that takes the kernel to run in it."""
        command = session.launch.command
        if session.launch == PLAIN and not self.is_known_at(command, at_ms):
            return None
        return command

    def is_known_at(self, launch: str | None, at_ms: int) -> bool:
        """Whether anything says what stood then."""
        listed = self.timelines.get(launch, ())
        return bool(listed) and at_ms >= listed[0].since_ms

    def position_at(self, launch: str | None, at_ms: int) -> int:
        """The place of the stretch that stood then, as `timeline.position_at`; NOWHERE without a timeline."""
        listed = self.timelines.get(launch, ())
        return self._first[launch] + position_at(listed, at_ms) if listed else NOWHERE

    def of_session(self, tenure: Tenure, at_ms: int) -> Candidate | None:
        """The environment of what a kernel dispatched at a time; None where nothing says what it has read.

        Nothing does where its start lies before anything is known, or where nobody looked between its start
        and a change that was found later: there may have been another one between.
        """
        read_ms = tenure.session.started_ms + READS_AFTER_MS
        launch = self.launch_of(tenure.session, read_ms)
        if not self.is_known_at(launch, read_ms):
            return None
        position = self.position_at(launch, read_ms)
        if self._is_unseen(launch, position, read_ms):
            return None
        live = max(position, self.position_at(launch, at_ms))
        return self.joined(position, live, tenure.session.started_ms)

    def _is_unseen(self, launch: str | None, position: int, at_ms: int) -> bool:
        following = position + 1 - self._first[launch]
        if following >= len(self.timelines[launch]):
            return False
        unseen_ms = self.timelines[launch][following].unseen_ms
        return unseen_ms is not None and unseen_ms < at_ms and self.stretches[position].since_ms < unseen_ms

    def candidates(self, launch: str | None, newest: int, live: int) -> tuple[Candidate, ...]:
        """What can have been in effect while `live` stood in the files, the configuration of `newest` or an
        older one: the newest first, then the same without regard to when genomes are read."""
        key = launch, newest, live
        if key not in self._candidates:
            self._candidates[key] = tuple(self._possible(launch, newest, live))
        return self._candidates[key]

    def _possible(self, launch: str | None, newest: int, live: int) -> Iterable[Candidate]:
        places = range(newest, self._first[launch] - 1, -1) if newest != NOWHERE else ()
        joined = [self.joined(p, max(p, live), self.stretches[p].since_ms) for p in places]
        yield from joined
        seen = {(c.position, c.fingerprint) for c in joined}
        for p in places:
            if (p, self.stretches[p].fingerprint) not in seen:
                yield Candidate(p, self.stretches[p].fingerprint, self.stretches[p].since_ms)

    def joined(self, position: int, live: int, since_ms: int) -> Candidate:
        """The configuration of one stretch, read at `since_ms`, with the prompts of another."""
        name, began = self._join(position, live), live
        while self.stretches[began].since_ms > since_ms and self._is_joined(position, began - 1, name):
            began -= 1
        return Candidate(position, name, max(since_ms, self.stretches[began].since_ms))

    def _is_joined(self, position: int, live: int, name: str) -> bool:
        return live >= position and self._join(position, live) == name

    def _join(self, position: int, live: int) -> str:
        key = position, live
        if key not in self._joined:
            config, now = (self._environments[self.stretches[p].fingerprint] for p in key)
            environment = with_prompts_of(config, now)
            self._environments.setdefault(environment.fingerprint, environment)
            self._joined[key] = environment.fingerprint
        return self._joined[key]

    @cached_property
    def effects(self) -> tuple[tuple[int, frozenset[str]], ...]:
        """(since when, fingerprints of what was in effect): of the kernels that ran, else of what the next
        one would read; in order, each until the next."""
        times = {s.since_ms for s in self.stretches}
        for tenure in self.sessions.tenures:
            times |= {tenure.session.started_ms, tenure.ended_ms or tenure.session.started_ms}
        return tuple((at_ms, frozenset(self._in_effect(at_ms))) for at_ms in sorted(times))

    def _in_effect(self, at_ms: int) -> Iterable[str]:
        running = self.sessions.possible_at(at_ms)
        for tenure in running:
            read_ms = tenure.session.started_ms + READS_AFTER_MS
            launch = self.launch_of(tenure.session, read_ms)
            position = self.position_at(launch, read_ms)
            if position != NOWHERE:
                live = max(position, self.position_at(launch, at_ms))
                yield self._join(position, live)
        if not running:
            last = self.sessions.last_before(at_ms)
            launch = None if last is None else self.launch_of(last.session, at_ms)
            position = self.position_at(launch if launch in self.timelines else None, at_ms)
            if position != NOWHERE:
                yield self.stretches[position].fingerprint


def _as_values(sessions: Sequence[KernelSession]) -> list[tuple[Any, ...]]:
    """Sessions without what every look moves: one that runs was seen just now."""
    return [
        (s.pid, s.started_ms, s.launch, s.gone_ms, None if s.gone_ms is None else s.last_seen_ms)
        for s in sessions
    ]


def with_prompts_of(config: Environment, live: Environment) -> Environment:
    """A configuration with the prompts of another time, as far as its own toolchains can run with them."""
    before, now = (as_object(e.components.get(PROMPTS)) for e in (config, live))
    if before == now:
        return config
    mine, theirs = (_enabled(e.components) for e in (config, live))
    # Of a toolchain that is switched off now nothing tells its genomes of now.
    older = {pair: chosen for pair, chosen in before.items() if _toolchain(pair) not in theirs}
    newer = {pair: chosen for pair, chosen in now.items() if _toolchain(pair) in mine}
    components = {**config.components, PROMPTS: {**older, **newer}}
    if components[PROMPTS] == before:
        return config
    surface = Surface(components, config.unrecognised)
    return Environment(
        fingerprint(surface),
        config.origin,
        config.normaliser,
        component_digests(surface),
        components,
        config.unrecognised,
    )


def _enabled(components: Mapping[str, Any]) -> frozenset[str]:
    toolchains = as_object(components.get(TOOLCHAINS))
    return frozenset(name for name, value in toolchains.items() if member(value, "enabled"))


def _toolchain(pair: str) -> str:
    return pair.partition("/")[2]
