"""Archives that were not taken: shown with what helps, and read again when a person says so."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.support.cli import Cli
from tests.support.daemon import QUICK, Daemon, configure


@pytest.fixture
def poisoned(ingested: Cli) -> Cli:
    """The `universe` corpus with one archive that went into quarantine after it was indexed."""
    proof = ingested.archives / "wc-e001/proof.json"
    proof.unlink()
    proof.symlink_to("elsewhere")
    ingested.ok("ingest")
    return ingested


def test_show_says_why_and_what_helps(poisoned: Cli) -> None:
    text = poisoned.ok("quarantine", "show", str(poisoned.archives / "wc-e001"))
    assert "wc-e001 (archive): proof.json: symlink" in text
    assert "links are never followed" in text
    assert "its last good revision counts" in text
    document = json.loads(poisoned.ok("quarantine", "show", "wc-e001", "--json"))
    assert document["quarantined"][0]["tries"] == 1


def test_show_of_an_archive_that_was_taken_says_where_to_look(poisoned: Cli) -> None:
    done = poisoned("quarantine", "show", "wc-e002")
    assert done.returncode == 1
    assert "collectord explain wc-e002" in done.stderr


def test_an_unchanged_archive_is_read_again_only_after_a_requeue(poisoned: Cli) -> None:
    def tries() -> int:
        return int(json.loads(poisoned.ok("quarantine", "list", "--json"))["quarantined"][0]["tries"])

    poisoned.ok("ingest")
    assert tries() == 1
    assert "1 requeued" in poisoned.ok("quarantine", "requeue", "wc-e001")
    poisoned.ok("ingest", "wc-e001")
    assert tries() == 1  # counted from the start: it was forgotten and tried once since
    poisoned.ok("quarantine", "requeue", "--all")
    assert tries() == 0


def test_a_healed_archive_leaves_quarantine_after_a_requeue(poisoned: Cli) -> None:
    shutil.rmtree(poisoned.archives / "wc-e001")
    shutil.copytree(poisoned.archives / "wc-e002", poisoned.archives / "wc-e001")
    poisoned.ok("quarantine", "requeue", "wc-e001")
    poisoned.ok("ingest", "wc-e001")
    assert json.loads(poisoned.ok("quarantine", "list", "--json"))["quarantined"] == []
    assert "nothing is in quarantine" in poisoned.ok("quarantine", "requeue", "--all")


def test_requeue_needs_a_name_that_is_in_quarantine_or_all(poisoned: Cli) -> None:
    assert poisoned("quarantine", "requeue").returncode == 2
    assert poisoned("quarantine", "requeue", "--all", "wc-e001").returncode == 2
    done = poisoned("quarantine", "requeue", "wc-e001", "wc-e002")
    assert done.returncode == 1
    assert "wc-e002: is not in quarantine" in done.stderr


def test_requeue_beside_a_daemon_is_carried_out_by_it(poisoned: Cli) -> None:
    configure(poisoned, QUICK)
    with Daemon(poisoned) as daemon:
        daemon.wait_for("daemon.started")
        assert "the running daemon reads them now" in poisoned.ok("quarantine", "requeue", "wc-e001")
        daemon.wait_for("quarantine.requeued", archives=1)
        daemon.wait_for("archive.quarantined", archive="wc-e001")


def test_requeue_before_the_first_ingest_says_so(bare: Cli) -> None:
    done = bare("quarantine", "requeue", "--all")
    assert done.returncode == 1
    assert "no index yet" in done.stderr
    assert not bare.index.exists()
