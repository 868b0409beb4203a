"""What the read commands say, in words and in JSON."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import unpack
from tests.support.cli import Cli

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


def document(cli: Cli, *args: str) -> Any:
    return json.loads(cli.ok(*args, "--json"))


def write_archive(cli: Cli, name: str, manifest: dict[str, Any]) -> None:
    folder = cli.archives / name
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    os.utime(folder / "manifest.json", (1_700_000_000, 1_700_000_000))
    os.utime(folder, (1_700_000_000, 1_700_000_000))


def plan(**members: object) -> dict[str, Any]:
    return {"job_type": "code", "planner": {"executed_plan": members}}


@pytest.mark.parametrize("corpus", ["awkward", "kernel-run", "universe", "universe-invalid", "worlds"])
def test_stats_are_the_kernels_own_for_every_corpus(corpus: str, tmp_path: Path) -> None:
    cli = Cli(unpack(corpus, tmp_path / "repo"), tmp_path)
    cli.ok("ingest")
    for variant in json.loads((GOLDEN / f"{corpus}.stats.json").read_text()):
        assert document(cli, "stats", *variant["args"]) == variant["stats"]


@pytest.mark.parametrize(
    ("command", "schema"),
    [
        (["ingest"], "ingest"),
        (["export", "--dry-run"], "export"),
        (["status"], "status"),
        (["runs"], "runs"),
        (["explain", "wc-e001"], "explain"),
        (["quarantine", "list"], "quarantine"),
        (["config", "show"], "config"),
        (["config", "check"], "config_check"),
        (["db", "check"], "db_check"),
        (["db", "upgrade"], "db_upgrade"),
    ],
)
def test_json_is_one_document_with_sorted_keys_and_a_schema(
    ingested: Cli, command: list[str], schema: str
) -> None:
    done = ingested(*command, "--json")
    found = json.loads(done.stdout)
    assert found["schema"] == f"collectord.{schema}.v1"
    assert done.stderr == ""
    assert done.stdout == json.dumps(found, ensure_ascii=False, indent=2, sort_keys=True) + "\n"


def test_a_timeout_that_only_the_event_log_knows_is_shown_as_one(cli: Cli) -> None:
    logs = cli.repo / ".cyntra/logs"
    logs.mkdir()
    event = {"type": "workcell.failed", "workcell_id": "wc-e002", "data": {"error": "Timed out"}}
    event["data"]["duration_ms"] = 61_000  # type: ignore[index]
    (logs / "events.jsonl").write_text(json.dumps(event) + "\n")
    cli.ok("ingest")
    found = {run["name"]: run for run in document(cli, "runs", "--status", "timeout")["runs"]}
    assert found["wc-e002"]["duration_ms"] == 61_000
    assert found["wc-e002"]["finished_ms"] == found["wc-e002"]["started_ms"] + 61_000
    assert "wc-e002: timeout, lasted 61 s" in cli.ok("explain", "wc-e002")
    failed = document(cli, "runs", "--status", "failed", "--limit", "1000")["runs"]
    assert "wc-e002" not in {run["name"] for run in failed}


def test_numbers_that_no_index_can_hold_are_shown_as_unknown(ingested: Cli) -> None:
    huge = plan(
        swarm_id_executed="serial_handoff", timeout_seconds_executed=2**70, max_candidates_executed=2**70
    )
    write_archive(ingested, "wc-huge", huge)
    ingested.ok("ingest")
    assert "serial_handoff×? ?" in ingested.ok("runs", "--limit", "1000")
    assert "candidates ?, timeout ?" in ingested.ok("explain", "wc-huge")


def test_explain_gives_the_label_as_rows_hold_it(ingested: Cli) -> None:
    write_archive(
        ingested,
        "wc-bins",
        plan(swarm_id_executed="speculate_vote", timeout_seconds_executed=2400, max_candidates_executed=2),
    )
    ingested.ok("ingest")
    ingested.ok("export", "--out", "data")
    rows = map(json.loads, (ingested.home / "data/dataset.jsonl").read_text().splitlines())
    row = next(row for row in rows if row["run_id"] == "wc-bins")
    label = document(ingested, "explain", "wc-bins")["label"]
    assert label == {key: row["label_action"][key] for key in ("swarm_id", "budgets")}


def test_explain_agrees_with_the_export_about_every_run(ingested: Cli) -> None:
    for profile in ("dispatch", "builder"):
        ingested.ok("export", "--profile", profile, "--out", profile)
        listed = map(json.loads, (ingested.home / profile / "runs.jsonl").read_text().splitlines())
        reasons = {run["workcell_id"]: run["left_out"] for run in listed}
        shown = [name for name, reason in reasons.items() if reason] + ["wc-e001", "wc-e002"]
        for name in shown[:6]:
            verdict = document(ingested, "explain", name)["datasets"][profile]
            expected = reasons.get(name, "no_builder_summary")
            assert (verdict["included"], verdict["reason"]) == (expected is None, expected), name


def test_explain_takes_a_path_a_run_id_and_bytes_that_are_no_text(ingested: Cli) -> None:
    (ingested.archives / "wc-\udcff").mkdir()
    ingested.ok("ingest")
    assert ingested.ok("explain", f"{ingested.archives}/wc-e001/").startswith("wc-e001: indexed")
    assert ingested.ok("explain", "other-id").startswith("wc-e069: indexed")
    assert ingested.ok("explain", "wc-\udcff").startswith("undecodable:wc-%FF: quarantined")


def test_explain_names_others_with_the_same_run_id(ingested: Cli) -> None:
    write_archive(ingested, "wc-twin", {"workcell_id": "wc-e005"})
    folder = ingested.archives / "wc-twin"
    (folder / "proof.json").write_text(json.dumps({"workcell_id": "wc-e005", "status": "success"}))
    ingested.ok("ingest", str(folder))
    assert document(ingested, "explain", "wc-e005")["same_run_id"] == ["wc-twin"]
    assert "the same run id is also in wc-e005" in ingested.ok("explain", "wc-twin")


def test_explain_knows_world_runs_too(tmp_path: Path) -> None:
    cli = Cli(unpack("worlds", tmp_path / "repo"), tmp_path)
    cli.ok("ingest")
    name = next(p.name for p in (cli.repo / ".cyntra/runs").iterdir() if (p / "context.json").exists())
    found = document(cli, "explain", name)
    assert found["archive"]["kind"] == "world"
    assert found["datasets"]["builder"]["reason"] == "fab_world"


def test_a_changed_archive_has_two_revisions_and_a_gone_one_keeps_its_run(ingested: Cli) -> None:
    proof = ingested.archives / "wc-e001/proof.json"
    proof.write_text(json.dumps({**json.loads(proof.read_text()), "failure_code": "x"}))
    ingested.ok("ingest")
    revisions = document(ingested, "explain", "wc-e001")["revisions"]
    assert [revision["number"] for revision in revisions] == [1, 2]
    shutil.rmtree(ingested.archives / "wc-e001")
    assert "1 archives are missing; they count as gone when a pass in a minute" in ingested.ok("ingest")
    assert ingested.ok("ingest", "--accept-gone").splitlines()[-1].split(";")[0].endswith(", 1 gone")
    text = ingested.ok("explain", "wc-e001")
    assert "gone from disk since" in text
    assert "dispatch dataset: yes" in text


def test_filters_hold_what_the_index_cannot(ingested: Cli) -> None:
    for option in ("--issue", "--swarm", "--toolchain"):
        done = ingested("runs", option, "\udcff")
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr == "collectord: no runs match\n"
    assert ingested.ok("runs", "--since", "999999999999w", "--limit", "1")


def test_runs_say_when_there_are_more(ingested: Cli) -> None:
    done = ingested("runs", "--limit", "3")
    assert done.stdout.count("\n") == 3
    assert "only the newest 3 are shown" in done.stderr
    assert document(ingested, "runs", "--limit", "3")["more"] is True
    assert document(ingested, "runs", "--limit", "1000")["more"] is False


def test_ignored_entries_are_counted_each_time(ingested: Cli) -> None:
    last = ingested.ok("ingest").splitlines()[-1]
    assert last.endswith("0 quarantined, 2 ignored; 0 issue records changed")


def test_no_control_character_or_half_pair_reaches_json_as_it_is(ingested: Cli) -> None:
    write_archive(ingested, "wc-\x9b31m", {"workcell_id": "a\x9b\u202eb\ud800"})
    ingested.ok("ingest")
    text = ingested.ok("runs", "--json", "--limit", "1000") + ingested.ok("explain", "wc-\x9b31m", "--json")
    assert not {"\x9b", "\u202e"} & set(text)
    assert r"wc-\u009b31m" in text
