"""`collectord doctor` on real repos, whole and broken."""

from __future__ import annotations

import json

from tests.support.cli import Cli
from tests.support.small_kernel import stale_workcell


def test_a_repo_before_its_first_ingest_is_no_error(bare: Cli) -> None:
    document = json.loads(bare.ok("doctor", "--json"))
    assert document["ok"]
    assert not bare.index.exists(), "looking makes nothing"


def test_findings_usage_and_stale_workcells_are_told(ingested: Cli) -> None:
    stale_workcell(ingested.repo)
    text = ingested.ok("doctor")
    assert "wc-stale" in text
    assert "backups: there is none" in text
    assert "on disk: archives " in text


def test_a_damaged_index_ends_with_1_and_without_a_traceback(ingested: Cli) -> None:
    ingested.index.write_bytes(b"no index" * 1000)
    done = ingested("doctor")
    assert done.returncode == 1
    assert "act   index: " in done.stdout
    assert "Traceback" not in done.stderr
