"""What people and their tools do: backups made of links, synchronisers, copies, a private umask."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from typing import Any

import pytest

from tests.support.archives import Maker
from tests.support.cli import Cli
from tests.support.daemon import QUICK, Daemon, configure


def outcomes(cli: Cli) -> dict[str, int]:
    found: dict[str, int] = json.loads(cli.ok("ingest", "--json"))["outcomes"]
    return found


@pytest.fixture
def maker(bare: Cli) -> Maker:
    return Maker(bare.repo)


def test_a_backup_made_of_hard_links_takes_nothing_out_of_the_index(bare: Cli, maker: Maker) -> None:
    maker.add(3)
    subprocess.run(["cp", "-al", str(bare.archives), str(bare.home / "backup")], check=True)
    assert outcomes(bare)["indexed"] == 3
    assert outcomes(bare)["quarantined"] == 0
    shutil.rmtree(bare.home / "backup")
    assert outcomes(bare)["unchanged"] == 3


def test_folders_of_synchronisers_are_ignored_and_not_partial(bare: Cli, maker: Maker) -> None:
    [name] = maker.add(1)
    for stray in (".stversions", ".stfolder", f"{name}.sync-conflict-20261127-101500-ABCDEFG"):
        (bare.archives / stray).mkdir()
        (bare.archives / stray / "something").write_text("x")
    found = outcomes(bare)
    assert (found["indexed"], found["ignored"], found["partial"]) == (1, 3, 0)
    assert "a folder of something else" in bare.ok("explain", ".stversions")


def test_a_copy_of_an_archive_is_no_row_of_its_own_and_stands_in_no_history(bare: Cli, maker: Maker) -> None:
    names = maker.add(5)
    hashes = [json.loads(bare_export(bare, "before"))["dataset_hash"]]
    copy = bare.archives / f"{names[0]}-copy"
    shutil.copytree(bare.archives / names[0], copy)
    bare.ok("ingest")
    document = json.loads(bare_export(bare, "after"))
    hashes.append(document["dataset_hash"])
    assert hashes[0] == hashes[1]
    assert document["left_out"] == {f"copy_of {names[0]}": 1}
    assert f"no: it is a copy of {names[0]}" in bare.ok("explain", copy.name)
    assert bare("verify", str(bare.home / "after"), "--rebuild").returncode == 0


def bare_export(cli: Cli, name: str) -> str:
    cli.ok("ingest")
    return cli.ok("export", "--epoch", "all", "--json", "--out", str(cli.home / name))


def test_two_runs_that_share_an_id_stay_two(bare: Cli, maker: Maker) -> None:
    first, _ = maker.add(2)
    other = bare.archives / f"{first}-other"
    shutil.copytree(bare.archives / first, other)
    proof = json.loads((other / "proof.json").read_text())
    (other / "proof.json").write_text(json.dumps({**proof, "more": 1}))
    assert json.loads(bare_export(bare, "out"))["left_out"] == {}


@pytest.mark.parametrize(("umask", "folder", "file"), [(0o077, 0o700, 0o400), (0o022, 0o755, 0o444)])
def test_a_umask_is_respected_for_what_others_might_read(
    bare: Cli, maker: Maker, umask: int, folder: int, file: int
) -> None:
    maker.add(2)
    bare.ok("ingest")
    argv = bare.argv("export", "--epoch", "all", "--out", str(bare.home / "out"))
    subprocess.run(argv, env=bare.environ(), umask=umask, check=True, capture_output=True)
    path = bare.home / "out"
    modes: Any = {oct(p.stat().st_mode & 0o777) for p in [path, *path.rglob("*")]}
    assert modes == {oct(folder), oct(file)}


def test_a_merge_conflict_in_beads_is_told_where_people_look(bare: Cli, maker: Maker) -> None:
    maker.add(1)
    beads = bare.repo / ".beads/issues.jsonl"
    beads.parent.mkdir(exist_ok=True)
    git = ["git", "-C", str(bare.repo), "-c", "user.name=a", "-c", "user.email=a@b"]
    line = '{{"id": "{0}", "title": "{1}"}}\n'

    def commit(text: str, *branch: str) -> None:
        beads.write_text(text)
        subprocess.run([*git, "add", "-f", ".beads"], check=True)
        subprocess.run([*git, "commit", "-qm", "x"], check=True)

    subprocess.run(["git", "-C", str(bare.repo), "init", "-qb", "main"], check=True)
    commit(line.format(1, "one"))
    subprocess.run([*git, "checkout", "-qb", "other"], check=True)
    commit(line.format(1, "theirs"))
    subprocess.run([*git, "checkout", "-q", "main"], check=True)
    commit(line.format(1, "ours"))
    assert subprocess.run([*git, "merge", "other"], capture_output=True, check=False).returncode == 1
    done = bare("ingest")
    assert "3 lines that no kernel reads (line 1, 3, 5)" in done.stderr
    health = json.loads(bare.ok("status", "--json"))["health"]["checks"]
    assert [one["said"] for one in health if one["check"] == "issues"] == [
        "3 lines of .beads/issues.jsonl are read by no kernel: line 1, 3, 5"
    ]
    (bare.repo / ".beads/deps.jsonl").write_text('<<<<<<< HEAD\n{"from": "1", "to": "2", "type": "blocks"}\n')
    audited = {
        one["do"].partition(":")[0]: one["why"] for one in json.loads(bare.ok("audit", "--json"))["findings"]
    }
    assert audited["mend .beads/issues.jsonl"] == "3 lines: 1, 3, 5"
    assert audited["mend .beads/deps.jsonl"] == "1 line: 1"
    beads.write_text(line.format(1, "mended"))
    assert "no kernel reads" not in bare("ingest").stderr


@pytest.mark.parametrize("given", ["5", "14", "2.5"])
def test_a_number_without_a_unit_removes_nothing(bare: Cli, maker: Maker, given: str) -> None:
    maker.add(1)
    bare.ok("ingest")
    done = bare("prune", "--logs-older-than", given, "--yes")
    assert done.returncode == 2
    assert f"write {given}d for days" in done.stderr
    configure(bare, f"retention: {{logs_older_than: {given}}}\n")
    assert "has no unit" in bare("config", "check").stderr


def test_a_reload_that_raises_a_limit_tries_again_what_it_may_have_cured(bare: Cli, maker: Maker) -> None:
    configure(bare, f"{QUICK}limits: {{json_bytes: 1024}}\ningest: {{quarantine_after: 1}}\n")
    [name] = maker.add(1)
    assert (bare.archives / name / "manifest.json").stat().st_size > 1024
    with Daemon(bare) as daemon:
        daemon.wait_for("archive.quarantined", archive=name)
        configure(bare, QUICK)
        daemon.send(signal.SIGHUP)
        daemon.wait_for("quarantine.requeued", archives=1)
        daemon.wait_for("archive.indexed", archive=name)
