"""The command line as its users meet it: a real process on a repo, with a home of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


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
        return [sys.executable, "-m", "collectord", *named, *args]

    def environ(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """An environment of its own, so that the caller's settings stay outside."""
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), **(more or {})}

    def __call__(
        self, *args: str, cwd: Path | None = None, repo: bool = True, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(*args, repo=repo),
            capture_output=True,
            text=True,
            env=self.environ(env),
            cwd=cwd or self.home,
            timeout=120,
            check=False,
        )

    def ok(self, *args: str) -> str:
        """What a command that must succeed prints."""
        done = self(*args)
        assert done.returncode == 0, done.stderr
        return done.stdout
