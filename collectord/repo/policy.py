"""The environment read from the files of a working tree or a commit (CONTRACT.md section 5)."""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Protocol

from collectord.kernel.command_line import CONFIG_PATH
from collectord.kernel.jsonio import JsonObject, ascii_json
from collectord.kernel.policy import Genomes, PolicyUnreadable, Surface, normalise
from collectord.kernel.policy.documents import NotADocument, parse_json, parse_yaml, with_includes
from collectord.kernel.policy.surface import DOMAINS, FRONTIER_PATH, REPORT_PATH
from collectord.kernel.universe import UNKNOWN, Universe, from_documents
from collectord.model import Launch

MAX_BYTES = 8 * 2**20
MAX_NAMES = 20_000
STATE = ".cyntra"

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

Stamp = tuple[int, ...]


class Tree(Protocol):
    """Files below the root of a repo; every path is relative to it. Both raise PolicyUnreadable."""

    def read(self, path: PurePosixPath) -> bytes | None:
        """The bytes of a file; None where there is none."""

    def names(self, path: PurePosixPath) -> tuple[str, ...]:
        """The sorted names in a folder, those of folders with a `/` at the end; none where there is none."""


class WorkingTree:
    """The working tree of a repo, whose content is not trusted.

    A link is followed only to what lies in the repo too; only regular files are read, and only whole: one
    that is written while it is read is unreadable. `.cyntra` itself may be a link to another disk, which its
    operator made; what is there counts as of the repo. `touched` holds every path that was asked for, with
    what changes when the answer may.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.touched: dict[PurePosixPath, Stamp] = {}

    def read(self, path: PurePosixPath) -> bytes | None:
        """The bytes of a regular file of at most MAX_BYTES; None where there is no file."""
        self.touched[path] = self.stamp(path)
        with self._errors(path):
            descriptor = self._open(path, _FILE)
            if descriptor is None:
                return None
            with os.fdopen(descriptor, "rb") as file:
                return _whole(path, file)

    def names(self, path: PurePosixPath) -> tuple[str, ...]:
        """The names in a folder, at most MAX_NAMES; links count as what they lead to."""
        self.touched[path] = self.stamp(path)
        with self._errors(path):
            descriptor = self._open(path, _DIRECTORY)
            if descriptor is None:
                return ()
            try:
                with os.scandir(descriptor) as entries:
                    found = [entry.name + ("/" if entry.is_dir() else "") for entry in entries]
            finally:
                os.close(descriptor)
        if len(found) > MAX_NAMES:
            raise PolicyUnreadable(str(path), f"more than {MAX_NAMES} entries")
        return tuple(sorted(found))

    def stamp(self, path: PurePosixPath) -> Stamp:
        """What changes whenever the file or folder does; empty where there is none."""
        try:
            found = (self.root / path).stat()
        except (OSError, ValueError):
            return ()
        kind = stat.S_IFMT(found.st_mode)
        return (kind, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def _open(self, path: PurePosixPath, flags: int) -> int | None:
        """A descriptor, None where nothing is there; no link is followed between looking and opening."""
        root, parts = self._below(path)
        folder = os.open(root, _DIRECTORY)
        try:
            *folders, last = parts
            for part in folders:
                above, folder = folder, os.open(part, _DIRECTORY, dir_fd=folder)
                os.close(above)
            return os.open(last, flags, dir_fd=folder)
        except (FileNotFoundError, NotADirectoryError):
            return None
        finally:
            os.close(folder)

    @contextmanager
    def _errors(self, path: PurePosixPath) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise PolicyUnreadable(str(path), f"cannot be read: {reason}") from None

    def _below(self, path: PurePosixPath) -> tuple[Path, tuple[str, ...]]:
        """Where a path really leads: the root, or where `.cyntra` lies, and the parts below that."""
        real = Path(os.path.realpath(self.root / path))
        for root in (self.root, Path(os.path.realpath(self.root / STATE))):
            if real.is_relative_to(root):
                return root, real.relative_to(root).parts or (".",)
        raise PolicyUnreadable(str(path), "leads out of the repo by a link and is not watched there")


def _whole(path: PurePosixPath, file: BinaryIO) -> bytes:
    before = os.fstat(file.fileno())
    if not stat.S_ISREG(before.st_mode):
        raise PolicyUnreadable(str(path), "not a regular file")
    if before.st_size > MAX_BYTES:
        raise PolicyUnreadable(str(path), f"larger than {MAX_BYTES} bytes")
    data = file.read(MAX_BYTES + 1)
    after = os.fstat(file.fileno())
    still = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    if not still or len(data) != before.st_size:
        raise PolicyUnreadable(str(path), "was written while it was read")
    return data


# A file that changed this shortly before it was read could change again without its times moving.
_SETTLED_NS = 1_000_000_000


def read_policy(tree: Tree, launch: Launch | None = None) -> Surface:
    """The environment of a tree, for a kernel that is started so (None: nobody knows how).

    Raises PolicyUnreadable where it cannot be told, never guessing: a file that is there but cannot be
    read or parsed, or with which no kernel could start.
    """
    return normalise(
        with_includes(config_path(launch), lambda path: _mapping(tree, path)),
        universe=_universe(tree, launch),
        genomes=_genomes(tree),
        report=_document(tree, REPORT_PATH),
        speculates_always=launch is not None and launch.speculate,
    )


def config_path(launch: Launch | None) -> str:
    """The configuration file of a kernel that is started so. Raises PolicyUnreadable outside of the repo."""
    path = launch.config if launch is not None and launch.config is not None else CONFIG_PATH
    if posixpath.isabs(path):
        raise PolicyUnreadable(path, "lies outside the repo and is not watched")
    return path


class PolicyReader:
    """Reads the environment of a working tree again and again; cheap while nothing changes.

    Belongs to one caller on one thread.
    """

    def __init__(self, tree: WorkingTree, launch: Launch | None = None) -> None:
        self.tree = tree
        self.launch = launch
        self._stamps: Mapping[PurePosixPath, Stamp] = {}
        self._surface: Surface | None = None

    def read(self, now_ns: int) -> Surface:
        """The environment now; `now_ns` is the wall clock. Raises PolicyUnreadable."""
        if self._surface is not None and self._unchanged():
            return self._surface
        self._surface = None
        self.tree.touched.clear()
        try:
            surface = read_policy(self.tree, self.launch)
        finally:
            self._stamps = dict(self.tree.touched)
        if all(_is_settled(stamp, now_ns) for stamp in self._stamps.values()):
            self._surface = surface
        return surface

    def paths(self) -> tuple[PurePosixPath, ...]:
        """The files and folders that the last answer depends on, there or not: what a watch looks at."""
        return tuple(sorted(self._stamps))

    def newest_mtime_ns(self) -> int | None:
        """The youngest modification of what the last answer was read from; None where nothing is there.

        A folder counts only where its list of names is part of the answer, as that of genomes is.
        """
        return max(
            (stamp[4] for path, stamp in self._stamps.items() if stamp and _is_dated(path, stamp)),
            default=None,
        )

    def _unchanged(self) -> bool:
        return all(self.tree.stamp(path) == stamp for path, stamp in self._stamps.items())


def _is_settled(stamp: Stamp, now_ns: int) -> bool:
    return not stamp or max(stamp[4:]) + _SETTLED_NS < now_ns


def _is_dated(path: PurePosixPath, stamp: Stamp) -> bool:
    return not stat.S_ISDIR(stamp[0]) or path.parts[:1] == ("prompts",)


def _document(tree: Tree, path: str) -> Any:
    """The parsed document at a path, None where there is no file."""
    data = tree.read(PurePosixPath(path))
    if data is None:
        return None
    try:
        return parse_json(data) if path.endswith(".json") else parse_yaml(data)
    except NotADocument as error:
        raise PolicyUnreadable(path, str(error)) from None


def _mapping(tree: Tree, path: str) -> JsonObject | None:
    """A configuration file; None where there is none, empty where nothing is written in it."""
    data = tree.read(PurePosixPath(path))
    if data is None:
        return None
    try:
        value = parse_yaml(data)
    except NotADocument as error:
        raise PolicyUnreadable(path, str(error)) from None
    if not isinstance(value, dict | None):
        # A kernel would run on its defaults; a file cut off in its first word reads the same.
        raise PolicyUnreadable(path, "holds no sections; it looks cut off")
    return value or {}


def _universe(tree: Tree, launch: Launch | None) -> Universe:
    """The universe that the kernel is started with.

    The option is not in any file: where no kernel was seen, a repo with just one universe is taken to run
    in it, as in the dataset builder (CONTRACT.md 6.3).
    """
    name = _universe_id(tree) if launch is None else launch.universe or UNKNOWN
    if "/" in name or name in (".", ".."):
        raise PolicyUnreadable(f"universes/{name}", "is no name of a universe")
    folder = f"universes/{name}"
    if "universe.yaml" not in tree.names(PurePosixPath(folder)):
        return Universe(name)
    parts = [_document(tree, f"{folder}/{part}.yaml") for part in ("universe", "swarms", "objectives")]
    return from_documents(name, *parts, path_is_inside=lambda path: _exists(tree, path))


def _universe_id(tree: Tree) -> str:
    in_state = _folders(tree, ".cyntra/universes")
    registered = _folders(tree, "universes")
    with_file = [
        name for name in registered if "universe.yaml" in tree.names(PurePosixPath("universes", name))
    ]
    return next((found[0] for found in (in_state, with_file) if len(found) == 1), UNKNOWN)


def _folders(tree: Tree, path: str) -> list[str]:
    return [name[:-1] for name in tree.names(PurePosixPath(path)) if name.endswith("/")]


def _exists(tree: Tree, path: str) -> bool:
    """Whether a path of a world lies in the tree."""
    parts = PurePosixPath(posixpath.normpath(path)).parts
    if posixpath.isabs(path) or ".." in parts:
        return False
    return all(
        {part, f"{part}/"} & set(tree.names(PurePosixPath(*parts[:index])))
        for index, part in enumerate(parts)
    )


def _genomes(tree: Tree) -> Genomes:
    frontier = _document(tree, FRONTIER_PATH)
    if frontier is None:
        return Genomes()
    pairs = [f"{domain}/{name}" for domain in DOMAINS for name in _folders(tree, f"prompts/{domain}")]
    ids = {pair: _genome_ids(tree, pair) for pair in pairs}
    return Genomes(frontier, ids, lambda pair, genome_id: _genome_digest(tree, pair, genome_id))


def _genome_ids(tree: Tree, pair: str) -> frozenset[str]:
    names = tree.names(PurePosixPath("prompts", pair))
    return frozenset(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def _genome_digest(tree: Tree, pair: str, genome_id: str) -> str:
    """sha256 over what the file says, however it is written."""
    path = f"prompts/{pair}/{genome_id}.yaml"
    return hashlib.sha256(ascii_json(_document(tree, path)).encode()).hexdigest()
