"""An export that is killed at its n-th step, for every n.

`python -m tests.support.killing REPO SCENE TEMPLATE`; the template is a folder that it makes. A step is a
file that is opened for writing, or made, renamed, linked, removed, given rights or brought to the disk. Each
try is a process of its own, forked off so that nothing is imported again, and ends by SIGKILL before the step
is done. Prints one JSON line a try with what a reader then finds.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from collectord.config import Settings
from collectord.dataset.exporter import export
from collectord.dataset.row_plan import ExportOptions
from collectord.dataset.verify import verify
from collectord.system.durable import remove_leftovers
from tests.support.snapshots import settings_of

LINK = "planner_dataset_v1"
THEIRS = "theirs"
OLD, NEW = ExportOptions(n_similar=2), ExportOptions(n_similar=3)
_STEPS = frozenset(
    {
        *("os.mkdir", "os.rename", "os.symlink", "os.chmod", "os.remove", "os.rmdir", "shutil.rmtree"),
        *("os.link", "ctypes.dlsym", "sqlite3.connect", "test.fsync", "test.progress"),
    }
)


def kill_before_step(number: int) -> None:
    """Let this process be killed before its `number`th step."""
    left = number
    fsync = os.fsync

    def told_fsync(fd: int) -> None:
        sys.audit("test.fsync", fd)
        fsync(fd)

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal left
        writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
        if event in _STEPS or writes:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    os.fsync = told_fsync  # type: ignore[assignment]
    sys.addaudithook(hook)


def attempt(work: Callable[[], object], number: int) -> bool:
    """Work in a child that is killed before a step; whether it was, and did not end by itself."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            kill_before_step(number)
            work()
            code = 0
        finally:
            os._exit(code)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0, "it failed by itself"
    return False


def export_anew(settings: Settings) -> None:
    """Export what is not there yet."""
    export(settings, NEW, progress=lambda _done, _total: sys.audit("test.progress"))


def observe(benches: Path) -> dict[str, Any]:
    """What a reader finds: whole and broken snapshots, where the link leads, and what was left behind."""
    link = benches / LINK
    names = sorted(p.name for p in benches.iterdir()) if benches.is_dir() else []
    shown = [n for n in names if not n.startswith(".") and n != LINK]
    left = [n for n in names if n.startswith(".")]
    if benches.is_dir():
        remove_leftovers(benches)
    return {
        "broken": [
            n for n in shown if _is_ours(benches / n) and verify(None, benches / n, fast=True).findings
        ],
        "snapshots": [n for n in shown if _is_ours(benches / n)],
        "theirs": [n for n in [*shown, LINK] if (benches / n / THEIRS).exists()],
        "link": str(link.readlink()) if link.is_symlink() else None,
        "dangling": link.is_symlink() and not link.exists(),
        "left": left,
        "left_after": [p.name for p in benches.iterdir() if p.name.startswith(".")] if left else [],
    }


def _is_ours(folder: Path) -> bool:
    return folder.is_dir() and not (folder / THEIRS).exists()


def prepare(settings: Settings, scene: str, template: Path) -> None:
    """The state before: `old`, a snapshot with its link; `foreign`, a directory of something else."""
    benches = settings.benches_dir
    shutil.rmtree(benches, ignore_errors=True)
    if scene == "old":
        shutil.copytree(template, benches, symlinks=True)
    else:
        (benches / LINK).mkdir(parents=True)
        (benches / LINK / THEIRS).write_text("theirs")


def main() -> None:
    """Try every step of one scene."""
    settings, scene, template = settings_of(Path(sys.argv[1])), sys.argv[2], Path(sys.argv[3])
    export(settings, OLD)  # imports all that there is to import
    shutil.copytree(settings.benches_dir, template, symlinks=True)
    number, killed = 0, True
    while killed:
        number += 1
        prepare(settings, scene, template)
        killed = attempt(lambda: export_anew(settings), number)
        found = observe(settings.benches_dir)
        export(settings, NEW)
        after = observe(settings.benches_dir)
        print(json.dumps({"step": number, "killed": killed, "found": found, "after": after}), flush=True)


if __name__ == "__main__":
    main()
