"""Starts collectord quickly and often: a warm interpreter that forks a process for each command.

Each command is a process of its own, with its own environment, descriptors and exit, running what the
installed `collectord` runs; only the imports were done before. Tests that are about the start itself use
real starts.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import pkgutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Started:
    """One process; its output goes to `log`."""

    nursery: Nursery
    pid: int
    log: Path

    def signal(self, number: int) -> None:
        """Send it a signal; it cannot hit another process, as nobody else waits for it."""
        os.kill(self.pid, number)

    def wait(self, seconds: float = 60.0) -> int | None:
        """Its exit code, negative for a signal; None while it runs on."""
        code = self.nursery.ask({"wait": self.pid, "seconds": seconds})
        assert code is None or isinstance(code, int)
        return code

    def end(self) -> None:
        """Make sure that it is gone."""
        if self.wait(0) is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()


class Nursery:
    """The warm interpreter; everything that it started and that still runs ends with it."""

    def __init__(self, env: Mapping[str, str] | None = None) -> None:
        kept = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **(env or {})}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.warm"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=kept,
            cwd=ROOT,
        )

    def start(
        self,
        arguments: Sequence[str],
        env: Mapping[str, str],
        log: Path,
        main: str = "collectord.cli.main",
        *,
        errors: Path | None = None,
        cwd: Path = Path("/"),
    ) -> Started:
        """Start `collectord ARGUMENTS`, or another module's `main`; its output is appended to `log`.

        What it says on stderr goes to `errors` where that is given.
        """
        question = {"start": list(arguments), "env": dict(env), "main": main, "cwd": str(cwd)}
        pid = self.ask({**question, "log": str(log), "errors": str(errors or log)})
        return Started(self, int(pid), log)

    def ask(self, question: dict[str, Any]) -> Any:
        """One question to the interpreter and its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def __enter__(self) -> Nursery:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()


def _serve() -> None:
    import collectord

    for module in pkgutil.walk_packages(collectord.__path__, "collectord."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    # Nothing made so far is collected in a child, which would copy the pages that it shares with this one.
    gc.collect()
    gc.freeze()
    children: dict[int, int | None] = {}
    # Not the iterator of the file: it would read on and leave a forked child with part of the next line.
    while line := sys.stdin.readline():
        question = json.loads(line)
        answer = _start(question) if "start" in question else _wait(question, children)
        if "start" in question:
            children[answer] = None  # type: ignore[index]
        print(json.dumps(answer), flush=True)
    for pid in [pid for pid, code in children.items() if code is None]:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _start(question: dict[str, Any]) -> int:
    pid = os.fork()
    if not pid:
        _become(question)
    return pid


def _become(question: dict[str, Any]) -> NoReturn:
    nothing = os.open(os.devnull, os.O_RDONLY)
    log, errors = (
        os.open(question[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) for name in ("log", "errors")
    )
    for source, target in ((nothing, 0), (log, 1), (errors, 2)):
        os.dup2(source, target)
    os.closerange(3, 256)
    os.environ.clear()
    os.environ.update(question["env"])
    if "SHIM_DIR" in os.environ:
        import ctypes

        ctypes.CDLL(None).shim_arm()
    os.chdir(question["cwd"])
    sys.argv = ["collectord", *question["start"]]
    _end_as_a_process_does(_code_of(import_module(question["main"]).main))


def _code_of(main: Callable[[], object]) -> int:
    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    return 0


def _end_as_a_process_does(code: int) -> NoReturn:
    """All that ends a Python process but the taking apart of its modules, which is most of the time."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _wait(question: dict[str, Any], children: dict[int, int | None]) -> int | None:
    pid, deadline = question["wait"], time.monotonic() + question["seconds"]
    while children[pid] is None:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            children[pid] = os.waitstatus_to_exitcode(status)
        elif time.monotonic() >= deadline:
            break
        else:
            time.sleep(0.002)
    return children[pid]


if __name__ == "__main__":
    _serve()
