"""Every way to call a command wrongly, and every state of the disk it can meet, ends in a sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from collectord.system.lock import StateLock
from tests.support.cli import Cli


def test_a_mistyped_command_is_told_the_right_one(bare: Cli) -> None:
    done = bare("statsu")
    assert done.returncode == 2
    assert "Did you mean 'status'?" in done.stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["export", "--universe", ""], "--universe ''"),
        (["export", "--universe", "\udcff"], r"--universe '\udcff'"),
        (["export", "--n-similar", "-1"], "--n-similar"),
        (["export", "--profile", "kernel"], "--profile"),
        (["runs", "--since", "tomorrow"], "--since"),
        (["runs", "--limit", "0"], "--limit"),
        (["explain", ""], "no name of an archive"),
        (["explain", "/"], "no name of an archive"),
        (["verify"], "DIRECTORY"),
    ],
)
def test_what_cannot_mean_anything_ends_with_2(bare: Cli, command: list[str], said: str) -> None:
    done = bare(*command)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("option", ["--repo", "--config"])
def test_a_repo_or_a_file_that_is_not_there_ends_with_78(bare: Cli, option: str) -> None:
    done = bare(option, "/nonexistent/place", "status")
    assert done.returncode == 78
    assert "/nonexistent/place" in done.stderr


def test_an_unknown_variable_ends_with_78(bare: Cli) -> None:
    done = bare("status", env={"COLLECTORD_WATCH_MOD": "poll"})
    assert done.returncode == 78
    assert "did you mean COLLECTORD_WATCH_MODE?" in done.stderr


def test_config_check_gives_its_findings_to_programs_too(bare: Cli) -> None:
    (bare.repo / ".cyntra/collectord.yaml").write_text("watch:\n  mode: 3\nlimits: []\n")
    done = bare("config", "check", "--json")
    assert done.returncode == 78
    document = json.loads(done.stdout)
    assert document["ok"] is False
    assert len(document["findings"]) == len(done.stderr.splitlines()) == 2


@pytest.mark.parametrize("place", ["{archives}/x", "{archives}/../archives/deep/x"])
def test_a_dataset_is_never_put_among_the_archives(ingested: Cli, place: str) -> None:
    before = sorted(ingested.archives.iterdir())
    done = ingested("export", "--out", place.format(archives=ingested.archives))
    assert done.returncode == 2
    assert "inside the archives folder" in done.stderr
    assert sorted(ingested.archives.iterdir()) == before


def test_a_place_that_cannot_be_written_is_named(ingested: Cli) -> None:
    (ingested.repo / "file").write_text("")
    done = ingested("export", env={"COLLECTORD_PATHS_BENCHES": "file/benches"})
    assert done.returncode == 1
    assert f"{ingested.repo}/file/benches: cannot write there" in done.stderr
    assert "--out" in done.stderr


def test_a_state_folder_that_cannot_be_made_is_named(bare: Cli) -> None:
    (bare.repo / "file").write_text("")
    done = bare("ingest", env={"COLLECTORD_PATHS_STATE": "file/state"})
    assert done.returncode == 1
    assert f"{bare.repo}/file" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_upgrade_waits_for_no_one_who_holds_the_lock(ingested: Cli) -> None:
    with StateLock.acquire(ingested.index.parent / "lock", "the daemon"):
        done = ingested("db", "upgrade")
    assert done.returncode == 75
    assert "the daemon" in done.stderr


def test_a_lock_without_a_name_still_counts_as_held(ingested: Cli) -> None:
    with StateLock.acquire(ingested.index.parent / "lock", "x"):
        (ingested.index.parent / "lock").write_text("")
        assert "a process that has not given its name yet" in ingested.ok("status")


@pytest.mark.parametrize("command", [["status"], ["ingest"], ["export"], ["db", "check"], ["db", "upgrade"]])
def test_a_file_that_is_no_index_is_named_and_left_as_it_is(ingested: Cli, command: list[str]) -> None:
    ingested.index.write_bytes(b"not a database, but somebody's letter\n" * 200)
    done = ingested(*command)
    assert done.returncode == 1
    assert str(ingested.index) in done.stderr
    assert "Traceback" not in done.stderr
    assert ingested.index.read_bytes().startswith(b"not a database")


def test_db_check_tells_a_damaged_index_from_one_with_a_damaged_artifact(ingested: Cli) -> None:
    import sqlite3

    with sqlite3.connect(ingested.index) as connection:
        connection.execute(
            "UPDATE artifacts SET data = x'00' WHERE rowid = (SELECT MIN(rowid) FROM artifacts)"
        )
    connection.close()
    done = ingested("db", "check", "--json")
    assert done.returncode == 1
    [finding] = json.loads(done.stdout)["findings"]
    assert finding.startswith("artifact ")
    assert "pruned" in done.stderr


def test_an_unexpected_error_is_a_sentence_and_a_traceback_only_when_asked_for(bare: Cli) -> None:
    # A folder where a dataset's rows should be is something no code of ours expects.
    (bare.home / "data/dataset.jsonl").mkdir(parents=True)
    done = bare("verify", "data")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    asked = bare("--traceback", "verify", "data")
    assert asked.returncode == 1
    assert "Traceback" in asked.stderr
    assert asked.stderr.splitlines()[-1] == done.stderr.splitlines()[-1]


def test_a_config_error_in_json_mode_leaves_standard_output_empty(bare: Cli) -> None:
    (bare.repo / ".cyntra/collectord.yaml").write_text("watch: [")
    done = bare("status", "--json")
    assert (done.returncode, done.stdout) == (78, "")


def test_quarantined_archives_are_told_with_what_helps(ingested: Cli) -> None:
    folder = ingested.archives / "wc-e001"
    (folder / "proof.json").unlink()
    (folder / "proof.json").symlink_to("elsewhere")
    assert "wc-e001: quarantined: proof.json: symlink" in ingested.ok("ingest")
    text = ingested.ok("explain", "wc-e001")
    assert "links are never followed" in text
    assert "its last good revision counts" in text
    assert "dispatch dataset: yes" in text
    assert json.loads(ingested.ok("quarantine", "list", "--json"))["quarantined"][0]["name"] == "wc-e001"


def test_twenty_are_told_and_the_rest_counted(bare: Cli) -> None:
    for number in range(30):
        (bare.archives / f"wc-empty-{number:02}").mkdir()
    lines = bare.ok("ingest").splitlines()
    assert len(lines) == 22
    assert lines[20] == "… and 10 more: `collectord status --json` lists all that are not whole"
    assert len(json.loads(bare.ok("status", "--json"))["attention"]) == 30


def test_a_repo_found_from_a_folder_below_it(ingested: Cli) -> None:
    done = ingested("status", repo=False, cwd=ingested.archives / "wc-e001")
    assert done.returncode == 0
    assert str(ingested.repo) in done.stdout


def test_a_dataset_of_something_else_is_moved_aside_and_told(ingested: Cli) -> None:
    benches = ingested.repo / ".cyntra/benches/planner_dataset_v1"
    benches.mkdir(parents=True)
    (benches / "dataset.jsonl").write_text("the kernel's own\n")
    done = ingested("export")
    assert done.returncode == 0
    [moved] = [p for p in benches.parent.iterdir() if (p / "dataset.jsonl").read_text().startswith("the k")]
    assert str(moved) in done.stderr
    assert benches.is_symlink()


def test_a_new_index_learns_of_a_dataset_that_was_published_before(ingested: Cli) -> None:
    path = json.loads(ingested.ok("export", "--json"))["path"]
    shutil.rmtree(ingested.index.parent)
    ingested.ok("ingest")
    assert json.loads(ingested.ok("status", "--json"))["snapshot"]["path"] == path
    assert json.loads(ingested.ok("export", "--json"))["is_new"] is False
    snapshot = json.loads(ingested.ok("status", "--json"))["snapshot"]
    assert (snapshot["path"], snapshot["exists"]) == (path, True)
    shutil.rmtree(Path(path))
    assert "no longer there" in ingested.ok("status")
