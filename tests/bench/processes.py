"""Whole processes, measured by what the system accounts for them and the children that they waited for."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.figures import Sample

ROOT = Path(__file__).resolve().parents[2]
# Kilobytes on Linux, bytes on macOS.
_RSS_UNIT = 2**20 if sys.platform == "darwin" else 2**10


class CommandFailed(Exception):
    """A measured process ended with an error; says which, and its last words."""


@dataclass(frozen=True, slots=True)
class Command:
    """What is run: its words, what its environment adds, and where."""

    words: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path = ROOT

    def run(self) -> Sample:
        """Run it to its end and measure it. Raises CommandFailed."""
        # Without bytecode every process would compile the project and its libraries anew.
        dropped = ("COLLECTORD_", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
        with tempfile.TemporaryFile() as said:
            begun = time.perf_counter()
            process = subprocess.Popen(
                self.words,
                cwd=self.folder,
                env={**kept, "HOME": "/nonexistent", **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
            )
            _, status, used = os.wait4(process.pid, 0)
            wall_s = time.perf_counter() - begun
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                said.seek(0)
                words = said.read()[-2000:].decode(errors="replace")
                raise CommandFailed(f"{' '.join(self.words)}: exit {process.returncode}\n{words}")
        return Sample(used.ru_utime + used.ru_stime, wall_s, used.ru_maxrss / _RSS_UNIT)


def peer(name: str, *arguments: str) -> Command:
    """One of `tests.bench.peers`, in a process of its own."""
    words = (sys.executable, "-m", "tests.bench.peers", name, *arguments)
    return Command(words, {"PYTHONPATH": str(ROOT)})


def python(*arguments: str) -> Command:
    """This interpreter."""
    return Command((sys.executable, *arguments))


def tree_at(commit: str, scratch: Path) -> Path:
    """The files of a commit of this repository, below `scratch`; made once."""
    done = _git("rev-parse", "--short=10", commit)
    place = scratch / f"tree-{done.strip()}"
    if not place.exists():
        unfinished = Path(tempfile.mkdtemp(prefix=".tree-", dir=scratch))
        archive = subprocess.Popen(("git", "archive", commit), cwd=ROOT, stdout=subprocess.PIPE)
        subprocess.run(("tar", "-x"), cwd=unfinished, stdin=archive.stdout, check=True)
        if archive.wait():
            raise CommandFailed(f"git archive {commit}: exit {archive.returncode}")
        unfinished.rename(place)
    return place


def _git(*arguments: str) -> str:
    done = subprocess.run(("git", *arguments), cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandFailed(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def in_turns(
    repeat: int, prepared: Sequence[tuple[Callable[[], object], Callable[[], Sample]]]
) -> list[list[Sample]]:
    """Samples of each (prepare, run), so many of each, one after the other in every round.

    All of them meet the same moods of the machine; what prepares is not measured.
    """
    found: list[list[Sample]] = [[] for _ in prepared]
    for _ in range(repeat):
        for samples, (prepare, run) in zip(found, prepared, strict=True):
            prepare()
            samples.append(run())
    return found
