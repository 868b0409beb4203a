"""The same archives give the same index and the same datasets, in whatever order and batches they come."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collectord.config import Settings, load
from collectord.dataset.exporter import export
from collectord.dataset.row_plan import BUILDER, DISPATCH, ExportOptions
from collectord.index.opening import reader_for
from collectord.index.statements import dicts
from collectord.intake.ingest import ingest
from tests.conftest import unpack
from tests.support.examples import examples

NAMES = [f"wc-e{n:03}" for n in (1, 2, 3, 6, 11, 12, 41, 52, 58, 66, 69, 73, 74, 75, 77, 79)]
# What depends on when something was seen, and the numbers that rows get on their way in.
NOT_CONTENT = {
    *("id", "archive_id", "revision_id", "seen_ms", "first_seen_ms", "changed_ms"),
    *("signature", "glance"),
}
TABLES = ("archives", "revisions", "revision_files", "artifacts", "runs", "labels")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repo = unpack("universe", tmp_path_factory.mktemp("corpus") / "repo")
    for archive in (repo / ".cyntra/archives").iterdir():
        if archive.name not in NAMES:
            shutil.rmtree(archive) if archive.is_dir() else archive.unlink()
    return repo


def _settings(repo: Path, batch: int) -> Settings:
    overrides = {"settle.min_age": 0, "ingest.batch": batch}
    return load(repo=repo, config=None, overrides=overrides, environ={"HOME": "/nonexistent"}, cwd=repo)


def _content(of: Settings) -> dict[str, list[str]]:
    with reader_for(of) as reader:
        found = {}
        for name in TABLES:
            rows = dicts(reader.connection, f"SELECT * FROM {name}")
            kept = [{k: v for k, v in row.items() if k not in NOT_CONTENT} for row in rows]
            found[name] = sorted(repr(sorted(row.items())) for row in kept)
        return found


def _hashes(of: Settings) -> list[object]:
    options = [ExportOptions(BUILDER), ExportOptions(DISPATCH), ExportOptions(DISPATCH, 3)]
    return [export(of, one, dry_run=True).meta["dataset_hash"] for one in options]


@contextmanager
def _empty_repo(corpus: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        repo = Path(folder) / "repo"
        shutil.copytree(corpus, repo, ignore=shutil.ignore_patterns("archives", "state"))
        (repo / ".cyntra/archives").mkdir()
        yield repo


def _bring(corpus: Path, repo: Path, names: list[str]) -> None:
    for name in names:
        shutil.copytree(corpus / ".cyntra/archives" / name, repo / ".cyntra/archives" / name)


@pytest.fixture(scope="module")
def reference(corpus: Path) -> dict[str, Any]:
    with _empty_repo(corpus) as repo:
        _bring(corpus, repo, NAMES)
        at_once = _settings(repo, 200)
        ingest(at_once)
        return {"content": _content(at_once), "hashes": _hashes(at_once)}


@given(data=st.data(), order=st.permutations(NAMES), batch=st.integers(1, 20))
@settings(max_examples=examples(12), deadline=None, suppress_health_check=list(HealthCheck))
def test_any_order_and_interleaving_gives_the_same(
    corpus: Path, reference: dict[str, Any], data: st.DataObject, order: list[str], batch: int
) -> None:
    with _empty_repo(corpus) as repo:
        of = _settings(repo, batch)
        left = list(order)
        while left:
            size = data.draw(st.integers(1, len(left)))
            step, left = left[:size], left[size:]
            _bring(corpus, repo, step)
            one_by_one = data.draw(st.booleans())
            for names in [frozenset({name}) for name in step] if one_by_one else [None]:
                ingest(of, names=names)
            if data.draw(st.booleans()):
                ingest(of)
        ingest(of)
        assert _content(of) == reference["content"]
        assert _hashes(of) == reference["hashes"]
