"""`collectord audit` as a person and a script meet it, on a real kernel's archives."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from collectord.index.reader import IndexReader
from collectord.index.repo_records import issue_history
from collectord.index.runs import plain_runs
from collectord.model import ARCHIVE
from tests.conftest import unpack
from tests.support.cli import Cli


@pytest.fixture(scope="module")
def audited_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audited")
    repo = unpack("kernel-run", folder / "repo")
    Cli(repo, folder).ok("ingest")
    return repo


@pytest.fixture
def kernel(audited_once: Path, tmp_path: Path) -> Cli:
    return Cli(Path(shutil.copytree(audited_once, tmp_path / "repo", symlinks=True)), tmp_path)


def test_the_page_says_first_what_to_do(kernel: Cli) -> None:
    text = kernel.ok("audit", "--since", "5000w")
    todo, lanes = text.index("This week"), text.index("\nLanes\n")
    assert todo < text.index("1. give the gates real commands (`gates` in .cyntra/config.yaml)") < lanes
    assert "60 of 60 successes (100 %) have an empty diff" in text
    assert "serial_handoff×1, 60 min   15      25     ×         ×  8 thin, 2 empty" in text
    assert "66 have the hash that was recorded with them, 0 another one, 0 none" in text
    assert "unreachable: serial_handoff×1 with 15, 30 or 120 min; speculate_vote×2 with 15" in text
    assert "\x1b" not in text


def test_json_has_a_versioned_schema_and_every_answer(kernel: Cli) -> None:
    found = json.loads(kernel.ok("audit", "--since", "5000w", "--json"))
    assert found["schema"] == "collectord.audit.v2"
    assert {"coverage", "lanes", "fill", "backlog", "consistency", "agreement", "outcomes"} <= set(found)
    assert {"drift", "quality", "steadiness", "phase", "health", "findings", "verdicts"} <= set(found)
    assert [lane["runs"] for lane in found["lanes"]["lanes"]] == [47, 12, 7]
    assert found["verdicts"]["drift"] == "insufficient"
    assert found["consistency"]["requested"]["equal"] == 62


def test_real_audits_are_as_the_schema_that_is_shipped_says(kernel: Cli) -> None:
    kernel.ok("export")
    judge = jsonschema.Draft202012Validator(json.loads(kernel.ok("audit", "--schema")))
    for arguments in (("--since", "5000w", "--rebuild"), ("--since", "60m"), ("--epoch", "1")):
        found = json.loads(kernel.ok("audit", *arguments, "--json"))
        assert [error.message for error in judge.iter_errors(found)] == []


@pytest.mark.parametrize(
    "change", ["artifact_facts = NULL", "artifact_facts = replace(artifact_facts, '[1,', '[0,')"]
)
def test_facts_that_an_older_index_lacks_are_read_from_its_artifacts(kernel: Cli, change: str) -> None:
    arguments = ("audit", "--since", "5000w", "--json")

    def audited() -> dict:
        found = json.loads(kernel.ok(*arguments))
        for name in ("made_ms", "window"):
            del found[name]
        del found["phase"]["next_ms"], found["phase"]["words"], found["phase"]["rate_a_week"]
        return {name: found[name] for name in ("consistency", "outcomes", "coverage", "agreement", "phase")}

    first = audited()
    with closing(sqlite3.connect(kernel.index)) as connection, connection:
        before = connection.execute("SELECT artifact_facts FROM runs").fetchall()
        assert all(text.startswith("[1,") for (text,) in before)
        connection.execute(f"UPDATE runs SET {change} WHERE revision_id % 2")
        connection.execute("DELETE FROM index_info WHERE key = 'artifact_facts_version'")
    assert audited() == first
    kernel.ok("ingest")
    with closing(sqlite3.connect(kernel.index)) as connection:
        assert connection.execute("SELECT artifact_facts FROM runs").fetchall() == before
    assert audited() == first


def test_fail_on_turns_findings_into_an_exit_code(kernel: Cli) -> None:
    fine = kernel("audit", "--since", "5000w", "--fail-on", "out,conflict")
    assert fine.returncode == 0, fine.stderr
    bad = kernel("audit", "--since", "5000w", "--fail-on", "collection,out")
    assert bad.returncode == 3
    assert bad.stderr == "collectord: the audit found: collection\n"
    assert "This week" in bad.stdout
    odd = kernel("audit", "--fail-on", "everything")
    assert odd.returncode == 2
    assert "'everything' is no kind of finding" in odd.stderr


def test_a_window_without_runs_and_a_bad_age_are_sentences(kernel: Cli) -> None:
    assert "0 labelled runs in the last 60 minutes" in kernel.ok("audit", "--since", "60m")
    bad = kernel("audit", "--since", "soon")
    assert bad.returncode == 2
    assert "--since: 'soon' is not an age" in bad.stderr
    empty = kernel("audit", "--since", "0d")
    assert (empty.returncode, empty.stderr) == (
        2,
        "collectord: --since 0d: a window must have a length, such as 7d\n",
    )
    assert "(1970-01-01 to " in kernel.ok("audit", "--since", "999999999999w")


def test_a_copy_is_no_run_of_the_audit_as_it_is_no_row_of_an_export(kernel: Cli) -> None:
    archives = kernel.repo / ".cyntra/archives"
    original = min(path.name for path in archives.iterdir() if path.name.startswith("wc-"))
    shutil.copytree(archives / original, archives / "wc-copied", symlinks=True)
    kernel.ok("ingest")
    assert json.loads(kernel.ok("export", "--json"))["left_out"] == {f"copy_of {original}": 1}
    found = json.loads(kernel.ok("audit", "--since", "5000w", "--json"))
    assert found["agreement"]["hashes"]["verified"] == 66
    assert found["health"]["copies"] == {"wc-copied": original}
    [said] = [one for one in found["findings"] if "left out" in one["why"]]
    assert (said["kind"], said["why"]) == ("note", f"1 copy left out: wc-copied is {original}")
    assert "66 runs in all" in kernel.ok("audit", "--since", "5000w", "--full")


def test_what_an_audit_keeps_of_the_one_before_changes_nothing_that_it_says(kernel: Cli) -> None:
    arguments = ("audit", "--since", "5000w", "--json")
    told = ("agreement", "consistency", "coverage", "health")

    def audited() -> dict:
        found = json.loads(kernel.ok(*arguments))
        return {name: found[name] for name in told}

    first = audited()
    cached = sorted((kernel.index.parent / "cache").glob("*.json"))
    assert [path.name for path in cached] == ["audit-agreement.json", "audit-varieties.json", "epochs.json"]
    assert audited() == first
    for damage in (
        b"",
        b"{}",
        cached[0].read_bytes()[:-40],
        cached[1].read_bytes().replace(b"[]", b"[0]"),
        cached[2].read_bytes().replace(b"wc-1", b"wc-2"),
    ):
        for path in cached:
            path.write_bytes(damage)
        assert audited() == first
    archive = min(kernel.archives.iterdir())
    manifest = json.loads((archive / "manifest.json").read_text())
    other = shutil.copytree(archive, archive.with_name("wc-999-20261124T000000Z"))
    (other / "manifest.json").write_text(json.dumps({**manifest, "workcell_id": other.name}))
    kernel.ok("ingest")
    assert audited()["agreement"]["compared"] == first["agreement"]["compared"] + 1


def test_a_policy_that_cannot_be_read_is_said_and_the_rest_still_told(kernel: Cli) -> None:
    (kernel.repo / ".cyntra/config.yaml").write_text("routing: [")
    text = kernel.ok("audit", "--since", "5000w")
    assert "make the policy readable" in text
    assert "47" in text


def test_a_pattern_of_the_policy_that_never_ends_holds_nothing_up(kernel: Cli) -> None:
    rule = "routing: {rules: [{match: {title_pattern: '(a+)+$'}, use: [codex]}]}\n"
    (kernel.repo / ".cyntra/config.yaml").write_text(rule)
    evil = {"id": "1", "title": "a" * 60 + "!", "status": "open"}
    (kernel.repo / ".beads/issues.jsonl").write_text(json.dumps(evil) + "\n")
    kernel.ok("ingest")
    text = " ".join(kernel.ok("audit", "--since", "5000w").split())
    assert "rewrite the pattern (a+)+$ of a routing rule: matching it takes too long" in text
    assert "serial_handoff×1" in text


def test_an_environment_that_no_run_has_yet_is_in_its_tile(kernel: Cli) -> None:
    def tile() -> tuple[str, str, str]:
        shown = json.loads(kernel.ok("audit", "--json"))["overview"]["tiles"]
        return next(
            (one["value"], one["state"], one["detail"]) for one in shown if one["key"] == "environment"
        )

    assert "stable" in tile()[0] or tile()[0] == "began today"
    config = kernel.repo / ".cyntra/config.yaml"
    config.write_text(config.read_text().replace("model: ", "model: another-"))
    kernel.ok("ingest")
    value, state, detail = tile()
    assert (value, state) == ("new", "watch")
    assert "no run has it yet; the last run: epoch 1" in detail


def test_rebuild_tells_whether_the_dataset_comes_out_the_same(kernel: Cli) -> None:
    kernel.ok("export")
    assert "rebuilt to the same hash" in kernel.ok("audit", "--rebuild")
    [rows] = (kernel.repo / ".cyntra/benches").glob("planner_dataset_v1_*/dataset.jsonl")
    rows.write_bytes(rows.read_bytes().replace(b'"train"', b'"test"', 1))
    assert "cannot be made again before training on it" in kernel.ok("audit", "--rebuild")


def test_what_archives_say_never_reaches_a_terminal_as_it_is(kernel: Cli) -> None:
    issues = kernel.repo / ".beads/issues.jsonl"
    issues.write_text(
        json.dumps({"id": "\x1b[31m666", "title": "\x1b]0;x\x07 [bold]", "status": "open"}) + "\n"
    )
    text = kernel.ok("audit")
    assert "\x1b" not in text
    assert "\\x1b[31m666" in text


def test_without_an_index_it_says_what_to_do(bare: Cli) -> None:
    done = bare("audit")
    assert done.returncode == 1
    assert "run `collectord ingest` first" in done.stderr


def test_an_index_without_runs_is_audited(bare: Cli) -> None:
    bare.ok("ingest")
    assert "collect 20 more runs with an executed plan" in bare.ok("audit")


def test_the_html_page_is_written_whole_and_named(kernel: Cli) -> None:
    pytest.importorskip("vl_convert", reason="the extra `report` is not installed")
    target = kernel.home / "audit.html"
    done = kernel("audit", "--since", "5000w", "--html", str(target))
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"collectord: written: {target}\n"
    text = target.read_text()
    assert text.startswith("<!doctype html>")
    assert text.endswith("</html>\n")
    assert text.count("<svg") == 4  # lanes and coverage, in two widths: all runs are of one week


def test_a_page_that_cannot_be_written_is_said_before_any_work(kernel: Cli) -> None:
    done = kernel("audit", "--html", str(kernel.home / "nowhere/audit.html"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no folder" in done.stderr


def test_without_the_extra_the_page_says_what_to_install_and_the_rest_works(kernel: Cli) -> None:
    # A module of that name that cannot be imported stands in for one that is not installed.
    hidden = kernel.home / "hidden"
    hidden.mkdir()
    # What the import system leaves for a module that is not there.
    (hidden / "sitecustomize.py").write_text("import sys\nsys.modules['vl_convert'] = None\n")
    env = {"PYTHONPATH": str(hidden)}
    done = kernel("audit", "--html", str(kernel.home / "audit.html"), env=env)
    assert done.returncode == 1
    assert "wants the extra `report`, which is not installed" in done.stderr
    assert done.stdout == kernel.ok("audit")


def test_recorded_inputs_are_compared_with_rebuilt_ones(kernel: Cli) -> None:
    found = json.loads(kernel.ok("audit", "--since", "5000w", "--json"))["agreement"]
    # The kernel's own histories show runs that had not ended, and lack some that the index knows.
    assert (found["compared"], found["histories_equal"]) == (66, 47)
    assert len(found["differing"]) == 10


def test_runs_read_from_columns_alone_are_those_that_an_export_reads(kernel: Cli) -> None:
    with IndexReader(kernel.index) as reader:
        whole = [run for run in reader.runs() if run.kind == ARCHIVE]
        plain = plain_runs(reader)
    manifests = [{"manifest.json": run.artifacts["manifest.json"]} for run in whole]
    assert len(plain) == 66
    assert plain == [replace(run, artifacts=m) for run, m in zip(whole, manifests, strict=True)]


def test_the_records_of_some_issues_are_those_among_all(kernel: Cli) -> None:
    with IndexReader(kernel.index) as reader:
        every = issue_history(reader.connection)
        some = issue_history(reader.connection, {"100", "155", "none such", "\udc80", "a\0b"})
        assert issue_history(reader.connection, set()) == {}
    assert len(every) == 60
    assert some == {issue_id: every[issue_id] for issue_id in ("100", "155")}


def test_an_epoch_that_is_not_there_is_said(kernel: Cli) -> None:
    bad = kernel("audit", "--epoch", "99")
    assert bad.returncode == 2
    assert "--epoch 99: there are 1 to " in bad.stderr
    assert kernel("audit", "--epoch", "1").returncode == 0


def test_a_page_that_cannot_be_drawn_costs_no_answer(kernel: Cli) -> None:
    broken = kernel.home / "broken"
    broken.mkdir()
    (broken / "vl_convert.py").write_text("raise OSError('of another libc')\n")
    env = {"PYTHONPATH": str(broken)}
    done = kernel("audit", "--json", "--html", str(kernel.home / "audit.html"), env=env)
    assert done.returncode == 1
    assert "of another libc" in done.stderr
    assert json.loads(done.stdout)["schema"] == "collectord.audit.v2"
