"""`collectord service` as its users meet it: files below a folder, no service manager touched."""

from __future__ import annotations

import os
import plistlib
import pwd
import sys
from pathlib import Path

import pytest

from collectord.errors import UsageError
from collectord.service import service_file, service_name
from tests.conftest import unpack
from tests.support.cli import Cli


def unit_of(cli: Cli, root: Path, *, system: bool = True) -> Path:
    folder = "etc/systemd/system" if system else str(cli.home / ".config/systemd/user").lstrip("/")
    return root / folder / service_name("system" if system else "user", cli.repo)


def test_installing_twice_writes_once_and_says_what_to_run(bare: Cli, tmp_path: Path) -> None:
    root = tmp_path / "root"
    unit = unit_of(bare, root)
    first = bare.ok("service", "install", "--system", "--root", str(root)).splitlines()
    owner = pwd.getpwuid(bare.repo.stat().st_uid).pw_name
    assert first[0] == f"created {unit}: a service of the machine, run as {owner}"
    assert f"  sudo systemctl enable {unit.name}" in first
    assert "  sudo systemctl daemon-reload" in first
    again = bare.ok("service", "install", "--system", "--root", str(root)).splitlines()
    assert again[0].startswith(f"unchanged {unit}: ")
    assert unit.read_text() == bare.ok("service", "print", "--system")


def test_uninstalling_twice_removes_once(bare: Cli, tmp_path: Path) -> None:
    root = tmp_path / "root"
    place = ("--user", "--root", str(root))
    bare.ok("service", "install", *place)
    assert bare.ok("service", "uninstall", *place).startswith("removed ")
    assert not unit_of(bare, root, system=False).exists()
    assert bare.ok("service", "uninstall", *place).startswith("nothing to do")


def test_with_a_root_the_file_is_all_that_is_made(bare: Cli, tmp_path: Path) -> None:
    before = sorted(bare.repo.rglob("*"))
    said = bare.ok("service", "install", "--user", "--root", str(tmp_path / "root"))
    assert ": a service of yours" in said
    assert "made" not in said
    assert sorted(bare.repo.rglob("*")) == before


def test_a_user_whom_the_machine_does_not_know_is_noted(bare: Cli, tmp_path: Path) -> None:
    place = ("--system", "--root", str(tmp_path / "root"))
    done = bare("service", "install", *place, "--run-as", "nobody-of-that-name")
    assert done.returncode == 0
    assert "there is no user nobody-of-that-name on this machine" in done.stderr
    assert "there is no user" not in bare("service", "install", *place).stderr


def test_a_unit_changed_by_hand_stays_until_forced(bare: Cli, tmp_path: Path) -> None:
    place = ("--system", "--root", str(tmp_path / "root"))
    bare.ok("service", "install", *place)
    unit = unit_of(bare, tmp_path / "root")
    unit.write_text(unit.read_text() + "Nice=5\n")
    for verb in ("install", "uninstall"):
        done = bare("service", verb, *place)
        assert done.returncode == 1
        assert "changed by hand" in done.stderr
    assert bare.ok("service", "install", "--force", *place).startswith("updated ")


def test_the_unit_starts_this_interpreter_with_this_repo_and_configuration(bare: Cli) -> None:
    (bare.home / "other.yaml").write_text("log:\n  level: debug\n")
    config = bare.home / "other.yaml"
    text = bare.ok("--config", str(config), "service", "print", "--system", "--run-as", "cyntra")
    started = f"{sys.executable} -m collectord --repo {bare.repo} --config {config} run"
    assert f"ExecStart={started}\n" in text
    assert "User=cyntra\n" in text
    assert f"ReadWritePaths=-{bare.repo}/.cyntra/state/collectord\n" in text
    assert "--config" not in bare.ok("service", "print", "--user")


def test_settings_of_this_shell_that_the_service_will_not_see_are_named(bare: Cli, tmp_path: Path) -> None:
    place = ("--user", "--root", str(tmp_path / "root"))
    done = bare("service", "install", *place, env={"COLLECTORD_WATCH_MODE": "poll"})
    assert done.returncode == 0
    assert "watch.mode" in done.stderr


def test_on_macos_it_is_a_property_list_of_the_user(tmp_path: Path, settings_for: object) -> None:
    settings = settings_for(unpack("universe", tmp_path / "repo"))  # type: ignore[operator]
    environ = {"HOME": "/Users/a"}
    file = service_file(settings, system=False, run_as=None, environ=environ, platform="darwin")
    values = plistlib.loads(file.text.encode())
    assert values["ProgramArguments"][1:] == ["-m", "collectord", "--repo", str(settings.repo), "run"]
    assert file.path.parent == Path("/Users/a/Library/LaunchAgents")
    assert values["StandardErrorPath"].startswith("/Users/a/Library/Logs/")
    with pytest.raises(UsageError, match="macOS"):
        service_file(settings, system=True, run_as=None, environ=environ, platform="darwin")


def test_a_folder_that_cannot_be_written_is_told_without_a_traceback(bare: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = bare("service", "install", "--system", "--root", str(tmp_path / "file"))
    assert done.returncode == 1
    assert done.stderr.startswith("collectord: cannot write ")
    assert os.listdir(tmp_path / "repo/.cyntra") == ["archives"]


def test_a_system_service_may_write_to_archives_only_where_it_prunes(bare: Cli) -> None:
    line = f"ReadWritePaths=-{bare.archives}\n"
    assert line not in bare.ok("service", "print", "--system")
    (bare.repo / ".cyntra/collectord.yaml").write_text("retention: {logs_older_than: 14d}\n")
    assert line in bare.ok("service", "print", "--system")
