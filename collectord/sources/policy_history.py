"""The environment of a repo at each commit that changed it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path, PurePosixPath

from collectord.cyntra.policy import PolicyUnreadable, Surface
from collectord.model import Launch
from collectord.sources.git_objects import Commit, first_parents
from collectord.sources.git_tree import GitHistory, GitTree
from collectord.sources.policy import config_path, read_policy
from collectord.sources.tree import Tree, WorkingTree

# What people keep out of git: the kernel writes the report, and genomes and universes may be generated.
_MAYBE_UNTRACKED = tuple(
    map(PurePosixPath, ("prompts", "universes", ".cyntra/universes", ".cyntra/dynamics"))
)


@dataclass(frozen=True, slots=True)
class PastPolicy:
    """What a commit made of the environment; without a surface it could not be told, for that reason.

    `is_early` where its own time has not come yet, and that of the next commit stands for it.
    """

    commit: Commit
    surface: Surface | None
    unreadable: str | None = None
    is_early: bool = False


def policy_history(repo: Path, now_ms: int, launch: Launch | None = None) -> Iterator[PastPolicy]:
    """Each commit of HEAD's branch that touched a policy file, the oldest first. Raises GitUnusable.

    It is the one for a kernel that is started so, and begins where its configuration came into the repo. A
    commit's time is its committer's as far as it can be believed (`credible_times`).
    """
    before: Mapping[PurePosixPath, str] | None = None
    commits = first_parents(repo)
    times = credible_times([commit.at_ms for commit in commits], now_ms)
    with GitHistory(repo) as history:
        now, untracked = WorkingTree(repo), _untracked(history, commits)
        for commit, at_ms in zip(commits, times, strict=True):
            try:
                tree = history.tree(commit)
            except PolicyUnreadable as error:
                yield PastPolicy(Commit(commit.id, at_ms), None, str(error), commit.at_ms > now_ms)
                continue
            if _is_same(tree, before, launch):
                continue
            past = _read(_WithUntracked(tree, now, untracked), Commit(commit.id, at_ms), launch)
            yield replace(past, is_early=commit.at_ms > now_ms)
            before = dict(tree.touched)


def credible_times(times: Sequence[int], now_ms: int) -> list[int]:
    """Times (ms) of commits, the oldest first, as they can be: none beyond now, none going back.

    One that has not come yet gives way to the next that has, or it would carry all later commits with it.
    """
    known, following = [], now_ms
    for at_ms in reversed(times):
        following = at_ms if at_ms <= now_ms else following
        known.append(following)
    return list(accumulate(reversed(known), max))


def _is_same(tree: GitTree, before: Mapping[PurePosixPath, str] | None, launch: Launch | None) -> bool:
    if before is None:
        return not tree.stamp(PurePosixPath(config_path(launch)))
    return all(tree.stamp(path) == stamp for path, stamp in before.items())


def _untracked(history: GitHistory, commits: Sequence[Commit]) -> frozenset[PurePosixPath]:
    """Places that the newest commit does not have: the history says nothing of them."""
    try:
        head = history.tree(commits[-1]) if commits else None
    except PolicyUnreadable:
        return frozenset()
    return frozenset(path for path in _MAYBE_UNTRACKED if head is not None and not head.stamp(path))


@dataclass(frozen=True, slots=True)
class _WithUntracked:
    """A commit's files; what no history holds is as it is now, which is the best that is known of it."""

    tree: GitTree
    now: WorkingTree
    untracked: frozenset[PurePosixPath]

    def read(self, path: PurePosixPath) -> bytes | None:
        return self._of(path).read(path)

    def names(self, path: PurePosixPath) -> tuple[str, ...]:
        return self._of(path).names(path)

    def _of(self, path: PurePosixPath) -> Tree:
        return self.now if self.untracked & {path, *path.parents} else self.tree


def _read(tree: Tree, commit: Commit, launch: Launch | None) -> PastPolicy:
    try:
        return PastPolicy(commit, read_policy(tree, launch))
    except PolicyUnreadable as error:
        return PastPolicy(commit, None, str(error))
