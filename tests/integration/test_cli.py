"""The command line as its users meet it: real processes on real kernel repos."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from collectord.index.queries import list_runs
from collectord.index.reader import IndexReader
from collectord.system.lock import StateLock
from tests.support.cli import Cli

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


def test_ingest_names_what_wants_an_eye_and_ends_with_the_counts(cli: Cli) -> None:
    lines = cli.ok("ingest").splitlines()
    assert "wc-e012: partial: manifest.json: not_json" in lines
    assert lines[-1] == (
        "106 indexed, 0 unchanged, 6 partial, 0 quarantined, 2 ignored; 5 issue records changed"
    )
    assert cli.ok("ingest").splitlines()[-1].startswith("0 indexed, 112 unchanged")


def test_ingest_takes_only_the_named(cli: Cli) -> None:
    document = json.loads(cli.ok("ingest", "wc-e001", "wc-e002", "--json"))
    assert document["schema"] == "collectord.ingest.v1"
    assert document["outcomes"]["indexed"] == 2


def test_ingest_of_a_name_that_is_not_there_fails_and_says_so(cli: Cli) -> None:
    done = cli("ingest", "wc-nope")
    assert done.returncode == 1
    assert "there is no archive named wc-nope" in done.stderr


def test_ingest_before_the_first_run_is_fine_and_says_where_it_looked(cli: Cli) -> None:
    shutil.rmtree(cli.repo / ".cyntra/archives")
    assert f"{cli.repo / '.cyntra/archives'}: not there yet" in cli.ok("ingest")


def test_ingest_fails_where_archives_are_known_and_their_folder_is_missing(ingested: Cli) -> None:
    shutil.rmtree(ingested.repo / ".cyntra/archives")
    done = ingested("ingest")
    assert done.returncode == 1
    assert str(ingested.repo / ".cyntra/archives") in done.stderr


def test_many_missing_archives_are_not_believed_until_accepted(ingested: Cli) -> None:
    for folder in (ingested.repo / ".cyntra/archives").glob("wc-*"):
        shutil.rmtree(folder)
    done = ingested("ingest")
    assert done.returncode == 0
    assert "ingest --accept-gone" in done.stderr
    assert json.loads(ingested.ok("status", "--json"))["archives"]["gone"] == 0
    ingested.ok("ingest", "--accept-gone")
    assert json.loads(ingested.ok("status", "--json"))["archives"]["gone"] >= 111


def test_a_held_lock_ends_with_75_and_names_the_holder(ingested: Cli) -> None:
    with StateLock.acquire(ingested.repo / ".cyntra/state/collectord/lock", "somebody else"):
        done = ingested("ingest")
        assert done.returncode == 75
        assert "somebody else" in done.stderr
        assert str(os.getpid()) in done.stderr
        # Reading and exporting work beside it.
        assert ingested("status").returncode == 0
        assert ingested("export").returncode == 0


def test_export_publishes_and_a_second_one_makes_nothing_new(ingested: Cli) -> None:
    first = json.loads(ingested.ok("export", "--json"))
    assert first["schema"] == "collectord.export.v1"
    assert first["is_new"]
    assert first["example_count"] == 93
    meta = json.loads((Path(first["path"]) / "meta.json").read_text())
    assert meta == {key: first[key] for key in meta}
    again = ingested.ok("export")
    assert f"nothing new: {first['path']}" in again


def test_a_dry_run_writes_nothing(ingested: Cli) -> None:
    document = json.loads(ingested.ok("export", "--dry-run", "--json"))
    assert document["path"] is None
    assert not (ingested.repo / ".cyntra/benches").exists()


def test_an_out_directory_that_is_taken_is_refused(ingested: Cli, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "keep").write_text("mine")
    done = ingested("export", "--out", str(taken))
    assert done.returncode == 1
    assert "already exists" in done.stderr
    assert (taken / "keep").read_text() == "mine"


def test_a_relative_out_lies_in_the_working_directory(ingested: Cli) -> None:
    ingested.ok("export", "--out", "data")
    assert (ingested.home / "data/dataset.jsonl").is_file()


def test_verify_says_verified_or_ends_with_3_and_the_finding(ingested: Cli) -> None:
    ingested.ok("export", "--out", "data")
    assert "verified" in ingested.ok("verify", "data", "--rebuild")
    dataset = ingested.home / "data/dataset.jsonl"
    dataset.chmod(0o644)
    dataset.write_bytes(dataset.read_bytes().replace(b"wc-e001", b"wc-e00X", 1))
    done = ingested("verify", "data")
    assert done.returncode == 3
    assert "dataset.jsonl: has other bytes" in done.stdout
    document = json.loads(ingested("verify", "data", "--json").stdout)
    assert document["verified"] is False


def test_verify_needs_no_repo(ingested: Cli, tmp_path: Path) -> None:
    ingested.ok("export", "--out", "data")
    assert ingested("verify", "data", repo=False).returncode == 0
    assert ingested("verify", str(tmp_path), repo=False).returncode == 1


def test_status_before_the_first_ingest_says_what_to_do(cli: Cli) -> None:
    assert "collectord ingest" in cli.ok("status")
    assert json.loads(cli.ok("status", "--json"))["index"]["exists"] is False


@pytest.mark.parametrize("command", [["export"], ["runs"], ["explain", "x"], ["stats"], ["db", "check"]])
def test_reading_without_an_index_says_what_to_do(cli: Cli, command: list[str]) -> None:
    done = cli(*command)
    assert done.returncode == 1
    assert "run `collectord ingest` first" in done.stderr


def test_status_shows_what_the_index_holds(ingested: Cli) -> None:
    document = json.loads(ingested.ok("status", "--json"))
    assert document["schema"] == "collectord.status.v1"
    assert document["archives"] == {"indexed": 106, "partial": 6, "quarantined": 0, "ignored": 2, "gone": 0}
    assert document["runs"] == 111
    assert document["plans"] == 95
    assert document["lock"] is None
    assert "106 indexed" in ingested.ok("status")


def test_runs_are_the_newest_first_and_filtered(ingested: Cli) -> None:
    found = json.loads(ingested.ok("runs", "--json", "--limit", "200"))["runs"]
    times = [run["started_ms"] for run in found]
    assert times == sorted(times, reverse=True)
    failed = json.loads(ingested.ok("runs", "--json", "--status", "failed"))["runs"]
    assert failed
    assert {run["status"] for run in failed} == {"failed"}
    swarm = json.loads(ingested.ok("runs", "--json", "--swarm", "speculate_vote"))["runs"]
    assert {run["swarm_id"] for run in swarm} == {"speculate_vote"}
    assert ingested("runs", "--since", "yesterday").returncode == 2


def test_the_newest_runs_are_found_without_sorting_all_of_them(ingested: Cli) -> None:
    said: list[str] = []
    with IndexReader(ingested.index) as reader:
        reader.connection.set_trace_callback(said.append)
        assert len(list_runs(reader, since_ms=None, wanted={}, limit=3)) == 3
        reader.connection.set_trace_callback(None)
        steps = [row["detail"] for row in reader.connection.execute(f"EXPLAIN QUERY PLAN {said[0]}")]
    assert steps[0].endswith("USING INDEX ix_runs_started_ms")


def test_explain_says_why_a_run_is_no_row(ingested: Cli) -> None:
    text = ingested.ok("explain", "wc-e012")
    assert "dispatch dataset: no: its manifest holds no explicit executed plan" in text
    assert "builder dataset: yes" in text
    document = json.loads(ingested.ok("explain", "wc-e001", "--json"))
    assert document["archive"]["state"] == "indexed"
    assert len(document["revisions"]) == 1


def test_explain_finds_a_run_by_its_run_id(ingested: Cli) -> None:
    assert ingested.ok("explain", "other-id").startswith("wc-e069: indexed")


def test_explain_of_the_unknown_looks_around(ingested: Cli) -> None:
    done = ingested("explain", "wc-e0099")
    assert done.returncode == 1
    assert "did you mean wc-e099 or" in done.stderr
    (ingested.repo / ".cyntra/archives/wc-new").mkdir()
    assert "run `collectord ingest wc-new`" in ingested("explain", "wc-new").stderr


@pytest.mark.parametrize("flag", ["--no-include-world", "--include-world"])
def test_stats_print_the_kernels_own_four_keys(ingested: Cli, flag: str) -> None:
    expected = json.loads((GOLDEN / "universe.stats.json").read_text())
    wanted = next(entry["stats"] for entry in expected if entry["args"] == [flag])
    assert json.loads(ingested.ok("stats", "--json", flag)) == wanted


def test_a_hostile_name_reaches_no_terminal_as_it_is(cli: Cli) -> None:
    evil = cli.repo / ".cyntra/archives/wc-\x1b[31mred\nline"
    evil.mkdir()
    (evil / "manifest.json").symlink_to("/etc/hostname")
    out = cli.ok("ingest")
    assert "\x1b" not in out
    assert "wc-\\x1b[31mred\\nline: quarantined: manifest.json: symlink" in out
    assert "\x1b" not in cli.ok("quarantine", "list")
    assert json.loads(cli.ok("quarantine", "list", "--json"))["quarantined"][0]["reason"]


def test_a_wrong_configuration_names_its_place_and_ends_with_78(cli: Cli) -> None:
    (cli.repo / ".cyntra/collectord.yaml").write_text("watch:\n  pol_interval: 3\n")
    done = cli("config", "check")
    assert done.returncode == 78
    assert ":2:3: watch.pol_interval: unknown key, did you mean watch.poll_interval?" in done.stderr


def test_config_show_says_where_each_value_came_from(cli: Cli) -> None:
    document = json.loads(cli.ok("config", "show", "--json"))
    assert document["values"]["watch.mode"] == {"value": "auto", "source": "default"}
    assert cli.ok("config", "check").startswith("good")


def test_a_severity_that_matches_nothing_is_noted(cli: Cli) -> None:
    (cli.repo / ".cyntra/collectord.yaml").write_text(
        "environment: {severity: {/gates/retry_flaky: warn, /toolchains/none/model: warn}}\n"
    )
    done = cli("config", "check")
    assert done.returncode == 0
    assert "nothing in the environment matches: /toolchains/none/model;" in done.stderr
    assert json.loads(cli.ok("config", "check", "--json"))["without_effect"] == ["/toolchains/none/model"]
    assert "matches: /toolchains/none/model" in cli("doctor").stdout


def test_no_repo_anywhere_ends_with_78(cli: Cli) -> None:
    done = cli("status", repo=False)
    assert done.returncode == 78
    assert "no Cyntra repo" in done.stderr


def test_db_check_finds_a_damaged_page_and_no_traceback_reaches_a_person(ingested: Cli) -> None:
    assert "fine" in ingested.ok("db", "check")
    index = ingested.repo / ".cyntra/state/collectord/index.sqlite3"
    with index.open("r+b") as file:
        file.seek(index.stat().st_size // 2)
        file.write(b"\xff" * 20_000)
    for command in (["db", "check"], ["export", "--out", "x"]):
        done = ingested(*command)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert str(index) in done.stderr


def test_a_newer_index_is_refused_with_a_sentence(ingested: Cli) -> None:
    import sqlite3

    index = ingested.repo / ".cyntra/state/collectord/index.sqlite3"
    with sqlite3.connect(index) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    for command in (["ingest"], ["status"], ["db", "upgrade"]):
        done = ingested(*command)
        assert done.returncode == 1
        assert "written by a newer collectord" in done.stderr


def test_files_are_for_their_owner_only(ingested: Cli) -> None:
    state = ingested.repo / ".cyntra/state/collectord"
    assert state.stat().st_mode & 0o777 == 0o700
    assert (state / "index.sqlite3").stat().st_mode & 0o777 == 0o600


def test_usage_errors_end_with_2(cli: Cli) -> None:
    assert cli("export", "--profile", "other").returncode == 2
    assert cli("nope").returncode == 2


# What is of others, and takes long by itself or by what it brings along.
HEAVY = {"sqlalchemy", "pydantic", "rich", "structlog", "yaml", "alembic", "watchdog", "asyncio", "psutil"}
HEAVY |= {"difflib", "tempfile", "random", "secrets", "shutil", "zipfile", "importlib.metadata"}
# What of ours brings such along, or makes what was kept.
MAKING = {f"collectord.{name}" for name in ("dataset.profiles", "dataset.credentials", "repo.policy")}
MAKING |= {
    f"collectord.{name}" for name in ("epochs.survey", "epochs.drift", "index.writer", "repair.rebuild")
}


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (["--help"], {"shutil"}),
        (["status"], {"psutil"}),
        (["doctor"], {"psutil", "collectord.index.writer"}),
        (["runs"], set()),
        (["explain", "wc-e001"], {"yaml"}),
        (["epoch", "list"], {"yaml", "psutil", "difflib", "random", *MAKING}),
    ],
)
def test_what_only_reads_imports_nothing_heavy(ingested: Cli, arguments: list[str], needed: set[str]) -> None:
    given = ["--repo", str(ingested.repo), *arguments]
    code = (
        f"import sys\nfrom collectord.cli.main import _run\n_run({given})\n"
        f"found = {(HEAVY | MAKING) - needed} & set(sys.modules)\nassert not found, found"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_daemon_under_a_service_imports_nothing_that_only_a_terminal_or_a_migration_needs(
    ingested: Cli,
) -> None:
    unneeded = {"sqlalchemy", "alembic", "pydantic", "rich", "structlog", "asyncio"}
    code = (
        f"import sys\nfrom collectord.cli.main import _run\n_run(['--repo', {str(ingested.repo)!r}, 'run'])\n"
        f"found = {unneeded} & set(sys.modules)\nassert not found, found"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) as daemon:
        assert daemon.stderr is not None
        said = []
        for line in daemon.stderr:
            said.append(line)
            if '"watch.started"' in line:
                daemon.terminate()
    assert daemon.returncode == 0, said
    assert any('"daemon.stopped"' in line for line in said)


def test_version_is_printed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "collectord", "--version"], capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("collectord ")
