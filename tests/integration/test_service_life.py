"""The command lines of the units, run as systemd runs them, with a real notify socket that listens."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import struct
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from collectord.service import template
from tests.support.cli import Cli
from tests.support.daemon import DEADLINE_S, QUICK, configure

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="NO UNIT WAS RUN: service units and their notify sockets are Linux's"
)
WATCHDOG_USEC = 400_000
_CREDENTIALS = struct.Struct("3i")


class Manager:
    """The end of systemd: what it hears, and from which process."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.heard: list[list[str]] = []
        self.senders: set[int] = set()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()

    def hears(self, wanted: Callable[[list[str]], bool], count: int = 1) -> list[str]:
        """Listens until it has heard so many such messages from now on; the last of them."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            self._socket.settimeout(max(0.01, deadline - time.monotonic()))
            message = self._take()
            count -= wanted(message)
            if not count:
                return message

    def drain(self) -> None:
        """Takes what was sent already."""
        self._socket.setblocking(False)
        try:
            while True:
                self._take()
        except BlockingIOError:
            pass

    def _take(self) -> list[str]:
        data, ancillary, _, _ = self._socket.recvmsg(65536, socket.CMSG_SPACE(_CREDENTIALS.size))
        [(_, _, credentials)] = ancillary
        self.senders.add(_CREDENTIALS.unpack(credentials)[0])
        self.heard.append(data.decode().split("\n"))
        return self.heard[-1]


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Callable[[str], Manager]]:
    """Makes a manager at a path, or in the kernel's own names."""
    made: list[Manager] = []

    def listen(where: str) -> Manager:
        name = f"@collectord-test-{uuid.uuid4().hex}"
        made.append(Manager(name if where == "abstract" else str(tmp_path / "notify")))
        return made[-1]

    yield listen
    for manager in made:
        manager.close()


def _settings(unit: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.+)$", unit, re.MULTILINE)


def _environ(unit: str, manager: Manager, home: Path) -> dict[str, str]:
    """What systemd gives: little, and what the unit says."""
    said = (pair for line in _settings(unit, "Environment") for pair in shlex.split(line))
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "NOTIFY_SOCKET": manager.address,
        "WATCHDOG_USEC": str(WATCHDOG_USEC),
        **dict(pair.split("=", 1) for pair in said),
    }


@contextmanager
def _started(unit: str, environ: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    [line] = _settings(unit, "ExecStart")
    # The shell becomes the service, as the child that systemd forks does: only it knows its own number.
    argv = ["/bin/sh", "-c", 'WATCHDOG_PID=$$ exec "$@"', "sh", *shlex.split(line)]
    process = subprocess.Popen(argv, env=dict(environ), cwd="/", stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _lives(unit: str, manager: Manager, home: Path) -> None:
    """From the start to the end of a service, with a reload between."""
    [reload] = _settings(unit, "ExecReload")
    with _started(unit, _environ(unit, manager, home)) as process:
        ready = manager.hears(lambda said: "READY=1" in said)
        assert ready == manager.heard[0]
        assert [line.partition("=")[0] for line in ready] == ["READY", "STATUS"]
        manager.hears(lambda said: said[0].startswith("STATUS=0 pending"))
        manager.hears(lambda said: said == ["WATCHDOG=1"], 2)
        before = time.monotonic_ns() // 1000
        subprocess.run(shlex.split(reload.replace("$MAINPID", str(process.pid))), check=True)
        reloading, usec = manager.hears(lambda said: "RELOADING=1" in said)
        assert reloading == "RELOADING=1"
        assert before <= int(usec.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
        manager.hears(lambda said: "READY=1" in said)
        manager.hears(lambda said: said == ["WATCHDOG=1"])
        process.send_signal(signal.SIGTERM)
        manager.hears(lambda said: said == ["STOPPING=1"])
        assert process.wait(DEADLINE_S) == 0
        manager.drain()
        assert manager.heard[-1] == ["STOPPING=1"]
        # NotifyAccess=main: anybody else's word would not count.
        assert manager.senders == {process.pid}


@pytest.mark.parametrize(("kind", "where"), [("--system", "path"), ("--user", "abstract")])
def test_a_rendered_unit_is_ready_watched_reloaded_and_stopped(
    bare: Cli, listening: Callable[[str], Manager], kind: str, where: str
) -> None:
    configure(bare, QUICK)
    _lives(bare.ok("service", "print", kind), listening(where), bare.home)


def test_an_instance_of_the_shipped_template_lives_by_its_own_configuration(
    tmp_path: Path, listening: Callable[[str], Manager]
) -> None:
    (tmp_path / "srv/mine/.cyntra/archives").mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/mine.yaml").write_text(QUICK)
    unit = template("collectord@.service").read_text().replace("%i", "mine")
    moved = {"/opt/collectord/bin": Path(sys.executable).parent}
    moved |= {"/etc/collectord": tmp_path / "etc", "/srv": tmp_path / "srv"}
    for shipped, here in moved.items():
        unit = unit.replace(shipped, str(here))
    _lives(unit, listening("path"), tmp_path)
    assert (tmp_path / "srv/mine/.cyntra/state/collectord/index.sqlite3").exists()
