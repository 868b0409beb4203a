"""The environment of a repo over its git history, as observations for the timeline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from collectord.environment.observe import environment_of
from collectord.model import GIT, Environment, EnvironmentObservation, Launch
from collectord.sources.git_objects import first_parents, is_shallow
from collectord.sources.policy_history import policy_history


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
