"""Small fleets: repos with an index each, pushed to one storage."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from collectord.config import Settings, load
from collectord.fleet.push import Pushed, push
from collectord.intake.ingest import ingest
from tests.conftest import unpack
from tests.support.archives import Maker

ALL = slice(None)


def settings_in(
    repo: Path, url: str | Path, source: str, more: Mapping[str, object] | None = None
) -> Settings:
    """The settings of a repo that pushes somewhere."""
    given = {"settle.min_age": 0, "fleet.url": str(url), "fleet.source": source, **(more or {})}
    return load(repo=repo, config=None, overrides=given, environ={"HOME": "/nonexistent"}, cwd=repo)


def made_source(
    repo: Path,
    url: str | Path,
    source: str,
    corpus: str = "kernel-run",
    part: slice = ALL,
    model: str | None = None,
) -> Settings:
    """An indexed repo with some of the archives of a golden one, by name.

    With `model` its kernel was configured with another model of claude, and so ran under another environment.
    """
    unpack(corpus, repo)
    archives = repo / ".cyntra/archives"
    names = sorted(path.name for path in archives.iterdir())
    for name in set(names) - set(names[part]):
        shutil.rmtree(archives / name)
    if model is not None:
        for path in (repo / ".cyntra/config.yaml", *archives.glob("*/*.json")):
            path.write_text(path.read_text().replace("claude-opus-4-5-20251101", model))
    settings = settings_in(repo, url, source)
    ingest(settings)
    return settings


def pushed_source(
    repo: Path,
    url: str | Path,
    source: str,
    corpus: str = "kernel-run",
    part: slice = ALL,
    model: str | None = None,
) -> Pushed:
    """The same, pushed."""
    return push(made_source(repo, url, source, corpus, part, model))


def one_more_run(settings: Settings) -> None:
    """Let a run land in the repo and read it."""
    number = len(list(settings.archives_dir.iterdir()))
    Maker(settings.repo, seed=number).add(1)
    ingest(settings)
