"""Steps in fresh processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.figures import Sample

ROOT = Path(__file__).resolve().parents[2]
Found = dict[str, Any]


class StepFailed(Exception):
    """A measured process ended with an error; says which, and its last words."""


def run_task(name: str, *rest: str) -> Found:
    """One task of `tests.bench.tasks`."""
    done = _run([sys.executable, "-m", "tests.bench.tasks", name, *rest], {})
    found: Found = json.loads(done.stdout)
    return found


def time_command(arguments: Sequence[str], environment: Mapping[str, str]) -> Sample:
    """The wall time of a whole process, from before its start to after its end."""
    begun = time.perf_counter()
    _run(arguments, environment)
    return Sample(time.perf_counter() - begun)


def _run(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    ours = {"PYTHONPATH": str(ROOT), "HOME": "/nonexistent"}
    # Without bytecode every process would compile the project and its libraries anew.
    dropped = ("COLLECTORD_", "PYTHONDONTWRITEBYTECODE")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    done = subprocess.run(
        command, cwd=ROOT, env={**kept, **ours, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise StepFailed(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr[-2000:]}")
    return done


def sample(found: Found) -> Sample:
    """What a task measured of itself."""
    return Sample(found["seconds"], found["peak_mib"], found.get("imports", 0.0), found["cpu"])


def alternate(
    repeat: int, ours: Callable[[], Found], floor: Callable[[], Found]
) -> tuple[list[Found], list[Found]]:
    """Ours and the floor in turns, so that both meet the same moods of the machine.

    The first floor is not counted: a first write of so many bytes is several times slower than the next.
    """
    floor()
    pairs = [(floor(), ours()) for _ in range(repeat)]
    return [own for _, own in pairs], [low for low, _ in pairs]
