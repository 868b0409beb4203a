"""The environment of a repo at each commit that changed it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from collectord.cyntra.policy import PolicyUnreadable, Surface
from collectord.cyntra.policy.surface import CONFIG_PATH
from collectord.sources.git_objects import Commit, first_parents
from collectord.sources.git_tree import GitHistory, GitTree
from collectord.sources.policy import read_policy


@dataclass(frozen=True, slots=True)
class PastPolicy:
    """What a commit made of the environment; without a surface it could not be told, for that reason."""

    commit: Commit
    surface: Surface | None
    unreadable: str | None = None


def policy_history(repo: Path) -> Iterator[PastPolicy]:
    """Each commit of HEAD's branch that touched a policy file, the oldest first. Raises GitUnusable.

    It begins where the configuration came into the repo. A commit's time is its committer's, and never
    before that of the commit before it.
    """
    before: Mapping[PurePosixPath, str] | None = None
    at_ms = 0
    with GitHistory(repo) as history:
        for commit in first_parents(repo):
            at_ms = max(at_ms, commit.at_ms)
            tree = history.tree(commit)
            if _is_same(tree, before):
                continue
            yield _read(tree, Commit(commit.id, at_ms))
            before = dict(tree.touched)


def _is_same(tree: GitTree, before: Mapping[PurePosixPath, str] | None) -> bool:
    if before is None:
        return not tree.stamp(PurePosixPath(CONFIG_PATH))
    return all(tree.stamp(path) == stamp for path, stamp in before.items())


def _read(tree: GitTree, commit: Commit) -> PastPolicy:
    try:
        return PastPolicy(commit, read_policy(tree))
    except PolicyUnreadable as error:
        return PastPolicy(commit, None, str(error))
