"""The command line as its users meet it: a real process on a repo, with a home of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from tests.support.warm import Nursery

TIMEOUT_S = 120
_INTERPRETER = [sys.executable, "-m", "collectord"]


@cache
def _nursery() -> Nursery:
    return Nursery()


def _run_warm(argv: list[str], environ: Mapping[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as scratch:
        out, errors = (Path(scratch, name) for name in ("out", "errors"))
        arguments = argv[len(_INTERPRETER) :]
        started = _nursery().start(arguments, environ, out, errors=errors, cwd=folder)
        code = started.wait(TIMEOUT_S)
        if code is None:
            started.end()
            raise subprocess.TimeoutExpired(argv, TIMEOUT_S)
        return subprocess.CompletedProcess(argv, code, out.read_text(), errors.read_text())


class Cli:
    """Runs collectord on one repo."""

    def __init__(self, repo: Path, home: Path) -> None:
        self.repo, self.home = repo, home

    @property
    def index(self) -> Path:
        """The index file in its default place."""
        return self.repo / ".cyntra/state/collectord/index.sqlite3"

    @property
    def archives(self) -> Path:
        """The archives folder in its default place."""
        return self.repo / ".cyntra/archives"

    def argv(self, *args: str, repo: bool = True) -> list[str]:
        """The command as a list."""
        named = ["--repo", str(self.repo)] if repo else []
        return [*_INTERPRETER, *named, *args]

    def environ(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """An environment of its own, so that the caller's settings stay outside."""
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), **(more or {})}

    def __call__(
        self, *args: str, cwd: Path | None = None, repo: bool = True, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """What `subprocess.run` gives; with `env`, of an interpreter of its own."""
        argv, environ, folder = self.argv(*args, repo=repo), self.environ(env), cwd or self.home
        if env is None:
            return _run_warm(argv, environ, folder)
        return subprocess.run(
            argv, capture_output=True, text=True, env=environ, cwd=folder, timeout=TIMEOUT_S, check=False
        )

    def ok(self, *args: str) -> str:
        """What a command that must succeed prints."""
        done = self(*args)
        assert done.returncode == 0, done.stderr
        return done.stdout
