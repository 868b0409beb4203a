"""Signals as flags that the loop looks at between two pieces of work."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from types import FrameType

SECOND_SIGINT_CODE = 130


class Signals:
    """TERM and INT ask for a stop, HUP for the configuration to be read again.

    Handlers take no lock: they may interrupt the very thread that holds it.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self.stopping = False
        self._wake = wake
        self._reload = False
        self._guard: socket.socket | None = None

    def install(self, timeout_s: float, gave_up: Callable[[], None]) -> None:
        """Catches the signals. `gave_up` is called from a thread if a stop lasts longer than `timeout_s`."""
        self._guard, waiting = socket.socketpair()
        self._guard.setblocking(False)
        guard = threading.Thread(
            target=_give_up_after, args=(waiting, timeout_s, gave_up), name="collectord-stop", daemon=True
        )
        guard.start()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_reload)

    def take_reload(self) -> bool:
        """Whether HUP came since the last call."""
        asked, self._reload = self._reload, False
        return asked

    @property
    def reload_asked(self) -> bool:
        """Whether HUP came and nobody took it yet."""
        return self._reload

    def _on_stop(self, number: int, _frame: FrameType | None) -> None:
        if self.stopping and number == signal.SIGINT:
            os._exit(SECOND_SIGINT_CODE)  # the index is as safe as after SIGKILL
        if not self.stopping and self._guard is not None:
            self._guard.send(b"\0")
        self.stopping = True
        self._wake()

    def _on_reload(self, _number: int, _frame: FrameType | None) -> None:
        self._reload = True
        self._wake()


def _give_up_after(waiting: socket.socket, timeout_s: float, gave_up: Callable[[], None]) -> None:
    if waiting.recv(1):
        time.sleep(timeout_s)
        gave_up()
        os._exit(1)
