"""Backups made while a daemon indexes five archives a second: each is consistent, and becomes an index."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from collectord.config import Settings, load
from collectord.dataset.exporter import export
from collectord.dataset.row_plan import ExportOptions
from collectord.repair.backups import backup
from collectord.repair.recover import recover
from tests.support.cli import Cli
from tests.support.daemon import wait_until
from tests.support.index_state import Digests, revisions, standing, troubles
from tests.support.running import Running
from tests.support.storm import configure
from tests.support.warm import ROOT, Nursery

RUNS, A_SECOND, FEWEST = 40, 5, 4
# Nothing pruned, so that at the end every archive that a backup names can be looked up.
HABITS = ["--prune", "0", "--orphan", "0", "--prune-logs", "0"]


def settings_of(repo: Path, state: Path) -> Settings:
    overrides = {"settle.min_age": 0, "paths.state": str(state)}
    return load(repo=repo, config=None, overrides=overrides, environ={"HOME": "/nonexistent"}, cwd=repo)


def dataset_hash(settings: Settings) -> str:
    return str(export(settings, ExportOptions(), dry_run=True).meta["dataset_hash"])


def place(copy: Path, repo: Path, state: Path) -> Settings:
    """The settings under which a backup is the index."""
    settings = settings_of(repo, state)
    state.mkdir(parents=True)
    shutil.copyfile(copy, settings.index_path)
    return settings


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """collectord beside a kernel that is yet to start."""
    cli = Cli(tmp_path / "repo", tmp_path)
    cli.archives.mkdir(parents=True)
    configure(cli.repo)
    return cli


def back_up_while_runs_land(cli: Cli, nursery: Nursery, folder: Path) -> list[Path]:
    """Backups that were made while the kernel still ran, each after more archives were indexed."""
    settings = settings_of(cli.repo, cli.index.parent)
    command = [sys.executable, "-m", "tests.support.fake_kernel", "--repo", str(cli.repo), *HABITS]
    command += ["--count", str(RUNS), "--per-second", str(A_SECOND)]
    made: list[Path] = []
    with Running(cli.repo, nursery, folder / "log") as daemon:
        daemon.wait_for("watch.started")
        with subprocess.Popen(command, cwd=ROOT) as kernel:

            def more_or_over(seen: int) -> bool:
                return kernel.poll() is not None or len(daemon.events("archive.indexed")) > seen

            while kernel.poll() is None:
                seen = len(daemon.events("archive.indexed"))
                copy = backup(settings, folder / f"backup-{len(made)}").path
                made += [copy] if kernel.poll() is None else []
                wait_until(partial(more_or_over, seen + 2), daemon.said)
            assert kernel.returncode == 0
        daemon.until(lambda: len(standing(cli.index)) == RUNS, f"{RUNS} archives")
        daemon.stop()
    return made


def named(index: Path) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    """Every revision by its archive and the digests of its files."""
    return {(name, _frozen(files)) for name, found in revisions(index).items() for _, files in found}


def _frozen(files: Digests) -> frozenset[tuple[str, str]]:
    return frozenset(files.items())


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_backup_is_consistent_while_five_archives_a_second_land(
    cli: Cli, nursery: Nursery, tmp_path: Path
) -> None:
    made = back_up_while_runs_land(cli, nursery, tmp_path)
    held = [named(copy) for copy in made]
    assert [troubles(copy) for copy in made] == [[]] * len(made)
    assert all(before <= after for before, after in pairwise(held)), "none is older"
    assert held[-1] <= named(cli.index)
    assert len({len(one) for one in held}) >= FEWEST, "they show the index as it grew"
    middle = made[len(made) // 2]
    expected = dataset_hash(place(middle, cli.repo, tmp_path / "opened"))
    lost = settings_of(cli.repo, tmp_path / "lost")
    backup(place(middle, cli.repo, lost.state_dir), None)
    lost.index_path.write_bytes(b"nothing that could be read" * 999)
    shutil.rmtree(cli.archives)
    found = recover(lost)
    assert found.backup is not None
    assert named(lost.index_path) == named(middle)
    assert dataset_hash(lost) == expected
