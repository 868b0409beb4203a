"""What people type when they do not look it up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from collectord.cli.main import COMMANDS, GROUPS, to_the_front
from tests.support.archives import Maker
from tests.support.cli import Cli


def test_every_command_stands_in_one_group_of_the_help(bare: Cli) -> None:
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(COMMANDS)
    shown = bare.ok("--help")
    assert all(f"{title}:" in shown for title in GROUPS)


@pytest.mark.parametrize(
    ("given", "front"),
    [
        (["status", "--repo", "x"], ["--repo", "x", "status"]),
        (["status", "--repo=x", "--json"], ["--repo=x", "status", "--json"]),
        (["db", "check", "--config", "c"], ["--config", "c", "db", "check"]),
        (["ingest", "--", "--repo", "x"], ["ingest", "--", "--repo", "x"]),
        (["--repo", "x", "runs"], ["--repo", "x", "runs"]),
    ],
)
def test_the_options_of_all_commands_are_taken_after_the_command_too(
    given: list[str], front: list[str]
) -> None:
    assert to_the_front(given) == front


def test_env_is_environment_and_the_repo_may_come_last(bare: Cli) -> None:
    Maker(bare.repo).add(1)
    bare.ok("ingest")
    shown = json.loads(bare("env", "show", "--json", "--repo", str(bare.repo), repo=False).stdout)
    assert shown["schema"] == "collectord.environment.v1"


def test_datasets_are_named_by_path_by_name_and_as_the_latest(bare: Cli) -> None:
    Maker(bare.repo).add(3)
    bare.ok("ingest")
    path = Path(json.loads(bare.ok("export", "--epoch", "all", "--json"))["path"])
    for given in ("latest", path.name, str(path)):
        assert "verified" in bare.ok("verify", given)
    assert "the same rows and environment" in bare.ok("diff", "latest", path.name)
    assert bare("verify", "/no/where").stderr == "collectord: /no/where: does not exist\n"


def test_explain_takes_an_issue_and_the_beginning_of_a_name(bare: Cli) -> None:
    names = Maker(bare.repo).add(2)
    bare.ok("ingest")
    assert names[0] in bare.ok("explain", names[0][:-3])
    issue = json.loads(bare.ok("runs", "--json"))["runs"][0]
    assert issue["name"] in bare.ok("explain", issue["issue_id"])
    assert "2 archives begin with that" in bare("explain", "wc-").stderr


def test_an_option_that_means_nothing_is_refused_and_not_dropped(bare: Cli) -> None:
    done = bare("service", "print", "--user", "--run-as", "somebody")
    assert done.returncode == 2
    assert "--run-as goes with --system" in done.stderr
