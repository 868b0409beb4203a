"""Archives, broken ones too, and an event log that grows between passes give one index in any order."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from collectord.config import Settings, load
from collectord.dataset.exporter import export
from collectord.dataset.row_plan import BUILDER, DISPATCH, ExportOptions
from collectord.index import tables
from collectord.index.opening import reader_for
from collectord.index.statements import dicts
from collectord.intake.ingest import ingest
from tests.conftest import unpack
from tests.support.examples import examples

# The numbers that rows get on their way in, and what tells when something was seen or changed.
SURROGATES = {"id", "archive_id", "revision_id"}
TIMES = {"seen_ms", "first_seen_ms", "changed_ms", "first_ms", "last_ms", "opened_ms", "resolved_ms"}
# Inode numbers and change times of this copy; tries count the looks that were taken.
OF_THIS_COPY = {"signature", "glance", "stamp", "tries"}
# What an index says of itself and of its users, not of the repo.
NOT_OF_THE_REPO = {"index_info", "snapshots", "daemon", "alembic_version"}
NAMES = [f"wc-e{n:03}" for n in (1, 5, 9, 20, 33, 47, 60, 74, 90)]
BROKEN = "wc-broken"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine archives of a golden repo and one that goes to quarantine."""
    repo = unpack("awkward", tmp_path_factory.mktemp("corpus") / "repo")
    broken = repo / ".cyntra/archives" / BROKEN
    broken.mkdir()
    (broken / "manifest.json").symlink_to("../wc-e001/manifest.json")
    return repo


def _end(name: str, minutes: int) -> str:
    data = {"error": "timed out", "duration_ms": 60_000 * minutes}
    return json.dumps({"type": "workcell.failed", "workcell_id": name, "data": data}) + "\n"


LOG = "".join(_end(name, n) for n, name in enumerate([*NAMES, NAMES[0], BROKEN], 1))


def _cut(whole: Sequence[str], cuts: list[int]) -> list[Sequence[str]]:
    return [whole[a:b] for a, b in pairwise([0, *cuts, len(whole)])]


def _settings(repo: Path, batch: int) -> Settings:
    overrides = {"settle.min_age": 0, "ingest.batch": batch}
    return load(repo=repo, config=None, overrides=overrides, environ={"HOME": "/nonexistent"}, cwd=repo)


def _content(of: Settings) -> dict[str, list[str]]:
    """Every table that tells of the repo, without surrogates; rows that refer to an archive name it."""
    with reader_for(of) as reader:
        found, names = {}, {}
        for row in reader.connection.execute("SELECT * FROM archives"):
            names[row["id"]] = row["name"]
        for name in tables.names_of_tables():
            if name in NOT_OF_THE_REPO:
                continue
            rows = []
            for row in dicts(reader.connection, f"SELECT * FROM {name}"):
                if row.get("resolved_ms") is not None:
                    continue  # an alert that is over tells what was thought on the way here
                kept = {k: v for k, v in row.items() if k not in SURROGATES | TIMES | OF_THIS_COPY}
                archive = row.get("archive_id")
                rows.append(repr((names.get(archive), sorted(kept.items()))))
            found[name] = sorted(rows)
        return found


def _hashes(of: Settings) -> list[object]:
    options = [ExportOptions(BUILDER), ExportOptions(DISPATCH), ExportOptions(DISPATCH, 3)]
    return [export(of, one, dry_run=True).meta["dataset_hash"] for one in options]


class _Repo:
    """An empty repo beside the corpus, to which archives and log lines are brought."""

    def __init__(self, corpus: Path, folder: str) -> None:
        self._corpus, self.path = corpus, Path(folder) / "repo"
        shutil.copytree(corpus, self.path, ignore=shutil.ignore_patterns("archives"))
        (self.path / ".cyntra/archives").mkdir()
        (self.path / ".cyntra/logs").mkdir()

    def bring(self, names: list[str]) -> None:
        for name in names:
            source = self._corpus / ".cyntra/archives" / name
            shutil.copytree(source, self.path / ".cyntra/archives" / name, symlinks=True)

    def log(self, text: str) -> None:
        with (self.path / ".cyntra/logs/events.jsonl").open("a") as file:
            file.write(text)


@pytest.fixture(scope="module")
def reference(corpus: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        repo = _Repo(corpus, folder)
        repo.bring([*NAMES, BROKEN])
        repo.log(LOG)
        of = _settings(repo.path, 200)
        ingest(of)
        return {"content": _content(of), "hashes": _hashes(of)}


def test_the_reference_has_rows_of_every_kind(reference: dict[str, Any]) -> None:
    for table in ("archives", "runs", "labels", "quarantine", "workcell_ends", "issue_revisions"):
        assert reference["content"][table], table


@given(
    data=st.data(),
    order=st.permutations([*NAMES, BROKEN]),
    archive_cuts=st.lists(st.integers(0, len(NAMES)), min_size=2, max_size=2).map(sorted),
    log_cuts=st.lists(st.integers(0, len(LOG)), min_size=2, max_size=2).map(sorted),
    batch=st.integers(1, 5),
)
@settings(
    max_examples=examples(8), deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate]
)
def test_every_table_is_the_same_in_any_order(
    corpus: Path,
    reference: dict[str, Any],
    data: st.DataObject,
    order: list[str],
    archive_cuts: list[int],
    log_cuts: list[int],
    batch: int,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        repo = _Repo(corpus, folder)
        of = _settings(repo.path, batch)
        # Cut anywhere: a torn line of the log is read when its rest has come.
        for step, text in zip(_cut(order, archive_cuts), _cut(LOG, log_cuts), strict=True):
            repo.bring(list(step))
            repo.log("".join(text))
            if data.draw(st.booleans()):
                for name in step:
                    ingest(of, names=frozenset({name}))
            ingest(of)
        assert _content(of) == reference["content"]
        assert _hashes(of) == reference["hashes"]
