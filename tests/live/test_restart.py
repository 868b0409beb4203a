"""A real kernel that went on after an edit: what its archives and the repo's history tell of its runs."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import tarfile
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from collectord.kernel.evidence import executed_of, issue_text_of
from collectord.kernel.policy import normalise
from collectord.kernel.policy.documents import parse_yaml
from collectord.kernel.policy.feasible import Verdict, judge
from tests.support.cli import Cli

CORPUS = Path(__file__).with_name("restart.tar.gz")


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    repo = tmp_path / "repo"
    with tarfile.open(CORPUS) as tar:
        tar.extractall(repo, filter="tar")
    return Cli(repo, tmp_path)


def _timeline(repo: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((repo / "timeline.json").read_text())
    return found


def _ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def _git(repo: Path, *args: str, at: str) -> None:
    names = {f"GIT_{who}_{what}": "t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    dates = {"GIT_AUTHOR_DATE": at, "GIT_COMMITTER_DATE": at}
    environ = {**names, **dates, "GIT_CONFIG_GLOBAL": os.devnull, "PATH": os.environ["PATH"]}
    subprocess.run(["git", "-C", str(repo), *args], env=environ, check=True, capture_output=True)


def _commit_configurations(repo: Path) -> None:
    for config in _timeline(repo)["config"]:
        at = config["since"].partition(".")[0].rstrip("Z") + "Z"
        if not (repo / ".git").exists():
            _git(repo, "init", "-q", at=at)
        shutil.copy(repo / config["file"], repo / ".cyntra/config.yaml")
        _git(repo, "add", "-f", ".cyntra/config.yaml", at=at)
        _git(repo, "commit", "-q", "-m", config["file"], at=at)


def _manifests(repo: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(repo.glob(".cyntra/archives/*/manifest.json"))]


def _dispatched_ms(manifest: dict[str, Any]) -> int:
    return _ms(manifest["planner"]["planner_input"]["created_at"])


def test_what_contradicts_the_edit_is_of_the_first_epoch_and_the_second_process_of_the_second(
    cli: Cli,
) -> None:
    _commit_configurations(cli.repo)
    cli.ok("ingest")
    cli.ok("environment", "backfill")
    epochs = json.loads(cli.ok("epoch", "list", "--json"))["epochs"]
    epoch_of = {
        name: epoch["number"]
        for epoch in epochs
        for name in json.loads(cli.ok("epoch", "show", str(epoch["number"]), "--json"))["runs"]
    }
    times = _timeline(cli.repo)
    edited, restarted = _ms(times["config"][1]["since"]), _ms(times["kernel"][1]["started"])
    assert [epoch["number"] for epoch in epochs] == [1, 2]
    for manifest in _manifests(cli.repo):
        name, at_ms = manifest["workcell_id"], _dispatched_ms(manifest)
        width = manifest["planner"]["executed_plan"]["max_candidates_executed"]
        if at_ms < edited or width == 3:
            assert epoch_of[name] == 1, name
        if at_ms >= restarted:
            assert epoch_of[name] == 2, name
    alerts = json.loads(cli.ok("drift", "list", "--json"))["alerts"]
    assert [a for a in alerts if a["event"] == "labels.contradiction" and a["state"] == "open"] == []
    forced = next(
        m
        for m in _manifests(cli.repo)
        if m["planner"]["executed_plan"]["max_candidates_executed"] == 3 and _dispatched_ms(m) > edited
    )
    assert "the policy gives ×2 at the most" in cli.ok("explain", forced["workcell_id"])


def test_no_run_is_impossible_under_the_configuration_that_its_process_had_read(cli: Cli) -> None:
    restarted = _ms(_timeline(cli.repo)["kernel"][1]["started"])
    edited = _ms(_timeline(cli.repo)["config"][1]["since"])
    first, second = (
        normalise(parse_yaml((cli.repo / f"config/{number}.yaml").read_bytes())).components
        for number in (1, 2)
    )
    against_second = []
    for manifest in _manifests(cli.repo):
        executed, text = executed_of(manifest), issue_text_of(manifest)
        assert executed is not None
        had = first if _dispatched_ms(manifest) < restarted else second
        found = judge(had, executed, text, lambda _pattern, _text: None)
        assert found.verdict is Verdict.POSSIBLE, (manifest["workcell_id"], found.reason)
        late = edited <= _dispatched_ms(manifest) < restarted
        if late and judge(second, executed, text, lambda _p, _t: None).verdict is Verdict.IMPOSSIBLE:
            against_second.append(executed.candidates)
    assert against_second == [3, 3, 3]


def test_an_older_index_says_once_which_runs_moved_and_why(cli: Cli) -> None:
    _commit_configurations(cli.repo)
    cli.ok("ingest")
    cli.ok("environment", "backfill")
    with closing(sqlite3.connect(cli.index)) as older, older:  # as 0003 left it: nobody asked for actions
        older.execute("UPDATE runs SET executed = NULL, issue_text = NULL, time_conflict = NULL")
        older.execute("DELETE FROM index_info WHERE key = 'environment_rule'")
    for _ in range(2):
        cli.ok("ingest")
    alerts = json.loads(cli.ok("drift", "list", "--json"))["alerts"]
    [moved] = [alert["fields"] for alert in alerts if alert["event"] == "epoch.reassigned"]
    assert moved["runs"] >= 3
    assert any("the policy gives ×2 at the most" in why for why in moved["why"])
    assert "epoch.reassigned" in cli.ok("drift", "list")
    assert "fine" in cli.ok("db", "check")
    with closing(sqlite3.connect(cli.index)) as index:
        assert index.execute("SELECT count(*) FROM runs WHERE executed IS NULL").fetchone() == (0,)
