"""The processes of the kernel of a repo, as the system shows them (CONTRACT.md section 5).

A kernel is told by its command line and its working directory; nothing else of a process is read, and of
the command line only what changes labels leaves this module.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from collectord.kernel.command_line import CONFIG_PATH, KernelCommand, kernel_command
from collectord.model import KernelSession, Launch

# A process that was none of ours is looked at again while it is young (a shell may still become a kernel
# by `exec`), and then at every eighth look, as its number may have been given to another.
YOUNG_S = 60.0
TURNS = 8


@dataclass(frozen=True, slots=True)
class HiddenKernel:
    """A process that runs `cyntra run`, whose working directory may not be read: maybe of this repo."""

    pid: int
    user: str | None


@dataclass(frozen=True, slots=True)
class KernelLook:
    """What one look saw: the kernels of this repo, the oldest first, and those that may be of it."""

    at_ms: int
    kernels: tuple[KernelSession, ...] = ()
    hidden: tuple[HiddenKernel, ...] = ()


class KernelFinder:
    """Looks again and again, on one thread; it remembers which processes were none."""

    def __init__(self, repo: Path) -> None:
        self._repo = repo.resolve()
        self._others: dict[int, float] = {}
        self._turn = 0

    def look(self, now_ms: int) -> KernelLook:
        """The kernels that run now; `now_ms` is the wall clock."""
        booted_ms = _booted_ms(now_ms)
        pids = psutil.pids()
        self._turn = (self._turn + 1) % TURNS
        self._others = {pid: seen for pid in pids if (seen := self._others.get(pid)) is not None}
        found = list(self._kernels([pid for pid in pids if self._is_due(pid)]))
        mine = [kernel for kernel in _without_children(found) if kernel.is_in(self._repo)]
        sessions = (
            kernel.session(self._repo, now_ms, booted_ms) for kernel in mine if kernel.folder is not None
        )
        hidden = (HiddenKernel(k.process.pid, _user(k.process)) for k in mine if k.folder is None)
        return KernelLook(now_ms, tuple(sorted(sessions, key=lambda s: (s.started_ms, s.pid))), tuple(hidden))

    def _is_due(self, pid: int) -> bool:
        first_seen = self._others.get(pid)
        is_young = first_seen is None or time.monotonic() - first_seen < YOUNG_S
        return is_young or pid % TURNS == self._turn

    def _kernels(self, pids: Iterable[int]) -> Iterator[_Kernel]:
        for pid in pids:
            kernel = _kernel(pid)
            if kernel is None:
                self._others.setdefault(pid, time.monotonic())
            else:
                self._others.pop(pid, None)
                yield kernel


@dataclass(frozen=True, slots=True)
class _Kernel:
    """A process that is one; `folder` is its working directory, None where it may not be read."""

    process: psutil.Process
    parent: int
    command: KernelCommand
    folder: Path | None

    def is_in(self, repo: Path) -> bool:
        """Whether it works in the repo: in it, and in no other below it, such as the worktree of a run."""
        if self.folder is None:
            return True
        inside = [folder for folder in (self.folder, *self.folder.parents) if folder.is_relative_to(repo)]
        nearest = next((folder for folder in inside if (folder / ".cyntra").exists()), None)
        return bool(inside) and nearest in (None, repo)

    def session(self, repo: Path, now_ms: int, booted_ms: float) -> KernelSession:
        launch = Launch(self._config(repo), self.command.universe, self.command.speculate)
        started_ms, limit = _started_ms(self.process, booted_ms), self.command.max_concurrent
        return KernelSession(self.process.pid, started_ms, launch, limit, now_ms, now_ms)

    def _config(self, repo: Path) -> str | None:
        """The configuration file that it was given, below the repo where it lies in it."""
        if self.command.config is None:
            return None
        # By its name: `.cyntra` may be a link, and what lies behind it is of the repo.
        path = Path(os.path.normpath((self.folder or repo) / self.command.config))
        is_inside = path.is_relative_to(repo)
        known = path.relative_to(repo).as_posix() if is_inside else path.as_posix()
        return None if known == CONFIG_PATH else known


def _kernel(pid: int) -> _Kernel | None:
    """None for a process that is no kernel, or is gone by now."""
    try:
        process = psutil.Process(pid)
        command = kernel_command(process.cmdline())
        return None if command is None else _Kernel(process, process.ppid(), command, _folder(process))
    except (psutil.Error, OSError, ValueError):
        return None


def _folder(process: psutil.Process) -> Path | None:
    try:
        return Path(process.cwd())
    except psutil.AccessDenied:
        return None


def _without_children(found: list[_Kernel]) -> list[_Kernel]:
    """Without what a kernel forked: a child that did not start another program has the same command line."""
    pids = {kernel.process.pid for kernel in found}
    return [kernel for kernel in found if kernel.parent not in pids]


def _booted_ms(now_ms: int) -> float:
    """When the system started, by the clock of now: Linux itself tells it in whole seconds only."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return now_ms - time.clock_gettime(time.CLOCK_BOOTTIME) * 1000
    return psutil.boot_time() * 1000


def _started_ms(process: psutil.Process, booted_ms: float) -> int:
    """When a process started: the middle of the hundredth of a second that the system tells."""
    since_boot_s = process.create_time() - psutil.boot_time()
    return int(booted_ms + since_boot_s * 1000) + 500 // os.sysconf("SC_CLK_TCK")


def _user(process: psutil.Process) -> str | None:
    try:
        return process.username()
    except (psutil.Error, OSError, KeyError):
        return None
