"""The environment of a repo over its git history, as observations for the timeline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from collectord.environment.look import environment_of
from collectord.model import GIT, Environment, EnvironmentObservation
from collectord.sources.policy_history import policy_history


@dataclass(frozen=True)
class Backfilled:
    """`found` are the changes in order; `unreadable` are (commit, why it could not be told).

    `early` are commits whose own time has not come yet.
    """

    commits: int
    found: list[tuple[Environment, EnvironmentObservation]]
    unreadable: list[tuple[str, str]]
    early: list[str]


def read_history(repo: Path, now_ms: int) -> Backfilled:
    """Every change of the environment in the repo's history. Raises GitUnusable.

    A commit whose environment cannot be told changes nothing: the one before it stands.
    """
    result = Backfilled(0, [], [], [])
    commits, before = 0, None
    for past in policy_history(repo, now_ms):
        commits += 1
        if past.is_early:
            result.early.append(past.commit.id)
        if past.surface is None:
            result.unreadable.append((past.commit.id, past.unreadable or ""))
            continue
        environment = environment_of(past.surface)
        if environment.fingerprint != before:
            before = environment.fingerprint
            seen = EnvironmentObservation(before, GIT, past.commit.at_ms, now_ms, None, past.commit.id)
            result.found.append((environment, seen))
    return Backfilled(commits, result.found, result.unreadable, result.early)
