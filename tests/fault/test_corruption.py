"""A damaged index is noticed or the damage is harmless; recovery loses nothing without naming it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from collectord.config import Settings, load
from collectord.errors import IndexTooNew, IndexTooOld
from collectord.index.opening import now_ms
from collectord.index.reader import IndexReader
from collectord.index.repo_records import issue_history, timeouts
from collectord.index.writer import IndexWriter
from collectord.intake.ingest import ingest, ingest_options, ingest_repo
from collectord.model import IndexedRun
from collectord.repair.backups import backup
from collectord.repair.check import check
from collectord.repair.recover import recover
from tests.support.archives import Maker
from tests.support.damage import harm

CASES, GROUPS = 200, 10


@dataclass(frozen=True)
class Scene:
    """A repo and the state folder of a collectord that was killed: its log is not in the index yet.

    Of the archives `only_indexed` are neither on disk nor in the backup.
    """

    repo: Path
    state: Path
    only_indexed: frozenset[str]
    picture: dict[str, Any]


def settings_of(repo: Path, state: Path) -> Settings:
    overrides = {"settle.min_age": 0, "ingest.batch": 2, "paths.state": str(state)}
    return load(repo=repo, config=None, overrides=overrides, environ={"HOME": "/nonexistent"}, cwd=repo)


def picture_of(settings: Settings) -> dict[str, Any]:
    """Everything that a dataset is made of, by the name of what it is about."""
    found: dict[str, Any] = {}
    with IndexReader(settings.index_path) as reader:
        for builder in (False, True):
            for run in reader.runs(builder=builder):
                found[f"{run.name}: {builder}"] = run
        for issue, revisions in issue_history(reader.connection).items():
            found[f"issue {issue}: "] = revisions
        found["events: "] = timeouts(reader.connection)
    return found


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("corruption")
    repo, state = folder / "repo", folder / "state"
    maker = Maker(repo, seed=3)
    settings = settings_of(repo, state)
    early = maker.add(4)
    ingest(settings)
    backup(settings, None)
    late = maker.add(4)
    os.utime(maker.archives / late[3])  # arrives after the first ingest: only the index knows when
    ingest(settings)
    for name in (early[0], early[1], late[0]):
        shutil.rmtree(maker.archives / name)
    killed = folder / "killed"
    writer = IndexWriter(settings.index_path)
    maker.add(2)
    options = ingest_options(settings)
    ingest_repo(writer, repo, maker.archives, options, clock_ms=now_ms)
    shutil.copytree(state, killed)
    writer.close()
    (killed / "index.sqlite3-shm").unlink()
    assert (killed / "index.sqlite3-wal").stat().st_size > 10_000
    return Scene(repo, killed, frozenset({late[0]}), picture_of(settings))


def undated(picture: dict[str, Any]) -> dict[str, Any]:
    """The picture without times of arrival.

    A log that was cut short is as if its last transactions had never been: nothing in it can tell, and
    the next pass reads from disk what they held, some time later than it was read first.
    """
    found: dict[str, Any] = {}
    for key, value in picture.items():
        if isinstance(value, IndexedRun):
            found[key] = replace(value, complete_ms=0)
        else:
            found[key] = [state.record for state in value] if isinstance(value, list) else value
    return found


def is_noticed(settings: Settings) -> tuple[bool, bool]:
    """Whether the check found something, and whether it takes a person to say that it is damage."""
    try:
        return bool(check(settings).findings), False
    except (IndexTooNew, IndexTooOld):
        return True, True


def run_case(scene: Scene, folder: Path, seed: int) -> str:
    """One damage: what became of it, in a word."""
    state = Path(shutil.copytree(scene.state, folder / str(seed)))
    settings = settings_of(scene.repo, state)
    done = harm(settings.index_path, seed)
    noticed, force = is_noticed(settings)
    if not noticed:
        ingest(settings)
        seen = undated if done.how == "end" and done.file.endswith("-wal") else dict
        assert seen(picture_of(settings)) == seen(scene.picture), f"{seed}: {done}: not noticed"
        return "harmless"
    found = recover(settings, force=force)
    assert found.aside, f"{seed}: {done}: the damaged file was not kept"
    after = picture_of(settings)
    missing = {
        key for key in scene.picture.keys() - after.keys() if key.partition(":")[0] not in scene.only_indexed
    }
    assert not missing, f"{seed}: {done}: not taken from where it was: {missing}"
    told = "\n".join([*found.lost, *found.doubtful, *found.read_again])
    differing = {
        key.rpartition(": ")[0] for key in scene.picture | after if scene.picture.get(key) != after.get(key)
    }
    unnamed = {name for name in differing if name not in told}
    assert not unnamed or found.unknown, f"{seed}: {done}: changed without a word: {unnamed}"
    # States of issues since the backup are nowhere but in the index: named is all that they can be.
    lost = {line.partition(":")[0] for line in found.lost if not line.startswith("issue ")}
    assert lost <= scene.only_indexed, f"{seed}: {done}: lost although it was elsewhere: {lost}"
    return "recovered" if not found.lost else "named"


@pytest.mark.slow
@pytest.mark.parametrize("group", range(GROUPS))
def test_a_random_corruption_is_noticed_or_harmless_and_nothing_is_lost_silently(
    scene: Scene, tmp_path: Path, group: int
) -> None:
    became = [run_case(scene, tmp_path, seed) for seed in range(group, CASES, GROUPS)]
    assert "recovered" in became
