"""The environment from the command line, without a daemon: what a person sees, and what an export takes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import unpack
from tests.support.cli import Cli


@pytest.fixture(scope="module")
def kernel_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `kernel-run` corpus, ingested; only to be copied."""
    folder = tmp_path_factory.mktemp("environment")
    repo = unpack("kernel-run", folder / "repo")
    Cli(repo, folder).ok("ingest")
    return repo


@pytest.fixture
def kernel(kernel_run: Path, tmp_path: Path) -> Cli:
    return Cli(Path(shutil.copytree(kernel_run, tmp_path / "repo", symlinks=True)), tmp_path)


def _json(cli: Cli, *args: str) -> Any:
    return json.loads(cli.ok(*args, "--json"))


def _edit(cli: Cli, before: str, after: str) -> None:
    config = cli.repo / ".cyntra/config.yaml"
    text = config.read_text()
    assert before in text
    config.write_text(text.replace(before, after))


def test_a_real_kernel_run_is_one_epoch_and_its_default_export_has_every_row(kernel: Cli) -> None:
    [epoch] = _json(kernel, "epoch", "list")["epochs"]
    assert (epoch["number"], epoch["runs"], epoch["origin"], epoch["state"]) == (1, 66, "policy", "open")
    exported = _json(kernel, "export", "--dry-run")
    assert (exported["example_count"], exported["not_selected"]) == (66, {})
    assert exported["dataset_hash"] == _json(kernel, "export", "--dry-run", "--epoch", "all")["dataset_hash"]
    assert _json(kernel, "drift", "list")["alerts"][0]["event"] == "epoch.opened"


def test_hand_made_archives_that_show_little_are_not_scattered(ingested: Cli) -> None:
    [epoch] = _json(ingested, "epoch", "list")["epochs"]
    assert (epoch["runs"], epoch["origin"]) == (111, "evidence")
    assert _json(ingested, "export", "--dry-run")["example_count"] == 93


def test_a_snapshot_says_of_which_epoch_and_environment_it_is(kernel: Cli) -> None:
    path = Path(_json(kernel, "export", "--epoch", "1")["path"])
    snapshot = json.loads((path / "snapshot.json").read_text())
    [epoch] = _json(kernel, "epoch", "list")["epochs"]
    assert snapshot["epoch"]["number"] == 1
    assert snapshot["environment"]["fingerprint"] == epoch["fingerprint"]
    assert snapshot["options"]["epoch"] == 1
    assert "toolchains" in json.loads((path / "environment.json").read_text())["components"]
    assert kernel("verify", str(path), "--rebuild").returncode == 0


def test_a_cut_by_hand_opens_an_epoch_with_the_next_run(kernel: Cli) -> None:
    kernel.ok("epoch", "cut", "--why", "a new kernel")
    [epoch] = _json(kernel, "epoch", "list")["epochs"]
    assert (epoch["why"], epoch["state"]) == ("a new kernel", "closing")
    assert kernel("epoch", "cut", "--why", " ").returncode == 2


def test_an_edit_is_told_with_what_it_does_and_once(kernel: Cli) -> None:
    _edit(
        kernel,
        'dk_risk: ["critical"] }\n      speculate: true\n      parallelism: 3',
        'dk_risk: ["critical"] }\n      speculate: true\n      parallelism: 2',
    )
    told = kernel.ok("ingest")
    assert "environment.drift" in told
    assert "environment.drift" not in kernel.ok("ingest")
    [alert] = [a for a in _json(kernel, "drift", "list")["alerts"] if a["event"] == "environment.drift"]
    [change] = alert["fields"]["changes"]
    assert (change["pointer"], change["before"], change["after"]) == ("/routing/rules/0/parallelism", 3, 2)
    assert any("critical" in words for words in alert["fields"]["affected"])
    assert kernel.ok("drift", "ack", str(alert["id"])) == "1 marked as seen\n"
    assert _json(kernel, "drift", "show", str(alert["id"]))["alert"]["state"] == "acknowledged"
    text = kernel.ok("environment", "diff", "1", "now")
    assert "/routing/rules/0/parallelism" in text
    assert kernel("environment", "diff", "1", "now", "--exit-code").returncode == 1
    assert kernel("environment", "diff", "1", "1", "--exit-code").returncode == 0
    assert len(_json(kernel, "environment", "history")["stretches"]) == 2


def test_an_epoch_that_ended_says_why_it_is_current_and_when_it_is_sealed(kernel: Cli) -> None:
    workcell = kernel.repo / ".workcells/wc-900-20261123T181340Z"
    workcell.mkdir(parents=True)
    (workcell / ".workcell").write_text('{"id": "wc-900-20261123T181340Z", "created": "20261123T181340Z"}')
    _edit(kernel, "timeout_minutes: 45", "timeout_minutes: 50")
    kernel.ok("ingest")
    [epoch] = _json(kernel, "epoch", "list")["epochs"]
    assert (epoch["current"], epoch["state"]) == (True, "closing")
    # The longest time limit of its toolchains is an hour, and ten minutes are granted.
    assert epoch["sealed_by_ms"] == epoch["closing_ms"] + 70 * 60_000
    said = kernel("epoch", "list").stderr
    assert "epoch 1 stays the current one, which `export` takes, until a run of the next is indexed" in said
    assert "sealed once nothing of it can be in flight, at the latest at 20" in said
    assert "at the latest at 20" in kernel.ok("epoch", "show", "1")


def test_an_edit_that_is_undone_says_so(kernel: Cli) -> None:
    _edit(kernel, "timeout_minutes: 45", "timeout_minutes: 50")
    kernel.ok("ingest")
    _edit(kernel, "timeout_minutes: 50", "timeout_minutes: 45")
    assert "environment.drift (over)" in kernel.ok("ingest")
    [epoch] = _json(kernel, "epoch", "list")["epochs"]
    assert (epoch["runs"], epoch["ended_ms"], epoch["state"]) == (66, None, "open")


def test_a_half_written_file_makes_the_environment_unknown_until_it_can_be_read(kernel: Cli) -> None:
    config = kernel.repo / ".cyntra/config.yaml"
    whole = config.read_text()
    config.write_text(whole[:60] + "{")
    assert "environment.unreadable: .cyntra/config.yaml" in kernel.ok("ingest")
    assert "unknown at the moment" in kernel.ok("environment", "show")
    config.write_text(whole)
    assert "environment.unreadable (over)" in kernel.ok("ingest")
    assert len(_json(kernel, "environment", "history")["stretches"]) == 1


def test_secrets_of_an_environment_are_shown_nowhere(kernel: Cli) -> None:
    secret = "sk-THISISASECRET1234567890"
    _edit(kernel, "timeout_minutes: 45", f"timeout_minutes: 50, env: {{OPENAI_API_KEY: {secret}}}")
    shown = kernel.ok("ingest")
    for command in (["environment", "show"], ["drift", "list"], ["environment", "diff", "1", "now"]):
        shown += kernel.ok(*command) + kernel.ok(*command, "--json")
    assert secret not in shown


def test_two_configuration_files_are_compared_without_an_index(tmp_path: Path, bare: Cli) -> None:
    one, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
    one.write_text("gates: {test_command: pytest}\n")
    other.write_text(
        "include: base.yaml\ngates: {lint_command: 'ruff check .'}\n# the defaults written out\n"
    )
    (tmp_path / "base.yaml").write_text("gates: {timeout_seconds: 300}\n")
    assert "the same environment" in bare.ok("environment", "diff", str(one), str(other))
    other.write_text("gates: {test_command: make test}\n")
    assert "/gates/test_command" in bare.ok("environment", "diff", str(one), str(other))


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (("epoch", "show", "7"), "there are 1 to 1"),
        (("export", "--epoch", "7"), "no such epoch"),
        (("export", "--epoch", "newest"), "no such epoch"),
        (("export", "--environment", "abcdef99"), "no fingerprint"),
        (("environment", "diff", "1", "nonsense"), "neither an epoch"),
        (("environment", "show", "--at", "yesterday"), "not a time"),
        (("drift", "show", "999"), "there is none"),
        (("drift", "ack"), "--all"),
        (("environment", "backfill"), "git history cannot be read"),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(kernel: Cli, args: tuple[str, ...], word: str) -> None:
    done = kernel(*args)
    assert done.returncode in (1, 2)
    assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_an_environment_joins_the_epochs_that_share_it(kernel: Cli) -> None:
    [epoch] = _json(kernel, "epoch", "list")["epochs"]
    exported = _json(kernel, "export", "--dry-run", "--environment", epoch["fingerprint"][:8])
    assert exported["example_count"] == 66


def test_a_change_that_the_configuration_calls_harmless_ends_no_epoch(kernel: Cli) -> None:
    (kernel.repo / ".cyntra/collectord.yaml").write_text("environment: {severity: {/gates: warn}}\n")
    _edit(kernel, "timeout_seconds: 30}", "timeout_seconds: 31}")
    assert "environment.drift" in kernel.ok("ingest")
    [epoch] = _json(kernel, "epoch", "list")["epochs"]
    assert (epoch["ended_ms"], epoch["state"]) == (None, "open")


def test_status_says_what_stands_and_which_alerts_are_open(kernel: Cli) -> None:
    found = _json(kernel, "status")["environment"]
    assert (found["fingerprint"], found["alerts"]) == (
        _json(kernel, "environment", "show")["environment"]["fingerprint"],
        {},
    )
    (kernel.repo / ".cyntra/config.yaml").write_text("toolchains: [")
    kernel.ok("ingest")
    assert _json(kernel, "status")["environment"]["alerts"] == {"environment.unreadable": 1}
    assert "1 environment.unreadable (`collectord drift list`)" in kernel.ok("status")


def test_a_broken_file_that_is_compared_is_named_as_it_was_given(kernel: Cli, tmp_path: Path) -> None:
    broken = tmp_path / "next.yaml"
    broken.write_text("toolchains: [")
    done = kernel("environment", "diff", "now", str(broken))
    assert (done.returncode, f"{broken}: not valid YAML" in done.stderr) == (1, True)
    done = kernel("environment", "diff", "now", str(tmp_path / "other.yaml"))
    assert "other.yaml: no such file" in done.stderr
