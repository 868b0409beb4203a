"""Metrics of a real index, as Prometheus' own tool reads them, and the files that come with them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from collectord.status.health import checks
from collectord.status.metrics import families
from tests.support.archives import Maker
from tests.support.cli import Cli
from tests.support.daemon import QUICK, Daemon, configure, wait_until
from tests.unit.test_doctor import FACTS

MONITORING = Path(__file__).resolve().parents[2] / "docs/monitoring"
NO_PROMTOOL = "SKIPPED, METRICS UNCHECKED: promtool is missing (apt-get install prometheus)"
pytest.importorskip("prometheus_client", reason="the extra `metrics` is not installed")


def promtool(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip(NO_PROMTOOL)
    return subprocess.run([tool, *arguments], input=text, capture_output=True, text=True, check=False)


def values(text: str) -> dict[str, float]:
    found = re.findall(r"^(collectord_\S+) (\S+)$", text, re.M)
    return {name: float(value) for name, value in found}


def test_promtool_finds_nothing_wrong_with_them(kept: Cli) -> None:
    text = kept.ok("metrics")
    # Its linter knows the older text format, which has no end mark.
    done = promtool("check", "metrics", text=text.replace("# EOF\n", ""))
    assert done.returncode == 0, done.stdout + done.stderr


def test_they_say_what_the_status_says(kept: Cli) -> None:
    found, status = values(kept.ok("metrics")), json.loads(kept.ok("status", "--json"))
    assert found['collectord_archives{state="indexed"}'] == status["archives"]["indexed"]
    assert found["collectord_epoch"] == status["environment"]["epoch"]["number"]
    assert found[f'collectord_health{{state="{status["health"]["state"]}"}}'] == 1
    assert found["collectord_up"] == 0
    runs = sum(value for name, value in found.items() if name.startswith("collectord_runs{"))
    assert runs == status["runs"]


def test_before_the_first_ingest_there_is_only_health(bare: Cli) -> None:
    found = values(bare.ok("metrics"))
    assert found["collectord_up"] == 0
    assert "collectord_epoch" not in found


def test_the_daemon_writes_them_and_answers_scrapes(bare: Cli) -> None:
    target, port = bare.home / "collectord.prom", 19464
    configure(bare, f"{QUICK}metrics: {{textfile: {target}, listen: '127.0.0.1:{port}'}}\n")
    Maker(bare.repo).add(2)
    with Daemon(bare) as daemon:
        daemon.wait_for("archive.indexed", 2)
        wait_until(
            lambda: target.exists() and values(target.read_text()).get("collectord_up") == 1, "the file"
        )
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            scraped = values(answer.read().decode())
        assert scraped['collectord_archives{state="indexed"}'] == 2


def test_rules_are_right_and_rules_and_dashboard_name_only_metrics_that_exist() -> None:
    done = promtool("check", "rules", str(MONITORING / "rules.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    known = {f"collectord_{name}" for name, _, _ in families({}, checks(FACTS))}
    named = set()
    for page in ("rules.yml", "grafana.json"):
        named |= set(re.findall(r"\bcollectord_[a-z_]+", (MONITORING / page).read_text()))
    assert named <= known
    documented = set(re.findall(r"\bcollectord_[a-z_]+", (MONITORING / "README.md").read_text()))
    assert documented == known


def test_only_fixed_sets_are_label_values() -> None:
    hostile: dict[str, Any] = {
        "outcomes": [{"status": 'evil"\n', "swarm_id": "x", "max_candidates": 9, "runs": 1}],
        "disk": {"bytes": {"evil": 5, "index": 7}},
    }
    found = {name: samples for name, _, samples in families(hostile, [])}
    assert found["runs"] == [({"outcome": "other", "lane": "other"}, 1.0)]
    assert found["bytes"] == [({"part": "index"}, 7.0)]
