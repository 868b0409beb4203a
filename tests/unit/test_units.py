"""Service files say what was meant whatever the paths look like, and never replace somebody's own work."""

from __future__ import annotations

import os
import plistlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectord import service
from collectord.errors import CollectordError, UsageError
from collectord.service import ServiceKind, after_install, after_uninstall, install, render, uninstall

KINDS: list[ServiceKind] = ["system", "user", "launchd"]
REPO = Path("/srv/project")
PATHS = st.text(
    st.characters(exclude_categories=["Cc", "Cs"]) | st.sampled_from(" \\\"'%$;#{}=-+@:!~*"), min_size=1
).map(lambda name: f"/{name}")


def rendered(kind: ServiceKind, repo: Path = REPO, **changes: object) -> str:
    settings: dict[str, object] = {
        "python": Path("/opt/collectord/bin/python"),
        "config": None,
        "read_write": [repo / ".cyntra/state/collectord", repo / ".cyntra/benches"],
        "user": "cyntra",
        "log": None,
    }
    return render(kind, repo=repo, **(settings | changes))  # type: ignore[arg-type]


def setting(text: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)


def read_words(line: str) -> list[str]:
    """What systemd reads out of a list: systemd.syntax(7), then %-specifiers (only %% may occur)."""
    found = []
    for part in re.findall(r'(?:"(?:[^"\\]|\\.)*"|[^\s"])+', line):
        plain = re.sub(r'"((?:[^"\\]|\\.)*)"', lambda quoted: re.sub(r"\\(.)", r"\1", quoted[1]), part)
        assert "%" not in plain.replace("%%", "")
        found.append(plain.replace("%%", "%"))
    return found


def read_command(line: str) -> list[str]:
    argv = read_words(line.removeprefix(":"))
    assert line.startswith(":") or not any("$" in word for word in argv)
    return argv[3:] if argv[:3] == ["/bin/sh", "-c", 'exec "$0" "$@"'] else argv


@given(st.lists(PATHS, min_size=1))
def test_systemd_reads_the_words_that_were_written(paths: list[str]) -> None:
    assert read_words(" ".join(service.word(path) for path in paths)) == paths


@given(st.lists(PATHS, min_size=1))
def test_systemd_starts_the_command_that_was_meant(argv: list[str]) -> None:
    assert read_command(service.command(argv)) == argv


@given(PATHS, PATHS, PATHS)
def test_a_system_unit_names_every_path_as_it_is(repo: str, python: str, config: str) -> None:
    state = Path(repo, "state folder")
    try:
        text = rendered("system", Path(repo), python=Path(python), config=Path(config), read_write=[state])
    except UsageError:
        assert any(".." in Path(path).parts for path in (repo, python, config))
        return
    (command,) = setting(text, "ExecStart")
    expected = [python, "-m", "collectord", "--repo", repo, "--config", config, "run"]
    assert read_command(command) == [str(Path(word)) if word[0] == "/" else word for word in expected]
    assert setting(text, "ReadWritePaths") == [service.word(f"-{state}")]
    assert not any(line.endswith("\\") for line in text.split("\n"))


@given(PATHS)
def test_a_property_list_names_every_path_as_it_is(repo: str) -> None:
    try:
        values = plistlib.loads(rendered("launchd", Path(repo)).encode())
    except UsageError:
        assert ".." in Path(repo).parts
        return
    assert values["ProgramArguments"][3:] == ["--repo", str(Path(repo)), "run"]


def test_the_service_runs_this_interpreter_on_this_repo() -> None:
    (command,) = setting(rendered("user", config=Path("/etc/c.yaml")), "ExecStart")
    argv = "/opt/collectord/bin/python -m collectord --repo /srv/project --config /etc/c.yaml run"
    assert command == argv
    values = plistlib.loads(rendered("launchd", log=Path("/Users/a/l.log")).encode())
    assert values["ProgramArguments"] == [
        word for word in argv.split() if "c.y" not in word and word != "--config"
    ]
    assert values["StandardErrorPath"] == "/Users/a/l.log"
    assert values["Label"] == service.service_name("launchd", REPO)


def test_without_a_log_launchd_gets_no_path_of_somebody_else() -> None:
    assert "/Users/" not in rendered("launchd")


def test_no_folder_has_to_exist() -> None:
    assert setting(rendered("system"), "ReadWritePaths") == [
        "-/srv/project/.cyntra/state/collectord",
        "-/srv/project/.cyntra/benches",
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_rendering_twice_gives_the_same_text(kind: ServiceKind) -> None:
    assert rendered(kind) == rendered(kind)


@pytest.mark.parametrize(
    ("changes", "private"),
    [
        ({}, "yes"),
        ({"repo": Path("/tmp/project")}, "no"),
        ({"python": Path("/var/tmp/venv/bin/python")}, "no"),
        ({"config": Path("/tmp/c.yaml")}, "no"),
        ({"repo": Path("/tmpfs/project")}, "yes"),
    ],
)
def test_a_service_that_works_in_tmp_gets_no_tmp_of_its_own(changes: dict[str, Path], private: str) -> None:
    assert setting(rendered("system", **changes), "PrivateTmp") == [private]


@pytest.mark.parametrize("user", [None, "", "two words", "a:b", "-a", "a%b", "a\nExecStart=/bin/sh"])
def test_a_system_unit_needs_a_user_that_can_be_one(user: str | None) -> None:
    with pytest.raises(UsageError, match="user"):
        rendered("system", user=user)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("repo", ["/a\nExecStartPre=/bin/sh", "/a\x7f", "/a\udcff", "relative", "/a/../b"])
def test_a_path_that_cannot_be_written_down_is_refused(kind: ServiceKind, repo: str) -> None:
    with pytest.raises(UsageError, match=r"rename|absolute"):
        rendered(kind, Path(repo))


def test_repos_of_one_name_get_services_of_different_names() -> None:
    first, second = (
        service.service_name("system", Path("/a/repo")),
        service.service_name("system", Path("/b/repo")),
    )
    assert first != second
    assert re.fullmatch(r"collectord-repo-[0-9a-f]{6}\.service", first)


@given(PATHS)
def test_every_repo_has_a_valid_and_short_service_name(repo: str) -> None:
    assert re.fullmatch(r"collectord-[A-Za-z0-9_.-]{1,47}\.service", service.service_name("user", Path(repo)))


def test_where_service_files_go() -> None:
    home = Path("/home/a")
    system, user, launchd = (
        service.service_path(kind, REPO, home=home, config_home=None).parent for kind in KINDS
    )
    assert (system, user) == (Path("/etc/systemd/system"), home / ".config/systemd/user")
    assert launchd == home / "Library/LaunchAgents"
    elsewhere = service.service_path("user", REPO, home=home, config_home=Path("/cfg"))
    assert elsewhere.parent == Path("/cfg/systemd/user")
    assert service.log_path(REPO, home=home).parent == home / "Library/Logs"


def test_the_commands_to_type_name_the_service_and_quote_its_file() -> None:
    name = service.service_name("system", REPO)
    assert after_install("system", REPO, path=Path("/x")) == (
        "sudo systemctl daemon-reload",
        f"sudo systemctl enable {name}",
        f"sudo systemctl restart {name}",
    )
    user = after_install("user", REPO, path=Path("/x"))
    assert user[0] == "systemctl --user daemon-reload"
    assert user[-1].startswith("loginctl enable-linger")
    mac = after_install("launchd", REPO, path=Path("/a b.plist"))
    assert mac[0].endswith("launchctl bootstrap gui/$(id -u) '/a b.plist'")


def test_a_system_unit_makes_its_folders_out_of_its_sandbox_as_its_user() -> None:
    [line] = [line for line in rendered("system").splitlines() if line.startswith("ExecStartPre=")]
    assert line.startswith("ExecStartPre=-+/usr/bin/setpriv --clear-groups --reuid=")
    assert "/usr/bin/mkdir -p /" in line


def test_the_folders_are_made_as_their_owner_would_and_only_once(tmp_path: Path) -> None:
    state = tmp_path / ".cyntra/state/collectord"
    assert service.make_folders([state], tmp_path) == [state.parent.parent, state.parent, state]
    assert state.stat().st_mode & 0o777 == 0o700
    assert service.make_folders([state], tmp_path) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_commands_after_uninstalling_stop_the_service(kind: ServiceKind) -> None:
    assert any("stop" in line or "bootout" in line for line in after_uninstall(kind, REPO))


@pytest.mark.parametrize("kind", KINDS)
def test_installing_and_uninstalling_can_be_repeated(kind: ServiceKind, tmp_path: Path) -> None:
    target = tmp_path / "not" / "yet" / "unit"
    assert [install(target, rendered(kind)) for _ in range(2)] == ["created", "unchanged"]
    assert target.stat().st_mode & 0o777 == 0o644
    assert install(target, rendered(kind, Path("/other"))) == "updated"
    assert target.read_text() == rendered(kind, Path("/other"))
    assert [uninstall(target) for _ in range(2)] == ["removed", "absent"]
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("edit", ["append", "change", "remove the mark", "empty", "not text"])
def test_a_file_changed_by_hand_stays_unless_forced(kind: ServiceKind, edit: str, tmp_path: Path) -> None:
    target = tmp_path / "unit"
    install(target, rendered(kind))
    text = target.read_bytes()
    edited = {
        "append": text + b"\n",
        "change": text.replace(b"collectord", b"collector", 3),
        "remove the mark": b"".join(text.splitlines(True)[2:]),
        "empty": b"",
        "not text": b"\xff" + text,
    }[edit]
    target.write_bytes(edited)
    for attempt in (lambda: install(target, rendered(kind)), lambda: uninstall(target)):
        with pytest.raises(CollectordError, match="--force"):
            attempt()
    assert target.read_bytes() == edited
    assert install(target, rendered(kind), force=True) == "updated"
    target.write_bytes(edited)
    assert uninstall(target, force=True) == "removed"


def test_a_masked_unit_stays_and_forcing_replaces_the_link_not_its_target(tmp_path: Path) -> None:
    target, other = tmp_path / "x.service", tmp_path / "other"
    other.write_text("other")
    target.symlink_to(other)
    for attempt in (lambda: install(target, rendered("system")), lambda: uninstall(target)):
        with pytest.raises(CollectordError, match="not written by collectord"):
            attempt()
    assert install(target, rendered("system"), force=True) == "updated"
    assert not target.is_symlink()
    assert other.read_text() == "other"


def test_uninstalling_takes_the_links_along_that_enabled_the_unit(tmp_path: Path) -> None:
    target, wants = tmp_path / "x.service", tmp_path / "multi-user.target.wants"
    install(target, rendered("system"))
    wants.mkdir()
    (wants / "x.service").symlink_to(target)
    (wants / "other.service").symlink_to(tmp_path / "other.service")
    uninstall(target)
    assert os.listdir(wants) == ["other.service"]


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CollectordError, match="cannot write"):
        install(tmp_path / "file" / "x.service", rendered("system"))
    (tmp_path / "x.service").mkdir()
    with pytest.raises(CollectordError, match=r"cannot write .*x\.service"):
        install(tmp_path / "x.service", rendered("system"), force=True)
    with pytest.raises(CollectordError, match=r"cannot remove .*x\.service"):
        uninstall(tmp_path / "x.service", force=True)


def test_the_two_system_units_differ_in_paths_only() -> None:
    assert service.common_part("collectord.service") == service.common_part("collectord@.service")
    assert "/srv" not in service.common_part("collectord.service")


def test_the_user_unit_asks_for_nothing_that_needs_privileges() -> None:
    needs = (
        "Private|Protect|ReadWrite|Bind|Capability|Ambient|Device|Keyring|IPAddress|RemoveIPC|User=|Group="
    )
    lines = service.template("collectord-user.service").read_text().splitlines()
    assert not [line for line in lines if re.match(needs, line)]


@pytest.mark.parametrize("name", ["collectord.service", "collectord@.service", "collectord-user.service"])
def test_every_unit_tells_restarts_from_those_that_cannot_help(name: str) -> None:
    text = service.template(name).read_text()
    assert setting(text, "RestartPreventExitStatus") == ["75 78"]
    assert setting(text, "Type") == ["notify"]
    assert setting(text, "Restart") == ["on-failure"]


def test_an_installed_package_finds_its_own_templates_not_another_systemd(tmp_path: Path) -> None:
    source = Path(service.__file__).parent
    shutil.copytree(source, tmp_path / "collectord", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(service.template("collectord.service").parent, tmp_path / "collectord" / "_systemd")
    (tmp_path / "systemd").mkdir()
    (tmp_path / "systemd" / "collectord.service").write_text("another")
    code = "from collectord.service import template; print(template('collectord.service'))"
    environ = {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    found = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, cwd="/")
    assert found.stdout.strip() == str(tmp_path / "collectord" / "_systemd" / "collectord.service"), (
        found.stderr
    )


def test_a_missing_template_says_that_the_installation_is_incomplete() -> None:
    with pytest.raises(FileNotFoundError, match="install collectord again"):
        service.template("nothing.service")
