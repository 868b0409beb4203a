"""systemd itself finds nothing wrong with the units, and little that the system ones leave exposed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from collectord.service import ServiceKind, render, service_name, template

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="systemd-analyze IS MISSING: NO UNIT FILE WAS CHECKED; install systemd to run these tests",
)

MOST_EXPOSED = 2.0
WEIRD = [
    "plain",
    "with space",
    "50% off %h %%",
    "$HOME ${HOME} $$",
    "it's",
    'a "quote"',
    "back\\slash\\",
    "é;#=:-@",
]


def analyze(tmp_path: Path, *arguments: str | Path) -> str:
    """Everything that systemd-analyze says; fails with it where it fails."""
    environ = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "LC_ALL": "C", "SYSTEMD_COLORS": "0"}
    run = subprocess.run(["systemd-analyze", *arguments], env=environ, capture_output=True, text=True)
    assert run.returncode == 0, f"{run.stdout}{run.stderr}"
    return f"{run.stdout}{run.stderr}"


def complaints(tmp_path: Path, unit: Path, *options: str) -> list[str]:
    """What `verify` says about this unit; units of the host that it pulls in are none of our business."""
    said = analyze(tmp_path, "verify", *options, "--recursive-errors=no", unit)
    stem = unit.stem.partition("@")[0]
    return [line for line in said.splitlines() if stem in line]


def exposure(tmp_path: Path, unit: Path) -> float:
    said = analyze(tmp_path, "security", "--offline=true", "--no-pager", unit)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert found, said
    return float(found[1])


def written(tmp_path: Path, kind: ServiceKind, repo: Path, python: Path) -> Path:
    folders = [repo / ".cyntra/state/collectord", repo / ".cyntra/benches"]
    config = repo / "collectord.yaml"
    text = render(kind, python=python, repo=repo, config=config, read_write=folders, user="daemon")
    unit = tmp_path / service_name(kind, repo)
    unit.write_text(text)
    return unit


@pytest.mark.parametrize("name", ["collectord.service", "collectord@.service"])
def test_the_shipped_system_units_are_clean_and_closed(name: str, tmp_path: Path) -> None:
    assert complaints(tmp_path, template(name)) == []
    assert exposure(tmp_path, template(name)) <= MOST_EXPOSED


@pytest.mark.parametrize("name", ["collectord.service", "collectord@.service", "collectord-user.service"])
def test_no_unit_hides_the_kernel_that_runs_as_the_same_user(name: str) -> None:
    given = dict(
        line.split("=", 1)
        for line in template(name).read_text().splitlines()
        if line[:1].isupper() and "=" in line
    )
    # Each was tried: in a user namespace of its own, or without /proc/stat, a look sees nothing.
    for hiding in ("PrivateUsers", "PrivatePIDs", "ProcSubset"):
        assert hiding not in given
    assert given.get("ProtectProc") in (None, "default", "invisible")


def test_the_shipped_user_unit_is_clean(tmp_path: Path) -> None:
    assert complaints(tmp_path, template("collectord-user.service"), "--user") == []


def test_a_rendered_system_unit_is_as_closed_as_the_shipped_one(tmp_path: Path) -> None:
    unit = written(tmp_path, "system", Path("/srv/project"), Path("/opt/collectord/bin/python"))
    assert exposure(tmp_path, unit) == exposure(tmp_path, template("collectord.service"))


@pytest.mark.parametrize("weird", WEIRD)
@pytest.mark.parametrize("kind", ["system", "user"])
def test_a_rendered_unit_is_clean_whatever_its_paths_are_called(
    kind: ServiceKind, weird: str, tmp_path: Path
) -> None:
    (tmp_path / weird).mkdir()
    python = tmp_path / weird / "python"
    python.symlink_to(sys.executable)
    unit = written(tmp_path, kind, tmp_path / weird, python)
    assert complaints(tmp_path, unit, f"--{kind}") == []


@pytest.mark.parametrize("weird", [name for name in WEIRD if not set(name) & set("'\"\\")])
def test_systemd_looks_for_the_very_interpreter_that_was_named(weird: str, tmp_path: Path) -> None:
    missing = tmp_path / weird / "python"
    unit = written(tmp_path, "system", Path("/srv/project"), missing)
    run = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert f"Command {missing} is not executable" in run.stderr


def test_a_mistake_in_a_unit_would_be_noticed(tmp_path: Path) -> None:
    unit = tmp_path / "collectord-mistaken.service"
    unit.write_text(template("collectord.service").read_text().replace("WatchdogSec=", "WatchdogSecs="))
    with pytest.raises(AssertionError, match="Unknown key"):
        complaints(tmp_path, unit)


def test_an_open_unit_would_be_noticed(tmp_path: Path) -> None:
    unit = tmp_path / "collectord-open.service"
    unit.write_text("[Service]\nExecStart=/bin/true\n")
    assert exposure(tmp_path, unit) > MOST_EXPOSED
