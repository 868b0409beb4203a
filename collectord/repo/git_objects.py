"""Objects of a git repo through read-only plumbing. Nothing that the repo holds is executed.

Only `rev-list`, `rev-parse` and `cat-file` run, which know no hooks, filters, textconv or file system
monitor, and cannot be aliased. What could still start a program by the repo's own configuration is fetching
objects that are missing: no protocol is allowed, and lazy fetching is off. Objects of alternates are read
like the repo's own; replacement objects are not.
"""

from __future__ import annotations

import os
import selectors
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from collectord.errors import CollectordError

MAX_COMMITS = 100_000
# Seconds without a word after which git is given up: a dead network disk under a repo never answers.
LONGEST_SILENCE_S = 120.0
_CHUNK = 2**20
_HARMLESS = (
    "--no-pager",
    "--no-replace-objects",
    "--literal-pathspecs",
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.attributesFile=/dev/null"),
    # Whose repo it is does not matter to someone who executes nothing of it.
    *("-c", "safe.directory=*"),
)
_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "LC_ALL": "C",
}


class GitUnusable(CollectordError):
    """There is no git, or the repo's history cannot be read."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit and its committer's time."""

    id: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class GitObject:
    """An object as `cat-file` names it; `size` in bytes."""

    id: str
    kind: str
    size: int


def environment() -> dict[str, str]:
    """The environment of a git process: nothing of the caller's but where programs are."""
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": os.devnull, **_ENVIRONMENT}


def first_parents(repo: Path) -> list[Commit]:
    """The commits that HEAD's branch went through, the oldest first, at most MAX_COMMITS of the newest."""
    command = ("rev-list", "--first-parent", "--timestamp", f"--max-count={MAX_COMMITS}", "HEAD", "--")
    lines = (line.split() for line in _answer(repo, command).splitlines())
    return [Commit(commit, int(seconds) * 1000) for seconds, commit in lines][::-1]


def is_shallow(repo: Path) -> bool:
    """Whether the history that is here is not the whole one. Raises GitUnusable."""
    return _answer(repo, ("rev-parse", "--is-shallow-repository")).strip() == "true"


def _answer(repo: Path, command: tuple[str, ...]) -> str:
    """What a command of git prints; raises GitUnusable where it fails or says nothing for too long."""
    try:
        done = subprocess.run(
            _argv(repo, command),
            env=environment(),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            check=False,
            timeout=LONGEST_SILENCE_S,
        )
    except OSError as error:
        raise GitUnusable(
            f"git cannot be run ({error.strerror}); install it, or leave the backfill out"
        ) from None
    except subprocess.TimeoutExpired:
        raise _silent(repo) from None
    if done.returncode != 0:
        raise GitUnusable(f"{repo}: its git history cannot be read: {_last_line(done.stderr)}")
    return done.stdout.decode("ascii", "replace")


def _silent(repo: Path) -> GitUnusable:
    return GitUnusable(
        f"{repo}: git gave no answer for {LONGEST_SILENCE_S:g} seconds; check the disk of the repo"
    )


def _argv(repo: Path, command: tuple[str, ...]) -> list[str]:
    return ["git", "-C", str(repo), *_HARMLESS, *command]


def _last_line(data: bytes) -> str:
    lines = data.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "git says nothing"


class GitObjects:
    """Answers questions for objects, one process for sizes and one for contents; close it at the end."""

    def __init__(self, repo: Path) -> None:
        self._check = _Batch(repo, "--batch-check")
        self._contents = _Batch(repo, "--batch")

    def __enter__(self) -> GitObjects:
        return self

    def __exit__(self, *_error: object) -> None:
        self._check.close()
        self._contents.close()

    def find(self, name: str) -> GitObject | None:
        """The object of an id or of `commit:./`; None where it is not there. No name may hold a newline."""
        return self._check.ask(name)

    def read(self, found: GitObject) -> bytes:
        """The bytes of an object."""
        answered = self._contents.ask(found.id)
        if answered is None:
            raise GitUnusable(f"git object {found.id} went away while it was read")
        return self._contents.take(answered.size)


class _Batch:
    def __init__(self, repo: Path, mode: str) -> None:
        self._repo, self._unread = repo, b""
        self._process = subprocess.Popen(
            _argv(repo, ("cat-file", mode)),
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )

    def ask(self, name: str) -> GitObject | None:
        """Write one name, read the line that answers it."""
        try:
            self._pipes()[0].write(name.encode() + b"\n")
            while b"\n" not in self._unread and self._more():
                pass
        except OSError:
            self._unread = b""
        line, _, self._unread = self._unread.partition(b"\n")
        words = line.decode("utf-8", "replace").split()
        if not words:
            raise GitUnusable("git stopped answering; run the command again")
        return (
            GitObject(words[0], words[1], int(words[2])) if len(words) == 3 and words[2].isdigit() else None
        )

    def take(self, size: int) -> bytes:
        """The content that follows the answer, and the newline after it."""
        parts, left = [self._unread], size + 1 - len(self._unread)
        while left > 0:
            self._unread = b""
            if not self._more():
                raise GitUnusable("git stopped in the middle of an object; run the command again")
            parts.append(self._unread)
            left -= len(self._unread)
        data = b"".join(parts)
        self._unread = data[size + 1 :]
        return data[:size]

    def _more(self) -> bool:
        """Wait for more of an answer; False at the end of the process."""
        fd = self._pipes()[1].fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(fd, selectors.EVENT_READ)
            if not selector.select(LONGEST_SILENCE_S):
                raise _silent(self._repo)
        data = os.read(fd, _CHUNK)
        self._unread += data
        return bool(data)

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        return self._process.stdin, self._process.stdout

    def close(self) -> None:
        """End the process; it has nothing to lose."""
        with suppress(OSError):
            self._pipes()[0].close()
        self._process.kill()
        self._process.wait()
        self._pipes()[1].close()


def tree_entries(data: bytes, id_bytes: int) -> Iterator[tuple[str, str, str]]:
    """(mode, name, object id) of each entry of a tree object; names as the file system would give them.

    Raises ValueError for bytes that are no tree.
    """
    start = 0
    while start < len(data):
        space = data.index(b" ", start)
        end = data.index(b"\0", space)
        after = end + 1 + id_bytes
        if after > len(data):
            raise ValueError("the tree ends within an object id")
        yield (
            data[start:space].decode("ascii"),
            os.fsdecode(data[space + 1 : end]),
            data[end + 1 : after].hex(),
        )
        start = after
