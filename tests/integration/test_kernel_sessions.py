"""The daemon beside the process of a kernel, and archives that show nothing of their configuration."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from collectord.repo.kernel_processes import KernelFinder
from tests.support.cli import Cli
from tests.support.daemon import QUICK, Daemon, configure
from tests.support.small_kernel import SmallKernel
from tests.support.stand_in import StandIn

DEBOUNCE_S = 0.4
SETTINGS = QUICK + "environment: {debounce: 400ms, seal_after: 60s}\n"
CONFIG = """
toolchains: {codex: {model: m1, timeout_minutes: 60}, claude: {model: m2}}
routing:
  rules:
    - {match: {dk_risk: critical}, speculate: true, parallelism: %d, use: [codex, claude]}
    - {match: {}, use: [codex]}
"""


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    (tmp_path / "repo/.cyntra/archives").mkdir(parents=True)
    cli = Cli(tmp_path / "repo", tmp_path)
    configure(cli, SETTINGS)
    _edit(cli, 3)
    return cli


def _edit(cli: Cli, width: int, file: str = "config.yaml") -> None:
    """What no serial run shows."""
    (cli.repo / ".cyntra" / file).write_text(CONFIG % width)


def _kernel(cli: Cli, *options: str) -> StandIn:
    return StandIn(cli.repo, cli.home, options or ("run", "--watch"))


def _epochs(cli: Cli) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(cli.ok("epoch", "list", "--json"))["epochs"]
    return found


def _sizes(cli: Cli) -> list[int]:
    return [epoch["runs"] for epoch in _epochs(cli)]


def test_runs_of_a_kernel_that_goes_on_after_an_edit_are_of_the_configuration_that_it_read(cli: Cli) -> None:
    archives = SmallKernel(cli.repo)
    with _kernel(cli) as first, Daemon(cli).started() as daemon:
        archives.runs(30)
        daemon.wait_for("archive.indexed", 30)
        _edit(cli, 2)
        edited = time.monotonic()
        [stale] = daemon.wait_for("environment.stale_kernel")
        assert time.monotonic() - edited < 2 * DEBOUNCE_S + 1.0
        assert stale["pid"] == first.pid
        assert any("critical" in words for words in stale["affected"])
        kernel = daemon.status()["kernel"]["running"]
        assert [(one["pid"], one["epoch"], one["wants_restart"]) for one in kernel] == [(first.pid, 1, True)]
        archives.runs(20)
        daemon.wait_for("archive.indexed", 50)
        assert not daemon.events("epoch.closing")
        first.stop()
        with _kernel(cli) as second:
            daemon.wait_for("alert.resolved", alert="environment.stale_kernel")
            archives.runs(15)
            daemon.wait_for("archive.indexed", 65)
            daemon.wait_for("epoch.sealed")
            daemon.wait_for("epoch.published")
            kernel = daemon.status()["kernel"]["running"]
            assert [(one["pid"], one["epoch"], one["wants_restart"]) for one in kernel] == [
                (second.pid, 2, False)
            ]
            assert "up to date" in cli.ok("status")
        assert len(daemon.events("environment.stale_kernel")) == 1
        assert len(daemon.events("alert.resolved")) == 1
    epochs = _epochs(cli)
    assert [(e["runs"], e["state"]) for e in epochs] == [(50, "sealed"), (15, "open")]
    [snapshot] = epochs[0]["snapshots"]
    exported = json.loads(cli.ok("export", "--epoch", "1", "--dry-run", "--json"))
    assert (exported["example_count"], exported["dataset_hash"]) == (50, snapshot["dataset_hash"])


@pytest.mark.slow
def test_a_daemon_that_comes_later_than_the_kernel_knows_what_it_had_read(cli: Cli) -> None:
    archives = SmallKernel(cli.repo)
    with _kernel(cli) as first:
        archives.runs(3)
        with Daemon(cli).started() as daemon:
            daemon.wait_for("archive.indexed", 3)
            _edit(cli, 2)
            daemon.wait_for("environment.stale_kernel")
            archives.runs(2)
            first.stop()
            with _kernel(cli):
                archives.runs(2)
                daemon.wait_for("archive.indexed", 7)
                daemon.wait_for("epoch.published")
    assert _sizes(cli) == [5, 2]


@pytest.mark.slow
def test_an_edit_and_a_restart_while_the_daemon_is_down_are_told_by_the_start_of_the_process(
    cli: Cli,
) -> None:
    archives = SmallKernel(cli.repo)
    with _kernel(cli) as first:
        with Daemon(cli).started() as daemon:
            archives.runs(3)
            daemon.wait_for("archive.indexed", 3)
            assert daemon.stop() == 0
        _edit(cli, 2)
        archives.runs(2)
    with _kernel(cli):
        archives.runs(2)
        with Daemon(cli).started() as daemon:
            daemon.wait_for("archive.indexed", 4)
            daemon.wait_for("epoch.published")
    assert first.pid
    assert _sizes(cli) == [5, 2]


def test_two_kernels_at_once_are_told_and_evidence_decides(cli: Cli) -> None:
    archives = SmallKernel(cli.repo)
    with _kernel(cli), Daemon(cli).started() as daemon, _kernel(cli):
        [several] = daemon.wait_for("kernel.several")
        assert len(several["kernels"]) == 2
        archives.runs(2)
        daemon.wait_for("archive.indexed", 2)
        assert "2 run at once" in cli("doctor").stdout
    assert _sizes(cli) == [2]


def test_a_kernel_of_another_repo_or_of_a_worktree_of_a_run_is_none_of_this_one(cli: Cli) -> None:
    other, worktree = cli.home / "other", cli.repo / ".workcells/wc-1"
    for folder in (other, worktree):
        (folder / ".cyntra").mkdir(parents=True)
    with StandIn(other, cli.home), StandIn(worktree, cli.home):
        assert KernelFinder(cli.repo).look(0).kernels == ()
        assert len(KernelFinder(other).look(0).kernels) == 1


def test_a_kernel_with_another_configuration_has_that_one(cli: Cli) -> None:
    archives = SmallKernel(cli.repo)
    _edit(cli, 1, "other.yaml")
    with Daemon(cli).started() as daemon:
        with _kernel(cli):
            archives.runs(2)
            daemon.wait_for("archive.indexed", 2)
        with _kernel(cli, "-c", ".cyntra/other.yaml", "run"):
            archives.runs(2)
            daemon.wait_for("archive.indexed", 4)
            daemon.wait_for("epoch.published")
            assert "-c .cyntra/other.yaml" in cli.ok("status")
            _edit(cli, 2)  # which is not what it reads
            time.sleep(3 * DEBOUNCE_S)
            assert not daemon.events("environment.stale_kernel")
            _edit(cli, 2, "other.yaml")
            daemon.wait_for("environment.stale_kernel")
    assert _sizes(cli) == [2, 2]


def test_an_edit_and_its_undo_before_the_restart_make_no_epoch(cli: Cli) -> None:
    archives = SmallKernel(cli.repo)
    with Daemon(cli).started() as daemon:
        with _kernel(cli):
            archives.runs(2)
            daemon.wait_for("archive.indexed", 2)
            _edit(cli, 2)
            daemon.wait_for("environment.stale_kernel")
            archives.runs(2)
            _edit(cli, 3)
            daemon.wait_for("alert.resolved", alert="environment.stale_kernel")
        with _kernel(cli):
            archives.runs(2)
            daemon.wait_for("archive.indexed", 6)
        assert not daemon.events("epoch.closing")
    assert _sizes(cli) == [6]


@pytest.mark.slow
def test_the_option_to_speculate_is_part_of_the_environment(cli: Cli) -> None:
    archives = SmallKernel(cli.repo)
    with Daemon(cli).started() as daemon:
        with _kernel(cli):
            archives.runs(2)
            daemon.wait_for("archive.indexed", 2)
        with _kernel(cli, "run", "--speculate"):
            archives.runs(2)
            daemon.wait_for("archive.indexed", 4)
            daemon.wait_for("epoch.published")
    first, second = _epochs(cli)
    assert (first["runs"], second["runs"]) == (2, 2)
    shown = json.loads(cli.ok("environment", "diff", "1", "2", "--json"))
    assert [change["pointer"] for change in shown["changes"]] == ["/speculation/forced"]


def test_without_a_process_that_can_be_seen_everything_falls_back_on_evidence(cli: Cli) -> None:
    archives = SmallKernel(cli.repo)
    with Daemon(cli).started() as daemon:
        archives.runs(2)
        daemon.wait_for("archive.indexed", 2)
        with archives.in_flight():
            found = cli("doctor").stdout
            assert "not visible" in found
            assert "no process can be seen" in cli.ok("status")
    assert _sizes(cli) == [2]


def test_ingest_by_hand_notes_the_kernel_that_runs(cli: Cli) -> None:
    archives = SmallKernel(cli.repo)
    with _kernel(cli) as kernel:
        archives.runs(2)
        cli.ok("ingest")
        _edit(cli, 2)
        archives.runs(2)
        assert "environment.stale_kernel" in cli.ok("ingest")
        [one] = json.loads(cli.ok("status", "--json"))["kernel"]["running"]
        assert (one["pid"], one["wants_restart"]) == (kernel.pid, True)
    assert _sizes(cli) == [4]
