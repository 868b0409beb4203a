"""The weekly report, written by a real daemon over a real kernel's archives."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collectord.daemon.schedule import DAYS, WITHOUT_PAGE, report_name, weekly
from tests.conftest import unpack
from tests.support.archives import Maker
from tests.support.cli import Cli
from tests.support.daemon import QUICK, Daemon, configure

pytestmark = pytest.mark.slow
WEEK = timedelta(days=7)


@pytest.fixture
def due(tmp_path: Path) -> datetime:
    """When the last report was due: two days ago, so that no hour of this test is near the next one."""
    now = datetime.now(UTC)
    slot = weekly(DAYS[(now - timedelta(days=2)).weekday()], 4)
    return datetime.fromtimestamp(slot.last_ms(round(now.timestamp() * 1000)) / 1000, UTC)


@pytest.fixture
def old(tmp_path: Path, due: datetime) -> Cli:
    """A kernel's repo whose index began three weeks before the report was due."""
    cli = Cli(unpack("kernel-run", tmp_path / "repo"), tmp_path)
    cli.ok("ingest")
    began = str(round((due - 3 * WEEK).timestamp() * 1000))
    with closing(sqlite3.connect(cli.index)) as connection, connection:
        connection.execute("UPDATE index_info SET value = ? WHERE key = 'first_ingest_ms'", (began,))
    configure(cli, f"{QUICK}audit: {{weekly: {DAYS[due.weekday()]}, hour: 4}}\n")
    return cli


def _name(due: datetime) -> str:
    return report_name(round(due.timestamp() * 1000))


def _reports(cli: Cli) -> set[str]:
    return {path.name for path in (cli.repo / ".cyntra/reports/collectord").iterdir()}


def _write_one(cli: Cli, env: dict[str, str] | None = None) -> Daemon:
    """A daemon that wrote a report, and then took in what landed; it is stopped."""
    with Daemon(cli, env) as daemon:
        daemon.wait_for("audit.written")
        [name] = Maker(cli.repo, seed=len(list(cli.archives.iterdir()))).add(1)
        daemon.wait_for("archive.indexed", archive=name)
        assert daemon.stop() == 0
    return daemon


def test_a_report_is_written_once_a_week_and_after_a_week_that_was_missed(old: Cli, due: datetime) -> None:
    pytest.importorskip("vl_convert", reason="the extra `report` is not installed")
    name, before = _name(due), _name(due - WEEK)
    daemon = _write_one(old)
    [line] = daemon.events("audit.written")
    assert line["file"].endswith(f".cyntra/reports/collectord/{name}.json")
    assert line["lanes"] == "A=leaning high B=leaning low C=about right"
    assert "collection" in line["found"].split(",")
    assert (line["phase"], line["environment_failures"]) == (0, 0)
    assert _reports(old) == {f"{name}.json", f"{name}.html"}
    folder = old.repo / ".cyntra/reports/collectord"
    assert json.loads((folder / f"{name}.json").read_text())["schema"] == "collectord.audit.v2"
    assert (folder / f"{name}.html").read_text().endswith("</html>\n")

    with Daemon(old).started() as again:
        [landed] = Maker(old.repo, seed=99).add(1)
        again.wait_for("archive.indexed", archive=landed)
        assert again.stop() == 0
    assert [job["job"] for job in again.events("job.started") if job["job"] == "audit"] == []

    for suffix in ("json", "html"):  # a week goes by
        (folder / f"{name}.{suffix}").rename(folder / f"{before}.{suffix}")
    assert len(_write_one(old).events("audit.written")) == 1
    assert _reports(old) == {f"{week}.{suffix}" for week in (name, before) for suffix in ("json", "html")}


def test_without_the_extra_the_report_has_no_page_and_that_is_said_once(old: Cli, due: datetime) -> None:
    hidden = old.home / "hidden"
    hidden.mkdir()
    # What the import system leaves for a module that is not there.
    (hidden / "sitecustomize.py").write_text("import sys\nsys.modules['vl_convert'] = None\n")
    daemon = _write_one(old, {"PYTHONPATH": str(hidden)})
    assert [line["why"] for line in daemon.events("audit.without_page")] == [WITHOUT_PAGE]
    assert len(daemon.events("audit.written")) == 1
    assert _reports(old) == {f"{_name(due)}.json"}
