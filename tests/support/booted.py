"""A Debian of its own, booted with systemd as its first process; nothing of it is left afterwards."""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.support.warm import ROOT

NEEDED = ("mmdebstrap", "systemd-nspawn", "nsenter", "setpriv")
# Debian's Python brings the libraries that the one of the tests needs: SQLite's, OpenSSL's and so on.
PACKAGES = "systemd,systemd-sysv,dbus,python3"
_SOURCES = Path("/etc/apt/sources.list.d/debian.sources")


class CannotBoot(Exception):
    """There can be no such system here; the message says why."""


class Machine:
    """The booted system; its root folder can be read and written from outside as well."""

    def __init__(self, root: Path, leader: int) -> None:
        self.root, self._leader = root, leader

    def argv(self, *argv: str | Path, user: str | None = None) -> list[str]:
        """The command line that runs a command in there, as root or as another user."""
        if not _is_inside(self._leader, self.root):
            raise CannotBoot("the system is gone, and nothing of this is for the host")
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
        clean = ["env", "-i", "PATH=/usr/sbin:/usr/bin", f"HOME=/home/{user}" if user else "HOME=/root"]
        return ["nsenter", "-t", str(self._leader), "-a", "--", *clean, *become, *map(str, argv)]

    def __call__(self, *argv: str | Path, user: str | None = None) -> subprocess.CompletedProcess[str]:
        """What `subprocess.run` gives."""
        command = self.argv(*argv, user=user)
        return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, cwd="/")

    def ok(self, *argv: str | Path, user: str | None = None) -> str:
        """What a command that must succeed prints."""
        done = self(*argv, user=user)
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done.stdout


@contextmanager
def booted(folder: Path) -> Iterator[Machine]:
    """Makes the root below the folder and boots it; this checkout and its Python are in there, read-only.

    Raises CannotBoot.
    """
    missing = [tool for tool in NEEDED if shutil.which(tool) is None]
    if sys.platform != "linux" or os.geteuid() != 0 or missing:
        raise CannotBoot(
            f"needs Linux, root and {', '.join(NEEDED)} (missing: {', '.join(missing) or 'none'})"
        )
    root, log = folder / "root", folder / "boot.log"
    groups = os.open("/sys/fs/cgroup", os.O_RDONLY)
    try:
        fcntl.flock(groups, fcntl.LOCK_EX)  # two systems at once would share their control groups
        _make(root)
        with log.open("wb") as output:
            nspawn = subprocess.Popen(_boot(root), stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            yield _up(root, nspawn, log)
        finally:
            _end(nspawn)
    finally:
        os.close(groups)
        subprocess.run(["rm", "-rf", "--one-file-system", folder], check=False)


def _make(root: Path) -> None:
    # Of the same release: what the Python of the tests was linked with must be there.
    suite = platform.freedesktop_os_release().get("VERSION_CODENAME", "stable")
    mirror = [str(_SOURCES)] if _SOURCES.exists() else []
    command = ["mmdebstrap", "--quiet", "--variant=essential", f"--include={PACKAGES}", suite, str(root)]
    limited = ["timeout", "--kill-after=10", "400", *command, *mirror]
    done = subprocess.run(limited, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotBoot(f"mmdebstrap failed ({done.returncode}): {done.stderr[-300:]}")
    (root / "root").chmod(0o755)  # the Python of the tests may lie there


def _boot(root: Path) -> list[str]:
    """As a process that goes with ours: neither the host's systemd nor its journal hears of it."""
    apart = ["--register=no", "--keep-unit", "--link-journal=no", "--private-network", "--settings=no"]
    wanted = {ROOT, Path(sys.prefix), Path(sys.base_prefix)} - {Path("/usr")}
    bound = [f"--bind-ro={path}" for path in sorted(wanted)]
    named = [f"--machine=collectord-{uuid.uuid4().hex[:8]}", "--directory", str(root)]
    nspawn = ["setpriv", "--pdeathsig=TERM", "systemd-nspawn", "--quiet", "--console=pipe"]
    return [*nspawn, *apart, *bound, *named, "--boot"]


def _up(root: Path, nspawn: subprocess.Popen[bytes], log: Path) -> Machine:
    deadline = time.monotonic() + 60
    while nspawn.poll() is None and time.monotonic() < deadline:
        for child in psutil.Process(nspawn.pid).children():
            if not _is_inside(child.pid, root):
                continue
            machine = Machine(root, child.pid)
            if machine("systemctl", "is-system-running").stdout.strip() in ("running", "degraded"):
                machine("ldconfig")  # for a Python below /usr/local
                return machine
        time.sleep(0.2)
    raise CannotBoot(f"systemd-nspawn did not boot: {log.read_text(errors='replace')[-300:]}")


def _is_inside(pid: int, root: Path) -> bool:
    """Whether a process has this root and processes of its own: a command there cannot reach the host's."""
    place, own = Path(f"/proc/{pid}"), Path("/proc/self/ns/pid").readlink()
    try:
        return (place / "root").samefile(root) and (place / "ns/pid").readlink() != own
    except OSError:
        return False


def _end(nspawn: subprocess.Popen[bytes]) -> None:
    """Once asks the system to halt; what is killed takes all of its processes along."""
    nspawn.terminate()
    try:
        nspawn.wait(20)
    except subprocess.TimeoutExpired:
        nspawn.kill()
        nspawn.wait()
