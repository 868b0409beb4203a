"""Every environment that stood, from when to when, and how that is known. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from collectord.model import GIT, EnvironmentChange, EnvironmentObservation

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
