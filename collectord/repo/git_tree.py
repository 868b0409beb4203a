"""The files of a repo as a commit has them, and its environment at each commit that changed it."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import TypeVar

from cachetools import LRUCache

from collectord.kernel.policy import PolicyUnreadable, Surface
from collectord.model import Launch
from collectord.repo.git_objects import Commit, GitObject, GitObjects, first_parents, tree_entries
from collectord.repo.policy import MAX_BYTES, MAX_NAMES, Tree, WorkingTree, config_path, read_policy

_FOLDER, _LINK, _MODULE = "40000", "120000", "160000"
_MAX_LINKS = 16
# What one commit asks for fits many times over; a history of large files is not held whole.
_CACHED_ENTRIES, _CACHED_BYTES = 500_000, 64 * 2**20


V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class _Entry:
    mode: str
    id: str


def _cache(values: LRUCache[str, V], key: str, value: V) -> None:
    with suppress(ValueError):  # larger than all that may be held
        values[key] = value


class GitHistory:
    """The trees of commits; what neighbours share is mostly read once. Close it at the end."""

    def __init__(self, repo: Path) -> None:
        self._objects = GitObjects(repo)
        self._trees: LRUCache[str, Mapping[str, _Entry]] = LRUCache(_CACHED_ENTRIES, getsizeof=len)
        self._blobs: LRUCache[str, bytes] = LRUCache(_CACHED_BYTES, getsizeof=len)

    def __enter__(self) -> GitHistory:
        return self

    def __exit__(self, *error: object) -> None:
        self._objects.__exit__(*error)

    def tree(self, commit: Commit) -> GitTree:
        """The tree of a commit, from the folder of the repo on. Raises PolicyUnreadable."""
        root = self._objects.find(f"{commit.id}:./")
        # Either the commit has no such folder, or it has lost its tree: then nothing can be said of it.
        if root is None and self._objects.find(f"{commit.id}^{{tree}}") is None:
            raise PolicyUnreadable(commit.id, "its tree is not there; the clone is not complete")
        return GitTree(self, root.id if root is not None and root.kind == "tree" else None)

    def entries(self, tree_id: str) -> Mapping[str, _Entry]:
        """Name → entry of a tree object."""
        found = self._trees.get(tree_id)
        if found is None:
            data = self._read(tree_id, "tree")
            try:
                listed = list(tree_entries(data, len(tree_id) // 2))
            except ValueError:
                raise PolicyUnreadable(tree_id, "the git object is a broken tree") from None
            found = {name: _Entry(mode, oid) for mode, name, oid in listed}
            _cache(self._trees, tree_id, found)
        return found

    def blob(self, blob_id: str) -> bytes:
        """The bytes of a file."""
        found = self._blobs.get(blob_id)
        if found is None:
            found = self._read(blob_id, "blob")
            _cache(self._blobs, blob_id, found)
        return found

    def _read(self, object_id: str, kind: str) -> bytes:
        found: GitObject | None = self._objects.find(object_id)
        if found is None or found.kind != kind:
            raise PolicyUnreadable(object_id, "the git object is not there; the clone is not complete")
        if found.size > MAX_BYTES:
            raise PolicyUnreadable(object_id, f"larger than {MAX_BYTES} bytes")
        return self._objects.read(found)


class GitTree:
    """One commit's files; `touched` holds every path that was asked for, with what it led to."""

    def __init__(self, history: GitHistory, root: str | None) -> None:
        self._history, self._root = history, root
        self.touched: dict[PurePosixPath, str] = {}

    def read(self, path: PurePosixPath) -> bytes | None:
        """The bytes of a file; None where there is none. A link is followed within the repo."""
        entry = self._entry(path)
        if entry is None or entry.mode in (_FOLDER, _MODULE):
            return None
        return self._history.blob(entry.id)

    def names(self, path: PurePosixPath) -> tuple[str, ...]:
        """The sorted names in a folder, those of folders with a `/` at the end; none where there is none."""
        entry = self._entry(path)
        if entry is None or entry.mode != _FOLDER:
            return ()
        listed = self._history.entries(entry.id)
        if len(listed) > MAX_NAMES:
            raise PolicyUnreadable(str(path), f"more than {MAX_NAMES} entries")
        return tuple(sorted(name + ("/" if self._is_folder(path / name) else "") for name in listed))

    def stamp(self, path: PurePosixPath) -> str:
        """What changes whenever the file or folder does; empty where there is none."""
        try:
            entry = self._find(path.parts, 0)
        except PolicyUnreadable as error:
            return str(error)
        return "" if entry is None else f"{entry.mode} {entry.id}"

    def _is_folder(self, path: PurePosixPath) -> bool:
        return self.stamp(path).startswith(f"{_FOLDER} ")

    def _entry(self, path: PurePosixPath) -> _Entry | None:
        self.touched[path] = self.stamp(path)
        return self._find(path.parts, 0)

    def _find(self, parts: tuple[str, ...], links: int) -> _Entry | None:
        if self._root is None:
            return None
        here = _Entry(_FOLDER, self._root)
        for index, part in enumerate(parts):
            found = self._history.entries(here.id).get(part) if here.mode == _FOLDER else None
            if found is None:
                return None
            if found.mode == _LINK:
                return self._find(self._target(parts, index, found, links), links + 1)
            here = found
        return here

    def _target(self, parts: tuple[str, ...], index: int, link: _Entry, links: int) -> tuple[str, ...]:
        """The parts of where a link in a path leads."""
        whole = "/".join(parts)
        if links >= _MAX_LINKS:
            raise PolicyUnreadable(whole, "leads through too many links")
        text = self._history.blob(link.id).decode("utf-8", "surrogateescape")
        target = posixpath.normpath(posixpath.join(*parts[:index], text, *parts[index + 1 :]))
        if posixpath.isabs(target) or target == ".." or target.startswith("../"):
            raise PolicyUnreadable(whole, "leads out of the repo by a link and is not read there")
        return PurePosixPath(target).parts


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
