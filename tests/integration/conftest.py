"""Repos for the command line, ingested once for each worker and copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from collectord.intake.ingest import ingest
from tests.conftest import unpack
from tests.support.cli import Cli
from tests.support.snapshots import settings_of


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """collectord on the `universe` corpus, not ingested yet."""
    home = tmp_path / "home"
    home.mkdir()
    return Cli(unpack("universe", tmp_path / "repo"), home)


@pytest.fixture
def bare(tmp_path: Path) -> Cli:
    """collectord on a repo without a single archive."""
    (tmp_path / "repo/.cyntra/archives").mkdir(parents=True)
    return Cli(tmp_path / "repo", tmp_path)


@pytest.fixture(scope="session")
def ingested_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `universe` corpus with its index; only to be copied."""
    folder = tmp_path_factory.mktemp("ingested")
    repo = unpack("universe", folder / "repo")
    Cli(repo, folder).ok("ingest")
    return repo


@pytest.fixture
def ingested(ingested_once: Path, tmp_path: Path) -> Cli:
    """collectord on the `universe` corpus, ingested."""
    home = tmp_path / "home"
    home.mkdir()
    return Cli(Path(shutil.copytree(ingested_once, tmp_path / "repo", symlinks=True)), home)


@pytest.fixture
def kept(ingested: Cli) -> Cli:
    """The `universe` corpus, indexed in the place where it is: a copy looks changed."""
    ingest(settings_of(ingested.repo))
    return ingested
