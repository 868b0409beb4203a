"""Processes of the kernel as the system shows them, and what the index keeps of them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from collectord.index.environments import kernel_sessions, store_kernel_look
from collectord.index.writer import IndexWriter
from collectord.model import KernelSession, Launch
from collectord.repo.kernel_processes import KernelFinder
from tests.support.stand_in import StandIn


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / "repo/.cyntra").mkdir(parents=True)
    return tmp_path / "repo"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def test_a_kernel_is_seen_with_its_exact_start_and_the_options_that_change_labels(
    repo: Path, tmp_path: Path
) -> None:
    before = _now_ms()
    options = ("-c", "conf/a.yaml", "run", "--universe", "lab", "--speculate", "--max-concurrent", "2")
    with StandIn(repo, tmp_path, options) as process:
        after = _now_ms()
        [found] = KernelFinder(repo).look(_now_ms()).kernels
    assert found.pid == process.pid
    assert before - 10 <= found.started_ms <= after
    assert found.launch == Launch("conf/a.yaml", "lab", True)
    assert found.max_concurrent == 2


def test_a_kernel_in_a_folder_of_the_repo_is_of_it_and_its_configuration_is_found_from_there(
    repo: Path, tmp_path: Path
) -> None:
    (repo / "src").mkdir()
    with StandIn(repo / "src", tmp_path, ("-c", "../.cyntra/config.yaml", "run")):
        [found] = KernelFinder(repo).look(0).kernels
    assert found.launch == Launch()


def test_a_configuration_outside_of_the_repo_keeps_its_whole_path(repo: Path, tmp_path: Path) -> None:
    with StandIn(repo, tmp_path, ("-c", "/etc/cyntra.yaml", "run")):
        [found] = KernelFinder(repo).look(0).kernels
    assert found.launch.config == "/etc/cyntra.yaml"


def test_what_a_kernel_forked_is_no_second_kernel(repo: Path, tmp_path: Path) -> None:
    script = tmp_path / "bin/cyntra"
    script.parent.mkdir()
    script.write_text("import os, time\npid = os.fork()\nprint('up', flush=True)\ntime.sleep(60)\n")
    command = [sys.executable, "-S", str(script), "run"]
    process = subprocess.Popen(command, cwd=repo, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.readline()
        assert [k.pid for k in KernelFinder(repo).look(0).kernels] == [process.pid]
    finally:
        os.killpg(process.pid, 9)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def test_a_process_that_becomes_a_kernel_is_seen_at_the_next_look(repo: Path, tmp_path: Path) -> None:
    finder = KernelFinder(repo)
    assert finder.look(0).kernels == ()
    with StandIn(repo, tmp_path):
        assert len(finder.look(1).kernels) == 1
    assert finder.look(2).kernels == ()


def test_a_look_among_many_processes_is_cheap(repo: Path) -> None:
    finder = KernelFinder(repo)
    finder.look(0)
    others = [subprocess.Popen(["sleep", "60"]) for _ in range(20)]
    try:
        assert finder.look(0).kernels == ()
        assert len(finder._others) >= 20
    finally:
        for process in others:
            process.kill()
            process.wait()


def test_sessions_begin_go_on_end_and_come_back(tmp_path: Path) -> None:
    one = KernelSession(7, 1000, Launch(), None, 1100, 1100)
    two = KernelSession(8, 3000, Launch("a.yaml"), 2, 3100, 3100)
    writer = IndexWriter(tmp_path / "index.sqlite3")
    try:
        with writer.transaction() as connection:
            assert store_kernel_look(connection, [one], 1100)
            assert not store_kernel_look(connection, [replace(one, started_ms=1004)], 2000)
            assert kernel_sessions(connection) == [replace(one, last_seen_ms=2000)]
            assert store_kernel_look(connection, [two], 3100, before_ms=2900)
            gone = replace(one, last_seen_ms=2900, gone_ms=3100)
            assert kernel_sessions(connection) == [gone, two]
            assert store_kernel_look(connection, [one, two], 3200)
            assert kernel_sessions(connection)[0] == replace(one, last_seen_ms=3200)
            assert not store_kernel_look(connection, [one, two], 3300)
            # The number of a process that ended long ago was given to another one.
            assert store_kernel_look(connection, [replace(one, started_ms=90_000)], 90_100)
            assert len(kernel_sessions(connection)) == 3
    finally:
        writer.close()
