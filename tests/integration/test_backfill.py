"""The history of the policy files gives older archives their environment; nothing of the repo is executed."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from collectord.repo import git_objects
from collectord.repo.git_objects import GitObjects, GitUnusable
from collectord.repo.git_tree import credible_times, policy_history
from tests.support.cli import Cli
from tests.support.small_kernel import SmallKernel

START = datetime(2025, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
NOW_MS = int((START + 500 * DAY).timestamp() * 1000)


def _git(repo: Path, *args: str, at: datetime | int = START) -> str:
    stamp = f"{at if isinstance(at, int) else int(at.timestamp())} +0000"
    names = {f"GIT_{who}_{what}": "t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    dates = {"GIT_AUTHOR_DATE": stamp, "GIT_COMMITTER_DATE": stamp}
    quiet = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        ["git", "-C", str(repo), *args],
        env={**names, **dates, **quiet},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def _commit(repo: Path, minutes: int, at: datetime, **files: str) -> str:
    config = repo / ".cyntra/config.yaml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(f"toolchains: {{codex: {{model: m1, timeout_minutes: {minutes}}}}}\n")
    for name, text in files.items():
        (repo / name).write_text(text)
    _git(repo, "add", ".cyntra/config.yaml", *files)
    _git(repo, "commit", "-q", "-m", "x", at=at)
    return _git(repo, "rev-parse", "HEAD")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    repo = tmp_path / "repo"
    (repo / ".cyntra/archives").mkdir(parents=True)
    _git(repo, "init", "-q", "-b", "main")
    return repo


def test_every_archive_of_a_year_of_edits_is_in_the_epoch_of_its_time(repo: Path, tmp_path: Path) -> None:
    edits = [(30 + month, START + month * 30 * DAY) for month in range(12)]
    for minutes, at in edits:
        _commit(repo, minutes, at)
        _commit(repo, minutes, at + DAY, README=f"not a policy file {minutes}")
        kernel = SmallKernel(repo)
        for day in range(2, 5):
            kernel.run(at + day * DAY)
    cli = Cli(repo, tmp_path)
    cli.ok("ingest")
    before = json.loads(cli.ok("epoch", "list", "--json"))["epochs"]
    assert {epoch["origin"] for epoch in before} == {"evidence", "policy"}
    done = json.loads(cli.ok("environment", "backfill", "--json"))
    assert (done["environments"], done["unreadable"], done["done"]) == (12, [], True)
    after = json.loads(cli.ok("epoch", "list", "--json"))["epochs"]
    assert [(e["number"], e["runs"], e["origin"], e["strays"]) for e in after] == [
        (number, 3, "policy", 0) for number in range(1, 13)
    ]
    stretches = json.loads(cli.ok("environment", "history", "--json"))["stretches"]
    assert [s["since_ms"] for s in stretches] == [int(at.timestamp() * 1000) for _, at in edits]
    assert {s["source"] for s in stretches} == {"git"}
    alerts = json.loads(cli.ok("drift", "list", "--json"))["alerts"]
    assert {a["state"] for a in alerts if a["event"] == "environment.unexplained"} == {"resolved"}
    cli.ok("environment", "backfill")
    assert json.loads(cli.ok("epoch", "list", "--json"))["epochs"] == after


def test_links_includes_and_genomes_of_a_commit_are_read_as_in_a_working_tree(repo: Path) -> None:
    (repo / ".cyntra").mkdir(exist_ok=True)
    (repo / "shared").mkdir()
    (repo / "shared/base.yaml").write_text("gates: {test_command: make}\n")
    (repo / ".cyntra/base.yaml").symlink_to("../shared/base.yaml")
    _git(repo, "add", "shared", ".cyntra/base.yaml")
    config = repo / ".cyntra/config.yaml"
    config.write_text("include: base.yaml\n")
    _git(repo, "add", str(config))
    _git(repo, "commit", "-q", "-m", "x")
    (repo / "shared/base.yaml").write_text("gates: {test_command: make all}\n")
    _git(repo, "commit", "-q", "-a", "-m", "y", at=START + DAY)
    found = list(policy_history(repo, NOW_MS))
    assert [past.surface and past.surface.components["gates"]["test_command"] for past in found] == [
        "make",
        "make all",
    ]


def test_a_commit_that_no_kernel_could_start_with_changes_nothing(repo: Path) -> None:
    _commit(repo, 30, START)
    (repo / ".cyntra/config.yaml").write_text("toolchains: [")
    _git(repo, "commit", "-q", "-a", "-m", "broken", at=START + DAY)
    _commit(repo, 40, START + 2 * DAY)
    found = list(policy_history(repo, NOW_MS))
    assert [past.surface is None for past in found] == [False, True, False]
    assert found[1].unreadable


def test_committers_whose_clock_went_back_do_not_turn_the_order_around(repo: Path) -> None:
    for minutes, days in ((30, 5), (40, 3), (50, 9)):
        _commit(repo, minutes, START + days * DAY)
    times = [past.commit.at_ms for past in policy_history(repo, NOW_MS)]
    assert times == sorted(times)


def test_a_commit_from_the_future_moves_no_later_commit_and_is_told(repo: Path, tmp_path: Path) -> None:
    _commit(repo, 30, START)
    (repo / ".cyntra/config.yaml").write_text("toolchains: {codex: {model: m1, timeout_minutes: 40}}\n")
    tree = _git(repo, "add", "-A") + _git(repo, "write-tree")
    early = _git(
        repo, "hash-object", "-t", "commit", "-w", "--literally", str(_commit_file(tmp_path, repo, tree))
    )
    _git(repo, "reset", "-q", "--hard", early)
    _commit(repo, 50, START + DAY)
    first, later = (int(at.timestamp() * 1000) for at in (START, START + DAY))
    found = list(policy_history(repo, NOW_MS))
    assert [(past.commit.at_ms, past.is_early) for past in found] == [
        (first, False),
        (later, True),
        (later, False),
    ]
    cli = Cli(repo, tmp_path)
    cli.ok("ingest")
    assert json.loads(cli.ok("environment", "backfill", "--json"))["early"] == [early]


def _commit_file(folder: Path, repo: Path, tree: str) -> Path:
    who = "t <t> 99999999999999999 +0000"
    path = folder / "commit"
    parent = _git(repo, "rev-parse", "HEAD")
    path.write_text(f"tree {tree}\nparent {parent}\nauthor {who}\ncommitter {who}\n\nx\n")
    return path


def test_an_edit_undone_while_nobody_looked_is_found_in_the_history(repo: Path, tmp_path: Path) -> None:
    now_ms = time.time_ns() // 1_000_000
    ago = [datetime.fromtimestamp(now_ms // 1000 - seconds, tz=UTC) for seconds in (900, 300, 120)]
    cli, config = Cli(repo, tmp_path), repo / ".cyntra/config.yaml"
    _commit(repo, 30, ago[0])
    os.utime(config, (ago[0].timestamp(),) * 2)
    cli.ok("ingest")
    with closing(sqlite3.connect(cli.index)) as index:
        looked = "UPDATE index_info SET value = ? WHERE key = 'environment_last_look_ms'"
        index.execute(looked, (str(now_ms - 600_000),))
        index.commit()
    _commit(repo, 60, ago[1])
    _commit(repo, 30, ago[2])
    os.utime(config, (ago[2].timestamp(),) * 2)
    cli.ok("ingest")
    cli.ok("environment", "backfill")
    stretches = json.loads(cli.ok("environment", "history", "--json"))["stretches"]
    first, between, last = stretches
    assert first["fingerprint"] == last["fingerprint"] != between["fingerprint"]
    assert [s["since_ms"] for s in stretches] == [int(at.timestamp() * 1000) for at in ago]


def test_times_of_commits_neither_go_back_nor_lie_ahead() -> None:
    assert credible_times([5, 99, 3, 7, 80], 10) == [5, 5, 5, 7, 10]


def test_a_broken_tree_is_an_unreadable_commit_and_the_walk_goes_on(repo: Path, tmp_path: Path) -> None:
    _commit(repo, 30, START)
    bad = tmp_path / "tree"
    bad.write_bytes(b"40000 .cyntra\0short")
    tree = _git(repo, "hash-object", "-t", "tree", "-w", "--literally", str(bad))
    broken = _git(repo, "commit-tree", tree, "-p", "HEAD", "-m", "x", at=START + DAY)
    after = _git(repo, "commit-tree", "HEAD^{tree}", "-p", broken, "-m", "y", at=START + 2 * DAY)
    (repo / ".git/refs/heads/main").write_text(after + "\n")
    found = list(policy_history(repo, NOW_MS))
    assert [past.surface is None for past in found] == [False, True, False]
    assert "broken tree" in (found[1].unreadable or "")


def test_a_folder_that_is_no_repo_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(GitUnusable, match="history cannot be read"):
        list(policy_history(tmp_path, NOW_MS))


def test_a_repo_below_the_top_of_a_larger_one_is_read_from_its_own_folder(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    _git(top, "init", "-q", "-b", "main")
    _commit(top / "inner" if (top / "inner").mkdir() is None else top, 30, START)
    [past] = policy_history(top / "inner", NOW_MS)
    assert past.surface is not None
    assert past.surface.components["toolchains"]["codex"]["timeout_seconds"] == 1800


def test_a_hostile_repo_executes_nothing(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _commit(repo, 30, START)
    _commit(repo, 40, START + DAY)
    ran = tmp_path / "ran"
    evil = tmp_path / "evil"
    evil.write_text(f'#!/bin/sh\necho "$0 $*" >> {ran}\n')
    evil.chmod(0o755)
    _make_hostile(repo, evil, first)
    # What the caller has set must not count either.
    for name in ("GIT_EXTERNAL_DIFF", "GIT_PAGER", "GIT_SSH_COMMAND", "GIT_ASKPASS", "GIT_EDITOR"):
        monkeypatch.setenv(name, str(evil))
    found = list(policy_history(repo, NOW_MS))
    assert len(found) == 2
    assert not ran.exists(), ran.read_text()


def test_the_hostile_repo_would_execute_something_if_asked_carelessly(repo: Path, tmp_path: Path) -> None:
    """The trap is a real one: `git status` in the same repo springs it."""
    first = _commit(repo, 30, START)
    ran, evil = tmp_path / "ran", tmp_path / "evil"
    evil.write_text(f'#!/bin/sh\necho "$0 $*" >> {ran}\n')
    evil.chmod(0o755)
    _make_hostile(repo, evil, first)
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    subprocess.run(["git", "-C", str(repo), "status"], env=environ, capture_output=True, check=False)
    assert ran.exists()


def _make_hostile(repo: Path, evil: Path, commit: str) -> None:
    settings: dict[str, Any] = {
        "core.fsmonitor": evil,
        "core.hooksPath": evil.parent,
        "core.pager": evil,
        "core.sshCommand": evil,
        "core.alternateRefsCommand": evil,
        "core.editor": evil,
        "alias.rev-list": f"!{evil}",
        "alias.cat-file": f"!{evil}",
        "diff.evil.textconv": evil,
        "diff.external": evil,
        "filter.evil.smudge": evil,
        "filter.evil.clean": evil,
        "filter.evil.process": evil,
        "gpg.program": evil,
        "log.showSignature": "true",
        "credential.helper": f"!{evil}",
        "protocol.ext.allow": "always",
        "remote.origin.url": f"ext::{evil} %S",
        "remote.origin.promisor": "true",
        "remote.origin.uploadpack": evil,
        "uploadpack.packObjectsHook": evil,
        "submodule.evil.url": f"ext::{evil}",
        "submodule.evil.update": f"!{evil}",
    }
    for key, value in settings.items():
        _git(repo, "config", key, str(value))
    (repo / ".gitattributes").write_text("* diff=evil filter=evil\n")
    (repo / ".gitmodules").write_text(f'[submodule "evil"]\n path = evil\n url = ext::{evil}\n')
    for hook in ("post-checkout", "pre-commit", "post-index-change", "reference-transaction"):
        path = repo / ".git/hooks" / hook
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(evil.read_bytes())
        path.chmod(0o755)
    # An object that is promised and missing: reading it lazily would call the remote.
    (repo / ".git/refs/replace").mkdir(parents=True, exist_ok=True)
    (repo / ".git/refs/replace" / commit).write_text(commit + "\n")


def test_a_commit_that_lost_its_tree_is_unreadable_and_the_walk_goes_on(repo: Path) -> None:
    _commit(repo, 30, START)
    lost = _commit(repo, 31, START + DAY)
    _commit(repo, 32, START + 2 * DAY)
    tree = _git(repo, "rev-parse", f"{lost}^{{tree}}")
    (repo / ".git/objects" / tree[:2] / tree[2:]).unlink()
    found = {past.commit.id: past.surface for past in policy_history(repo, NOW_MS)}
    assert [surface is None for surface in found.values()] == [False, True, False]
    assert found[lost] is None


@pytest.mark.parametrize("command", ["rev-list", "cat-file"])
def test_a_git_that_never_answers_is_given_up(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    _commit(repo, 30, START)
    real, fake = shutil.which("git"), tmp_path / "bin/git"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\ncase "$*" in *{command}*) exec sleep 60;; esac\nexec {real} "$@"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(git_objects, "LONGEST_SILENCE_S", 0.3)
    with pytest.raises(GitUnusable, match=r"no answer for 0\.3 seconds"):
        list(policy_history(repo, NOW_MS))


def test_an_object_larger_than_a_pipe_is_read_whole(repo: Path) -> None:
    text = "x" * 3_000_000 + "\n\nend"
    _commit(repo, 30, START, big=text)
    blob = _git(repo, "rev-parse", "HEAD:big")
    with GitObjects(repo) as objects:
        for _ in range(2):
            found = objects.find(blob)
            assert found is not None
            assert objects.read(found) == text.encode()


def test_a_history_can_be_read_before_there_is_an_index_or_an_archives_folder(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    repo.mkdir()
    _git(repo, "init", "-q", "-b", "main")
    _commit(repo, 60, START)
    cli = Cli(repo, tmp_path)
    assert "1 commits touch policy files, 1 of them change" in cli.ok("environment", "backfill")
    assert "not there yet" in cli.ok("ingest")
    assert len(json.loads(cli.ok("environment", "history", "--json"))["stretches"]) >= 1
    shutil.rmtree(repo / ".cyntra")
    assert "is --repo a Cyntra repo" in cli("ingest").stderr


def test_a_shallow_clone_is_told_with_the_commit_that_its_history_begins_at(
    repo: Path, tmp_path: Path
) -> None:
    for minutes in (50, 40, 30):
        _commit(repo, minutes, START + minutes * DAY)
    clone = tmp_path / "clone"
    subprocess.run(
        ["git", "clone", "-q", "--depth", "2", f"file://{repo}", str(clone)], check=True, capture_output=True
    )
    cli = Cli(clone, tmp_path)
    first = _git(clone, "rev-list", "HEAD").splitlines()[-1]
    assert f"history begins at {first[:12]}: shallow" in cli.ok("environment", "backfill")
    assert json.loads(cli.ok("environment", "backfill", "--json"))["shallow"] == first
    whole = Cli(repo, tmp_path)
    assert json.loads(whole.ok("environment", "backfill", "--json"))["shallow"] is None


def test_what_git_does_not_hold_is_taken_as_it_is_now(repo: Path, tmp_path: Path) -> None:
    _commit(repo, 60, START)
    genome = repo / "prompts/code/codex/g1.yaml"
    genome.parent.mkdir(parents=True)
    genome.write_text("text: x\n")
    (repo / "prompts/frontier.json").write_text('{"items": [{"genome_id": "g1"}]}')
    [past] = policy_history(repo, NOW_MS)
    assert past.surface is not None
    assert list(past.surface.components["prompts"]) == ["code/codex"]
    _git(repo, "add", "prompts")
    _git(repo, "commit", "-q", "-m", "prompts", at=START + DAY)
    first, second = policy_history(repo, NOW_MS)
    assert first.surface is not None
    assert second.surface is not None
    assert first.surface.components["prompts"] == {}
    assert list(second.surface.components["prompts"]) == ["code/codex"]


def test_where_the_state_folder_is_a_link_git_knows_nothing_and_says_so(tmp_path: Path) -> None:
    repo, elsewhere = tmp_path / "repo", tmp_path / "elsewhere"
    elsewhere.mkdir()
    repo.mkdir()
    (repo / ".cyntra").symlink_to(elsewhere)
    (elsewhere / "config.yaml").write_text("toolchains: {codex: {model: m1}}\n")
    _git(repo, "init", "-q", "-b", "main")
    _git(repo, "add", ".cyntra")
    _git(repo, "commit", "-q", "-m", "x")
    cli = Cli(repo, tmp_path)
    assert ".cyntra is a link, and git does not follow it" in cli.ok("environment", "backfill")
    cli.ok("ingest")
    shown = json.loads(cli.ok("environment", "show", "--json"))
    assert shown["environment"]["components"]["toolchains"]["codex"]["model"] == "m1"
