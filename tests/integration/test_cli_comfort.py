"""What people type when they do not look it up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from collectord.cli.main import COMMANDS, GROUPS, to_the_front
from collectord.cli.output import fitting
from tests.support.archives import Maker
from tests.support.cli import Cli
from tests.support.daemon import configure
from tests.support.terminal import Terminal


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


def test_rebuild_and_stats_are_other_names_for_scripts(ingested: Cli) -> None:
    assert ingested.ok("rebuild", "--json") == ingested.ok("db", "rebuild", "--json")
    assert ingested.ok("stats", "--json") == ingested.ok("status", "--stats", "--json")
    assert "  rebuild " not in ingested.ok("--help")


def test_quiet_leaves_out_notes_and_no_error(bare: Cli) -> None:
    Maker(bare.repo).add(2)
    bare.ok("ingest")
    assert "only the newest 1" in bare("runs", "--limit", "1").stderr
    assert bare("runs", "-q", "--limit", "1").stderr == ""
    assert "does not exist" in bare("--quiet", "verify", "no/such").stderr
    assert bare("-q", "-v", "runs").returncode == 2


def test_verbose_prints_every_archive(bare: Cli) -> None:
    names = Maker(bare.repo).add(30)
    said = bare.ok("ingest", "--verbose")
    assert {f"{name}: indexed" for name in names} == set(said.splitlines()[:-1])


def test_help_of_a_group_is_not_cut(bare: Cli) -> None:
    said = " ".join(bare.ok("db", "--help").split())
    assert "Copy the index beside whatever writes it, check the copy, and remove the oldest" in said
    assert "…" not in said


def test_config_show_has_the_units_that_were_written(bare: Cli) -> None:
    configure(bare, "settle: {long: 90s}\nlimits: {json_bytes: 4MiB}\nretention: {logs_older_than: 48h}\n")
    rows = dict(line.split("\t")[:2] for line in bare.ok("config", "show").splitlines())
    assert rows["settle.long"] == "90s"
    assert rows["limits.json_bytes"] == "4MiB"
    assert rows["retention.logs_older_than"] == "48h"
    assert (rows["settle.stalled_after"], rows["backup.keep"]) == ("1h", "7")
    values = json.loads(bare.ok("config", "show", "--json"))["values"]
    assert values["settle.long"]["value"] == 90


def test_histories_are_rebuilt_where_that_is_asked_for(bare: Cli) -> None:
    def exported(*options: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(bare.ok("export", "--dry-run", "--json", *options))
        return found

    Maker(bare.repo).add(20)
    bare.ok("ingest")
    recorded, rebuilt = exported(), exported("--histories", "rebuilt")
    assert recorded["input_hashes"]
    assert not rebuilt["input_hashes"]
    assert recorded["example_count"] == rebuilt["example_count"]
    bare.ok("export", "--histories", "rebuilt")
    bare.ok("verify", "latest", "--rebuild")
    assert bare("export", "--profile", "builder", "--histories", "rebuilt").returncode == 2


def test_tables_fit_eighty_columns_and_cut_no_name(ingested: Cli) -> None:
    [name] = [run["name"] for run in json.loads(ingested.ok("runs", "--json", "--limit", "1"))["runs"]]
    with Terminal(ingested, 80, 24, "runs", "--limit", "3") as narrow:
        lines = narrow.shows("dispatched", "status", name)
    assert not any("…" in line for line in lines)
    with Terminal(ingested, 160, 24, "runs", "--limit", "3") as wide:
        wide.shows("dispatched", "toolchain", "archive", name)


def test_columns_go_in_the_order_given_until_a_table_fits() -> None:
    widths = {"name": 20, "plan": 10, "state": 8, "why": 60}
    assert fitting(widths, ("plan", "state"), 200, "why") == (["name", "plan", "state", "why"], 200)
    assert fitting(widths, ("plan", "state"), 60, "why") == (["name", "state", "why"], 60)
    assert fitting(widths, ("plan", "state"), 20, "why") == (["name", "why"], 46)


def test_the_shell_completes_names_of_archives(ingested: Cli) -> None:
    [name] = [run["name"] for run in json.loads(ingested.ok("runs", "--json", "--limit", "1"))["runs"]]
    words = f"collectord --repo {ingested.repo} explain {name[:-2]}"
    asked = {"_COLLECTORD_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": "4"}
    done = ingested(env=asked)
    assert f"plain,{name}" in done.stdout.splitlines()
    assert ingested(env={**asked, "COMP_WORDS": "collectord --repo /nowhere explain wc"}).stdout.strip() == ""
