"""What every test may ask for: golden repos with their mtimes, settings, a home that is not the real one."""

from __future__ import annotations

import os
import signal
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from collectord.config import Settings, load

# A parent may ignore it (`nohup`, a background): what tests start must be stopped by it all the same.
signal.signal(signal.SIGINT, signal.default_int_handler)

GOLDEN = Path(__file__).resolve().parent / "golden"


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test can touch the real home, and none is touched by the caller's settings."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    for name in [name for name in os.environ if name.startswith("COLLECTORD_")]:
        monkeypatch.delenv(name)
    return home


def unpack(name: str, repo: Path) -> Path:
    """A golden repo in a folder, with the mtimes that are part of it."""
    repo.mkdir(parents=True, exist_ok=True)
    with tarfile.open(GOLDEN / f"{name}.tar.gz") as tar:
        tar.extractall(repo, filter="tar")
    return repo


@pytest.fixture
def golden_repo(tmp_path: Path) -> Callable[[str], Path]:
    """Unpacks a golden repo by name."""
    return lambda name: unpack(name, tmp_path / f"golden-{name}")


@pytest.fixture
def settings_for() -> Callable[..., Settings]:
    """The settings of a repo; no waiting for young files unless a test asks for it."""

    def make(repo: Path, overrides: Mapping[str, object] | None = None) -> Settings:
        given = {"settle.min_age": 0, **(overrides or {})}
        return load(repo=repo, config=None, overrides=given, environ={"HOME": "/nonexistent"}, cwd=repo)

    return make
