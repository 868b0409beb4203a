"""`status --watch` in a pseudo-terminal: what stands on the screen, whatever happens to index and daemon."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from types import TracebackType

import pyte
import pytest

from tests.support.archives import Maker
from tests.support.cli import Cli
from tests.support.daemon import Daemon, configure

DEADLINE_S = 20.0


class Terminal:
    """A screen of some size with a command on it."""

    def __init__(self, cli: Cli, columns: int, lines: int, *arguments: str) -> None:
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self._fd, other = pty.openpty()
        self.resize(columns, lines)
        argv = cli.argv("status", "--watch", "--interval", "300ms", *arguments)
        env = cli.environ({"TERM": "xterm-256color"})
        self.process = subprocess.Popen(
            argv, stdin=other, stdout=other, stderr=other, env=env, cwd=cli.home, start_new_session=True
        )
        os.close(other)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._fd)

    def resize(self, columns: int, lines: int) -> None:
        self.screen.resize(lines, columns)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def shows(self, *texts: str) -> list[str]:
        """Waits until all of these stand on the screen; returns its lines."""
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            if select.select([self._fd], [], [], 0.2)[0]:
                self._stream.feed(os.read(self._fd, 65536))
            shown: list[str] = list(self.screen.display)
            if all(any(text in line for line in shown) for text in texts):
                return shown
        raise AssertionError("\n".join(self.screen.display))


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (200, 60)])
def test_it_shows_what_matters_first_and_fits(kept: Cli, columns: int, lines: int) -> None:
    with Terminal(kept, columns, lines) as terminal:
        shown = terminal.shows("collectord", "watch backups: there is none", "lanes", "epoch", "success")
        assert shown[1].startswith("watch")
        assert len([line for line in shown if line.strip()]) > 12
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait(DEADLINE_S) == 0


def test_without_an_index_it_says_so_and_goes_on_when_there_is_one(bare: Cli) -> None:
    with Terminal(bare, 80, 24) as terminal:
        terminal.shows("no index yet")
        Maker(bare.repo).add(2)
        bare.ok("ingest")
        terminal.shows("2 indexed")


def test_a_daemon_that_dies_is_seen_and_a_resize_is_survived(bare: Cli) -> None:
    configure(bare)
    Maker(bare.repo).add(2)
    with Daemon(bare) as daemon, Terminal(bare, 100, 30) as terminal:
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
