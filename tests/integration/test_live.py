"""`status --watch` in a pseudo-terminal: what stands on the screen, whatever happens to index and daemon."""

from __future__ import annotations

import signal
import subprocess

import pytest

from tests.support.archives import Maker
from tests.support.cli import Cli
from tests.support.daemon import Daemon, configure
from tests.support.terminal import DEADLINE_S, Terminal

WATCH = ("status", "--watch", "--interval", "300ms")


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (200, 60)])
def test_it_shows_what_matters_first_and_fits(kept: Cli, columns: int, lines: int) -> None:
    with Terminal(kept, columns, lines, *WATCH) as terminal:
        shown = terminal.shows("collectord", "watch backups: there is none", "lanes", "epoch", "success")
        assert shown[1].startswith("watch")
        assert len([line for line in shown if line.strip()]) > 12
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait(DEADLINE_S) == 0


def test_without_an_index_it_says_so_and_goes_on_when_there_is_one(bare: Cli) -> None:
    with Terminal(bare, 80, 24, *WATCH) as terminal:
        terminal.shows("no index yet")
        Maker(bare.repo).add(2)
        bare.ok("ingest")
        terminal.shows("2 indexed")


def test_a_daemon_that_dies_is_seen_and_a_resize_is_survived(bare: Cli) -> None:
    configure(bare)
    Maker(bare.repo).add(2)
    with Daemon(bare) as daemon, Terminal(bare, 100, 30, *WATCH) as terminal:
        daemon.wait_for("archive.indexed", 2)
        terminal.shows("alive")
        terminal.resize(60, 20)
        daemon.process.kill()
        daemon.process.wait()
        terminal.shows("dead since")


def test_piped_it_prints_one_status_a_tick(kept: Cli) -> None:
    argv = kept.argv("status", "--watch", "--interval", "200ms")
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=kept.environ(), cwd=kept.home)
    assert process.stdout is not None
    heads = 0
    for line in process.stdout:
        heads += line.startswith("collectord  ")
        if heads == 3:
            break
    process.send_signal(signal.SIGINT)
    process.stdout.read()
    assert process.wait(DEADLINE_S) == 0
