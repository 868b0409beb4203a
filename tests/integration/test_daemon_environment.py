"""The daemon beside a kernel whose configuration changes: the right epochs, each alert and snapshot once."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Cli
from tests.support.daemon import QUICK, Daemon, configure, wait_until
from tests.support.small_kernel import SmallKernel

SETTINGS = QUICK + "environment: {debounce: 400ms, seal_after: 60s}\n"
RULES = """
routing:
  rules:
    - {match: {dk_risk: critical}, speculate: true, parallelism: %d, use: [codex, claude]}
    - {match: {}, use: [codex]}
"""


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    (tmp_path / "repo/.cyntra/archives").mkdir(parents=True)
    cli = Cli(tmp_path / "repo", tmp_path)
    configure(cli, SETTINGS)
    _write(cli, 60)
    return cli


def _write(cli: Cli, minutes: int, width: int = 3) -> None:
    config = f"toolchains: {{codex: {{model: m1, timeout_minutes: {minutes}}}, claude: {{model: m2}}}}\n"
    (cli.repo / ".cyntra/config.yaml").write_text(config + RULES % width)


def _epochs(cli: Cli) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(cli.ok("epoch", "list", "--json"))["epochs"]
    return found


def _hash(cli: Cli, epoch: str) -> str:
    exported = json.loads(cli.ok("export", "--epoch", epoch, "--dry-run", "--json"))
    return str(exported["dataset_hash"])


def test_a_kernel_that_goes_on_with_its_old_configuration_makes_epochs_of_35_and_20(cli: Cli) -> None:
    kernel = SmallKernel(cli.repo)
    with Daemon(cli).started() as daemon:
        kernel.runs(30)
        daemon.wait_for("archive.indexed", 30)
        _write(cli, 45, width=2)
        [drift] = daemon.wait_for("environment.drift")
        kernel.runs(5)
        [stale] = daemon.wait_for("environment.stale_kernel")
        assert "restart" in stale["advice"]
        SmallKernel(cli.repo).runs(20)
        daemon.wait_for("archive.indexed", 55)
        daemon.wait_for("alert.resolved", alert="environment.stale_kernel")
        daemon.wait_for("epoch.sealed")
        daemon.wait_for("epoch.published")
        time.sleep(0)
        epochs = _epochs(cli)
        assert [(e["runs"], e["state"]) for e in epochs] == [(35, "sealed"), (20, "open")]
        assert len(daemon.events("environment.drift")) == 1
        assert len(daemon.events("environment.stale_kernel")) == 1
        assert len(daemon.events("alert.resolved")) == 1
        assert len(daemon.events("epoch.published")) == 1
    changes = {c["pointer"]: (c["before"], c["after"]) for c in drift["changes"]}
    assert changes == {
        "/routing/rules/0/parallelism": (3, 2),
        "/toolchains/codex/timeout_seconds": (3600, 2700),
    }
    assert any("critical" in words for words in drift["affected"])
    [snapshot] = epochs[0]["snapshots"]
    assert snapshot["dataset_hash"] == _hash(cli, "1")
    published = json.loads((Path(snapshot["path"]) / "snapshot.json").read_text())
    assert (published["example_count"], published["epoch"]["number"]) == (35, 1)


@pytest.mark.slow
def test_what_is_in_flight_at_the_cut_is_waited_for_and_a_late_run_gives_a_further_snapshot(cli: Cli) -> None:
    kernel = SmallKernel(cli.repo)
    with Daemon(cli).started() as daemon:
        kernel.runs(2)
        daemon.wait_for("archive.indexed", 2)
        late = kernel.in_flight()
        with kernel.in_flight():
            late_name = late.__enter__()
            _write(cli, 45)
            daemon.wait_for("epoch.closing")
            SmallKernel(cli.repo).run()
            daemon.wait_for("archive.indexed", 3)
            (cli.repo / ".workcells" / late_name / ".workcell").unlink()
            assert not daemon.events("epoch.sealed")
        daemon.wait_for("epoch.published")
        late.__exit__(None, None, None)
        daemon.wait_for("epoch.published", 2)
        first, second = _epochs(cli)[0]["snapshots"]
    assert (first["superseded"], second["superseded"]) == (True, False)
    counts = [
        json.loads((Path(s["path"]) / "meta.json").read_text())["example_count"] for s in (first, second)
    ]
    assert counts == [3, 4]


@pytest.mark.slow
def test_an_edit_in_five_saves_a_half_written_one_and_an_undo_are_what_they_come_to(cli: Cli) -> None:
    kernel = SmallKernel(cli.repo)
    config = cli.repo / ".cyntra/config.yaml"
    with Daemon(cli).started() as daemon:
        kernel.runs(2)
        daemon.wait_for("archive.indexed", 2)
        for minutes in (50, 51, 52, 53):
            _write(cli, minutes)
            time.sleep(0.1)
        _write(cli, 60)
        whole = config.read_text()
        config.write_text(whole[:30] + "{")
        time.sleep(0.1)
        config.write_text(whole)
        for minutes in (41, 42, 43, 44, 45):
            _write(cli, minutes)
            time.sleep(0.1)
        [drift] = daemon.wait_for("environment.drift")
        SmallKernel(cli.repo).run()
        daemon.wait_for("epoch.published")
        _write(cli, 40)
        daemon.wait_for("environment.drift", 2)
        SmallKernel(cli.repo).run()
        daemon.wait_for("epoch.published", 2)
        config.write_text("toolchains: {")
        daemon.wait_for("environment.unreadable")
        _write(cli, 40)
        daemon.wait_for("alert.resolved", alert="environment.unreadable")
        assert len(daemon.events("environment.drift")) == 2
        epochs = _epochs(cli)
    [change] = drift["changes"]
    assert (change["before"], change["after"]) == (3600, 2700)
    assert [(e["number"], e["runs"], e["state"]) for e in epochs] == [
        (1, 2, "sealed"),
        (2, 1, "sealed"),
        (3, 1, "open"),
    ]
    names = [Path(e["snapshots"][0]["path"]).name for e in epochs[:2]]
    assert names[1] == f"{names[0]}.2"


def test_an_edit_while_nobody_looked_is_found_at_the_start(cli: Cli) -> None:
    kernel = SmallKernel(cli.repo)
    with Daemon(cli).started() as daemon:
        kernel.runs(3)
        daemon.wait_for("epoch.opened")
        daemon.wait_for("archive.indexed", 3)
        assert daemon.stop() == 0
    _write(cli, 45)
    SmallKernel(cli.repo).runs(2)
    with Daemon(cli).started() as daemon:
        [drift] = daemon.wait_for("environment.drift")
        assert drift["source"] == "start"
        daemon.wait_for("epoch.published")
        assert [e["runs"] for e in _epochs(cli)] == [3, 2]


def test_a_cut_by_hand_beside_the_daemon_is_carried_out_with_the_time_of_the_command(cli: Cli) -> None:
    kernel = SmallKernel(cli.repo)
    with Daemon(cli).started() as daemon:
        kernel.runs(2)
        daemon.wait_for("archive.indexed", 2)
        asked = json.loads(cli.ok("epoch", "cut", "--why", "a new kernel", "--json"))
        assert not asked["done"]
        [closing] = daemon.wait_for("epoch.closing")
        assert (closing["why"], closing["ended_ms"]) == ("a new kernel", asked["at_ms"])
        daemon.wait_for("epoch.published")
        kernel.run()
        daemon.wait_for("archive.indexed", 3)
        wait_until(lambda: [e["runs"] for e in _epochs(cli)] == [2, 1], "two epochs")
