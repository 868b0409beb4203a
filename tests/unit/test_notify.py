"""The service manager is told over real datagram sockets, and its absence never hurts the work loop."""

from __future__ import annotations

import socket
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectord.system.notify import Notifier, watchdog_interval_s


class Manager:
    """The listening end, as systemd has it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.settimeout(5)

    def heard(self) -> list[str]:
        return self.socket.recv(65536).decode().split("\n")


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    if request.param == "abstract" and sys.platform != "linux":
        pytest.skip("abstract socket addresses exist on Linux only")
    addresses = {"path": str(tmp_path / "notify"), "abstract": f"@collectord-test-{uuid.uuid4().hex}"}
    listening = Manager(addresses[request.param])
    yield listening
    listening.socket.close()


@pytest.fixture
def notifier(manager: Manager) -> Notifier:
    return Notifier.from_environ({"NOTIFY_SOCKET": manager.address})


def test_ready_comes_with_its_status_in_one_datagram(manager: Manager, notifier: Notifier) -> None:
    assert notifier.listening
    assert notifier.ready("3 pending")
    assert manager.heard() == ["READY=1", "STATUS=3 pending"]


def test_status_stopping_and_watchdog(manager: Manager, notifier: Notifier) -> None:
    assert notifier.status("12 indexed")
    assert notifier.watchdog()
    assert notifier.stopping()
    assert [manager.heard() for _ in range(3)] == [["STATUS=12 indexed"], ["WATCHDOG=1"], ["STOPPING=1"]]


def test_reloading_carries_the_monotonic_time_in_microseconds(manager: Manager, notifier: Notifier) -> None:
    before = time.monotonic_ns() // 1000
    assert notifier.reloading()
    reloading, stamp = manager.heard()
    assert reloading == "RELOADING=1"
    assert before <= int(stamp.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


@pytest.mark.parametrize("separator", ["\n", "\r\n", "\x0b", "\x0c", "\x1e", "\x85", "\u2028", "\0"])
def test_a_status_cannot_say_anything_else(manager: Manager, notifier: Notifier, separator: str) -> None:
    notifier.status(f"wc-1{separator}READY=1")
    (heard,) = manager.heard()
    assert heard.startswith("STATUS=wc-1 ")
    assert heard.endswith(" READY=1")
    assert len(heard.splitlines()) == 1


def test_a_long_status_is_cut_between_characters(manager: Manager, notifier: Notifier) -> None:
    notifier.status("x" + "é" * 5000)
    (heard,) = manager.heard()
    assert 1000 <= len(heard.encode()) <= 1100
    assert heard.strip("é") == "STATUS=x"


def test_a_status_with_half_a_surrogate_pair_is_sent(manager: Manager, notifier: Notifier) -> None:
    assert notifier.status("name \udcff")
    (heard,) = manager.heard()
    assert heard.startswith("STATUS=name ")


@pytest.mark.parametrize(
    "environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1234"}, {"NOTIFY_SOCKET": "/"}]
)
def test_without_a_manager_nothing_is_sent_and_nothing_failed(environ: dict[str, str]) -> None:
    notifier = Notifier.from_environ(environ)
    sent = [
        notifier.ready(""),
        notifier.status(""),
        notifier.reloading(),
        notifier.stopping(),
        notifier.watchdog(),
    ]
    assert not any(sent)
    assert notifier.failures == 0


def test_a_manager_that_went_away_is_counted_and_its_return_is_noticed(tmp_path: Path) -> None:
    address = tmp_path / "notify"
    notifier = Notifier(str(address))
    assert not notifier.watchdog()
    first = Manager(str(address))
    assert notifier.watchdog()
    first.socket.close()
    assert not notifier.watchdog()
    address.unlink()
    assert not notifier.watchdog()
    second = Manager(str(address))
    assert notifier.watchdog()
    assert second.heard() == ["WATCHDOG=1"]
    second.socket.close()
    assert notifier.failures == 3


@pytest.mark.parametrize("address", ["/" + "x" * 200, "/with\0null"])
def test_an_address_no_socket_can_have_is_a_failure_not_an_error(address: str) -> None:
    notifier = Notifier(address)
    assert not notifier.ready("")
    assert notifier.failures == 1


def test_a_manager_that_does_not_read_cannot_hold_up_the_work(tmp_path: Path) -> None:
    deaf = Manager(str(tmp_path / "notify"))
    notifier = Notifier(deaf.address)
    sent = 0
    while notifier.watchdog():
        sent += 1
        assert sent < 100_000
    assert notifier.failures == 1
    deaf.heard()
    assert notifier.watchdog()
    deaf.socket.close()


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "120000000"}, 60.0),
        ({"WATCHDOG_USEC": "120000000", "WATCHDOG_PID": "42"}, 60.0),
        ({"WATCHDOG_USEC": "120000000", "WATCHDOG_PID": "43"}, None),
        ({"WATCHDOG_USEC": "120000000", "WATCHDOG_PID": ""}, None),
        ({"WATCHDOG_USEC": "1"}, 0.0000005),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "9" * 5000}, None),
        ({"WATCHDOG_PID": "42"}, None),
    ],
)
def test_the_watchdog_interval_is_half_of_what_is_allowed(
    environ: dict[str, str], expected: float | None
) -> None:
    assert watchdog_interval_s(environ, 42) == expected
