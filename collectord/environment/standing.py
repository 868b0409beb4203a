"""Which environments could be in effect: what files said, and what a running kernel has of them. Pure.

A kernel reads its configuration when it starts and the prompt genomes at each dispatch (CONTRACT.md
section 5). So the environment of a run is the configuration of one time with the prompts of another; most
of the time both are what stood in the files together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from collectord.cyntra.policy import Surface
from collectord.cyntra.values import as_object, member
from collectord.environment.fingerprint import component_digests, fingerprint
from collectord.environment.sessions import Sessions, Tenure
from collectord.environment.timeline import Stretch, position_at
from collectord.environment.unexplained import Facts, facts_of
from collectord.model import Environment, KernelSession, Launch

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
        return same_files and _as_told(self._listed_sessions) == _as_told(sessions)

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


def _as_told(sessions: Sequence[KernelSession]) -> list[tuple[Any, ...]]:
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
