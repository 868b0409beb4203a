"""The files of a repo as a commit has them."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from collectord.cyntra.policy import PolicyUnreadable
from collectord.sources.git_objects import Commit, GitObject, GitObjects, tree_entries
from collectord.sources.lately import Lately
from collectord.sources.tree import MAX_BYTES, MAX_NAMES

_FOLDER, _LINK, _MODULE = "40000", "120000", "160000"
_MAX_LINKS = 16
# What one commit asks for fits many times over; a history of large files is not held whole.
_KEPT_ENTRIES, _KEPT_BYTES = 500_000, 64 * 2**20


@dataclass(frozen=True, slots=True)
class _Entry:
    mode: str
    id: str


class GitHistory:
    """The trees of commits; what neighbours share is mostly read once. Close it at the end."""

    def __init__(self, repo: Path) -> None:
        self._objects = GitObjects(repo)
        self._trees: Lately[Mapping[str, _Entry]] = Lately(_KEPT_ENTRIES)
        self._blobs: Lately[bytes] = Lately(_KEPT_BYTES)

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
            self._trees.keep(tree_id, found, len(found))
        return found

    def blob(self, blob_id: str) -> bytes:
        """The bytes of a file."""
        found = self._blobs.get(blob_id)
        if found is None:
            found = self._read(blob_id, "blob")
            self._blobs.keep(blob_id, found, len(found))
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
