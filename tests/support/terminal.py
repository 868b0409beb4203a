"""A command on a real pseudo-terminal, and what stands on its screen."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from types import TracebackType

import pyte

from tests.support.cli import Cli

DEADLINE_S = 20.0


class Terminal:
    """A screen of some size with a command on it."""

    def __init__(self, cli: Cli, columns: int, lines: int, *arguments: str) -> None:
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self._fd, other = pty.openpty()
        self.resize(columns, lines)
        argv = cli.argv(*arguments)
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
