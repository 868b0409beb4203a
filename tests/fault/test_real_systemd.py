"""The unit that `service install` writes, under a real systemd: started, reloaded, killed, aborted, held up.

Skipped, loudly, where no system can be booted: `apt-get install mmdebstrap systemd-container`, and be root.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import unpack
from tests.support.booted import CannotBoot, Machine, booted
from tests.support.daemon import wait_until
from tests.support.index_state import differences

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

USER, REPO, PYTHON = "kernel", "/srv/project", sys.executable
SETTINGS = """
settle: {min_age: 100ms, short: 200ms, long: 500ms}
daemon: {heartbeat_interval: 200ms}
disk: {min_free_percent: 0, min_free_bytes: 0}
"""
DROP_IN = "[Service]\nWatchdogSec=5s\nRestartSec=1s\n"
HOLDER = """
import sys
from pathlib import Path
from collectord.system.lock import StateLock
with StateLock.acquire(Path(sys.argv[1]), "collectord ingest"):
    print("held", flush=True)
    sys.stdin.read()
"""


class Service:
    """The installed service and its repo, which a kernel fills."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.repo = machine.root / REPO[1:]
        self.state, self.archives = self.repo / ".cyntra/state/collectord", self.repo / ".cyntra/archives"
        self.to_come = machine.root / "srv/to-come"
        self.began = 0.0
        machine.ok("useradd", "--create-home", USER)
        unpack("kernel-run", self.repo)
        self.to_come.mkdir()
        for archive in sorted(self.archives.iterdir())[10:]:
            archive.rename(self.to_come / archive.name)
        machine.ok("chown", "-R", f"{USER}:", REPO, "/srv/to-come")
        said = self.collectord("service", "install", "--system", "--run-as", USER, user=None)
        self.to_type = [line.split()[1:] for line in said.splitlines() if line.startswith("  sudo ")]
        self.unit = self.to_type[-1][-1]
        drop_in = machine.root / f"etc/systemd/system/{self.unit}.d/quick.conf"
        drop_in.parent.mkdir()
        drop_in.write_text(DROP_IN)
        for command in self.to_type[:-1]:
            machine.ok(*command)

    def ctl(self, verb: str) -> None:
        """`systemctl` on the unit; must succeed."""
        self.machine.ok("systemctl", verb, self.unit)

    def show(self, name: str) -> str:
        """A property of the unit."""
        return self.machine.ok("systemctl", "show", "--value", "-p", name, self.unit).strip()

    def collectord(self, *arguments: str, user: str | None = USER) -> str:
        """What a command on the repo prints."""
        return self.machine.ok(PYTHON, "-m", "collectord", "--repo", REPO, *arguments, user=user)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.collectord("status", "--json"))
        return found

    def configure(self, text: str) -> None:
        (self.repo / ".cyntra/collectord.yaml").write_text(text)

    def fresh(self, settings: str = SETTINGS) -> None:
        """Stopped, without a failure, and with a journal that begins here."""
        self.machine("systemctl", "stop", self.unit)
        self.machine("systemctl", "reset-failed", self.unit)
        self.configure(settings)
        self.began = time.time()

    def start_anew(self) -> None:
        """A life of its own for what follows."""
        self.fresh()
        self.ctl("start")

    def journal(self, *options: str) -> list[dict[str, Any]]:
        """What the journal has of the unit."""
        self.machine.ok("journalctl", "--sync")
        given = ("-u", self.unit, "-o", "json", f"--since=@{self.began:.6f}", *options)
        return [json.loads(line) for line in self.machine.ok("journalctl", *given).splitlines()]

    def events(self, name: str, *options: str) -> list[dict[str, Any]]:
        """The daemon's own lines of one event."""
        said = [entry["MESSAGE"] for entry in self.journal(*options)]
        lines = [json.loads(text) for text in said if isinstance(text, str) and text.startswith("{")]
        return [line for line in lines if line["event"] == name]

    def hears(self, event: str, *options: str) -> dict[str, Any]:
        """The one line of an event, once the journal has it."""
        wait_until(lambda: bool(self.events(event, *options)), lambda: f"{event}: {self.journal()}")
        [line] = self.events(event, *options)
        return line

    def warnings(self) -> list[str]:
        """What a person who looks for trouble is shown."""
        return [str(entry["MESSAGE"]) for entry in self.journal("-p", "warning")]

    def land(self, count: int = 5) -> list[str]:
        """A kernel leaves so many more archives."""
        landing = sorted(self.to_come.iterdir())[:count]
        assert len(landing) == count
        return [archive.rename(self.archives / archive.name).name for archive in landing]

    def holds_all(self) -> None:
        """Waits until all that lies there is indexed, and compares it byte by byte."""
        there = len(list(self.archives.iterdir()))
        wait_until(lambda: self.status()["archives"]["indexed"] == there, lambda: str(self.status()))
        assert differences(self.state / "index.sqlite3", self.archives) == []

    def restarted(self, before: str) -> None:
        """Waits until another process runs."""
        wait_until(
            lambda: self.show("MainPID") not in ("0", before) and self.show("ActiveState") == "active",
            lambda: str([entry["MESSAGE"] for entry in self.journal()]),
        )
        assert int(self.show("NRestarts")) == 1


def what_install_says_to_type_starts_it_where_its_folders_are_missing(service: Service) -> None:
    service.fresh()
    for folder in ("state", "benches", "reports"):
        service.machine.ok("rm", "-rf", f"{REPO}/.cyntra/{folder}")
    for command in service.to_type:
        service.machine.ok(*command)
    # Type=notify: systemctl came back, so READY=1 was sent.
    assert (service.show("ActiveState"), service.show("Type")) == ("active", "notify")
    assert service.show("StatusText").endswith(" pending, events")
    assert service.machine.ok("systemctl", "is-enabled", service.unit).strip() == "enabled"
    made = service.state.stat()
    assert (made.st_mode & 0o777, made.st_uid) == (0o700, service.repo.stat().st_uid)
    service.holds_all()


def archives_that_land_while_it_runs_are_indexed(service: Service) -> None:
    service.start_anew()
    names = service.land()
    service.holds_all()
    indexed = {line["archive"] for line in service.events("archive.indexed")}
    assert indexed >= set(names)
    assert all("indexed" in service.collectord("explain", name) for name in names)


def a_reload_takes_over_what_changed_without_a_restart(service: Service) -> None:
    service.start_anew()
    before = service.show("MainPID")
    service.configure(SETTINGS.replace("200ms}\ndisk", "300ms}\ndisk"))
    service.ctl("reload")
    assert service.hears("config.reloaded")["changed"] == ["daemon.heartbeat_interval: 0.2 → 0.3"]
    wait_until(lambda: service.status()["daemon"]["interval_ms"] == 300, "the new interval")
    assert (service.show("MainPID"), service.show("ActiveState")) == (before, "active")


def after_kill_9_it_is_started_again_and_nothing_is_lost(service: Service) -> None:
    service.start_anew()
    before = service.show("MainPID")
    service.land()
    service.machine.ok("sh", "-c", f"kill -KILL {before}")
    service.land()
    service.restarted(before)
    service.holds_all()


def a_daemon_that_stands_still_is_aborted_by_the_watchdog_and_started_again(service: Service) -> None:
    service.start_anew()
    before = service.show("MainPID")
    service.machine.ok("sh", "-c", f"kill -STOP {before}")
    service.land()
    service.restarted(before)
    journal = service.journal()
    assert "watchdog" in {entry.get("UNIT_RESULT") for entry in journal}
    assert "Fatal Python error: Aborted" in {entry["MESSAGE"] for entry in journal}
    service.holds_all()


def a_command_that_holds_the_lock_delays_the_start_and_fails_nothing(service: Service) -> None:
    service.fresh()
    machine, lock = service.machine, f"{REPO}/.cyntra/state/collectord/lock"
    machine.ok("mkdir", "-p", str(Path(lock).parent), user=USER)
    hold = machine.argv(PYTHON, "-c", HOLDER, lock, user=USER)
    start = machine.argv("timeout", "60", "systemctl", "start", service.unit)
    with subprocess.Popen(hold, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with subprocess.Popen(start) as starting:
            assert service.hears("lock.waiting")["command"] == "collectord ingest"
            assert "waits for `collectord ingest`" in service.show("StatusText")
            assert (starting.poll(), service.show("ActiveState")) == (None, "activating")
            holder.communicate()
            assert starting.wait(30) == 0
    assert (service.show("ActiveState"), service.show("NRestarts")) == ("active", "0")
    assert service.warnings() == []


def a_stop_ends_it_cleanly_and_its_last_sign_of_life_says_so(service: Service) -> None:
    service.start_anew()
    service.ctl("stop")
    ended = [service.show(name) for name in ("ActiveState", "Result", "ExecMainStatus")]
    assert ended == ["inactive", "success", "0"]
    daemon = service.status()["daemon"]
    assert (daemon["life"], daemon["stopped_ms"] is None) == ("stopped", False)
    service.hears("daemon.stopped")


def the_journal_has_no_warning_of_a_normal_life(service: Service) -> None:
    service.start_anew()
    service.land()
    service.holds_all()
    service.ctl("reload")
    service.hears("config.reloaded")
    service.ctl("stop")
    service.hears("daemon.stopped")
    assert service.warnings() == []


def the_journal_says_as_an_error_that_the_configuration_is_wrong(service: Service) -> None:
    service.fresh("settle: {min_age: banana}\n")
    assert service.machine("systemctl", "start", service.unit).returncode != 0
    assert (service.show("ActiveState"), service.show("ExecMainStatus")) == ("failed", "78")
    line = service.hears("daemon.failed", "-p", "3..3")
    assert line["reason"].startswith(f"{REPO}/.cyntra/collectord.yaml:1:19: settle.min_age: 'banana'")
    assert service.show("NRestarts") == "0"


BEHAVIOURS = (
    what_install_says_to_type_starts_it_where_its_folders_are_missing,
    archives_that_land_while_it_runs_are_indexed,
    a_reload_takes_over_what_changed_without_a_restart,
    after_kill_9_it_is_started_again_and_nothing_is_lost,
    a_daemon_that_stands_still_is_aborted_by_the_watchdog_and_started_again,
    a_command_that_holds_the_lock_delays_the_start_and_fails_nothing,
    a_stop_ends_it_cleanly_and_its_last_sign_of_life_says_so,
    the_journal_has_no_warning_of_a_normal_life,
    the_journal_says_as_an_error_that_the_configuration_is_wrong,
)


def test_the_installed_unit_under_a_real_systemd(
    tmp_path_factory: pytest.TempPathFactory, subtests: pytest.Subtests
) -> None:
    """One test, as two workers would boot a system each; what fails is named all the same."""
    try:
        with booted(tmp_path_factory.mktemp("booted")) as machine:
            service = Service(machine)
            for behaviour in BEHAVIOURS:
                with subtests.test(behaviour.__name__):
                    behaviour(service)
    except CannotBoot as error:
        pytest.skip(f"SKIPPED, NO UNIT WAS RUN BY A REAL SYSTEMD: {error}")
