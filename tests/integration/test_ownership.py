"""What `sudo` does to somebody else's repo: nothing that its owner cannot use afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import unpack

NOBODY = 65534
ROOT = Path(__file__).resolve().parents[2]
# An interpreter that every user may run; the one of the tests can lie in a private home.
PYTHON = Path("/usr/bin/python3")
_NEEDS = "SKIPPED, OWNERSHIP UNPROVEN: needs root and /usr/bin/python3 of the same version"


def _same_python() -> bool:
    code = "import sys; print(sys.version_info[:2])"
    try:
        done = subprocess.run([str(PYTHON), "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return done.stdout.strip() == str(sys.version_info[:2])


pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not _same_python(), reason=_NEEDS)


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Path]:
    """A repo that belongs to nobody, in a place where they may walk."""
    place = Path("/var/tmp") / f"collectord-{os.getpid()}-{tmp_path.name}"
    found = unpack("kernel-run", place / "repo")
    for folder, _, files in os.walk(place):
        os.chown(folder, NOBODY, NOBODY)
        for name in files:
            os.chown(Path(folder) / name, NOBODY, NOBODY, follow_symlinks=False)
    yield found
    shutil.rmtree(place)


def command(repo: Path, *arguments: str, uid: int = 0) -> subprocess.CompletedProcess[str]:
    path = f"{ROOT}:{sysconfig.get_paths()['purelib']}"
    env = {"PATH": os.environ["PATH"], "HOME": str(repo.parent), "PYTHONPATH": path, "TZ": "UTC"}
    argv = [str(PYTHON), "-m", "collectord", "--repo", str(repo), *arguments]
    who = {"user": uid, "group": uid, "extra_groups": ()} if uid else {}
    return subprocess.run(argv, capture_output=True, text=True, env=env, cwd="/", check=False, **who)  # type: ignore[call-overload,no-any-return]


def owners(folder: Path) -> set[int]:
    return {path.lstat().st_uid for path in [folder, *folder.rglob("*")]}


def test_root_acts_as_the_owner_and_says_so(repo: Path) -> None:
    for arguments in (("ingest",), ("export",), ("db", "backup"), ("audit",)):
        done = command(repo, *arguments)
        assert done.returncode == 0, done.stderr
        assert f"acting as {pwd.getpwuid(NOBODY).pw_name}" in done.stderr
    assert owners(repo) == {NOBODY}
    again = command(repo, "export", uid=NOBODY)
    assert again.returncode == 0, again.stderr
    assert "acting as" not in again.stderr


def test_a_cache_that_cannot_be_used_counts_as_absent(repo: Path) -> None:
    assert command(repo, "ingest", uid=NOBODY).returncode == 0
    cache = repo / ".cyntra/state/collectord/cache"
    cache.mkdir(exist_ok=True)
    for path in (cache, *cache.iterdir()):
        os.chown(path, 0, 0)
        path.chmod(0o700 if path.is_dir() else 0o600)
    for arguments in (("export",), ("audit",), ("status",)):
        done = command(repo, *arguments, uid=NOBODY)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    found = command(repo, "doctor", uid=NOBODY)
    assert "act   ownership: " in found.stdout
    assert str(cache) in found.stdout
    assert f"chown -R {pwd.getpwuid(NOBODY).pw_name}" in found.stdout


def test_an_owner_who_cannot_read_the_installation_is_told_what_to_do(repo: Path, tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    hidden = tmp_path / "hidden"
    shutil.copytree(ROOT / "collectord", hidden / "collectord", ignore=shutil.ignore_patterns("__pycache__"))
    hidden.chmod(0o700)
    env["PYTHONPATH"] = f"{hidden}:{sysconfig.get_paths()['purelib']}"
    argv = [str(PYTHON), "-m", "collectord", "--repo", str(repo), "ingest"]
    done = subprocess.run(argv, capture_output=True, text=True, env=env, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "sudo -u " in done.stderr
    assert owners(repo) == {NOBODY}
