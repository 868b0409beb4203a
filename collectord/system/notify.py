"""sd_notify in our own few lines: tells the service manager how the work loop is.

Messages go as one datagram each to the Unix socket in NOTIFY_SOCKET, a path or an abstract `@name`.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

# systemd drops a message of more than 4096 bytes as a whole; a status line is for one row of a terminal.
_LONGEST_STATUS_BYTES = 1024
# The socket's queue is full only while the manager hangs; then the work matters more than the telling.
_SEND_TIMEOUT_S = 0.5


class Notifier:
    """Sends state to the service manager; every method says whether the message left, and none raises.

    Without a socket nothing is sent and every method returns False. `failures` counts messages that were
    lost although there is a socket. Not for several threads: the work loop owns it.
    """

    def __init__(self, address: str | None) -> None:
        """`address` as in NOTIFY_SOCKET; None or anything but a path or `@name` means nobody listens."""
        self._address = _socket_address(address)
        self.failures = 0

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Notifier:
        """The notifier for NOTIFY_SOCKET of this environment."""
        return cls(environ.get("NOTIFY_SOCKET"))

    @property
    def listening(self) -> bool:
        """Whether there is anybody to tell."""
        return self._address is not None

    def ready(self, status: str) -> bool:
        """Start-up, or reading the configuration again, is done."""
        return self._send("READY=1", _status(status))

    def status(self, text: str) -> bool:
        """One line for `systemctl status`."""
        return self._send(_status(text))

    def reloading(self) -> bool:
        """The configuration is being read again; `ready` must follow."""
        return self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> bool:
        """Shutdown has begun."""
        return self._send("STOPPING=1")

    def watchdog(self) -> bool:
        """The work loop is alive; due every `watchdog_interval_s`."""
        return self._send("WATCHDOG=1")

    def _send(self, *fields: str) -> bool:
        if self._address is None:
            return False
        try:
            _send_datagram(self._address, "\n".join(fields).encode("utf-8", "replace"))
        except (OSError, ValueError):
            self.failures += 1
            return False
        return True


def watchdog_interval_s(environ: Mapping[str, str], pid: int) -> float | None:
    """Seconds between two `watchdog` messages, half of what is allowed; None if `pid` is not watched."""
    allowed_us = _whole_number(environ.get("WATCHDOG_USEC"))
    watched = environ.get("WATCHDOG_PID")
    if not allowed_us or (watched is not None and _whole_number(watched) != pid):
        return None
    return allowed_us / 2 / 1_000_000


def _socket_address(text: str | None) -> bytes | None:
    if not text or text[0] not in "/@" or len(text) < 2:
        return None
    name = os.fsencode(text)
    return b"\0" + name[1:] if text[0] == "@" else name


def _send_datagram(address: bytes, message: bytes) -> None:
    # A socket for each message: nothing to reopen after a restart of the manager, nothing to inherit.
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(_SEND_TIMEOUT_S)
        sender.sendto(message, address)


def _status(text: str) -> str:
    # A line break would begin a field of its own, and whoever chose the text could say READY=1 with it.
    line = "".join(character if character.isprintable() else " " for character in text)
    short = line.encode("utf-8", "replace")[:_LONGEST_STATUS_BYTES].decode("utf-8", "ignore")
    return f"STATUS={short}"


def _whole_number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 20 else None
