"""How much disk each part takes, without following a link, and what the status says of it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from collectord.status.disk_usage import measure
from collectord.status.status import status
from tests.support.cli import Cli
from tests.support.small_kernel import stale_workcell
from tests.support.snapshots import settings_of

MIB = 2**20


def plant(path: Path, mebibytes: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(mebibytes * MIB))


def test_parts_of_archives_are_told_apart_and_links_are_not_followed(kept: Cli, tmp_path: Path) -> None:
    settings = settings_of(kept.repo)
    before = measure(settings)["bytes"]
    plant(tmp_path / "outside/huge", 8)
    for place, size in (("logs/a/b.log", 1), ("renders/x.png", 2), ("assets/y.bin", 1), ("prompt.md", 3)):
        plant(kept.archives / "wc-e001" / place, size)
    plant(kept.archives / "orphaned-workcells/wc-x/deep/file", 1)
    (kept.archives / "wc-e001/logs/out").symlink_to(tmp_path / "outside")
    (kept.archives / "wc-link").symlink_to(tmp_path / "outside")
    after = measure(settings)["bytes"]
    grown = {part: round((after[part] - before[part]) / MIB) for part in after}
    assert {part: size for part, size in grown.items() if size} == {
        "archives logs": 1,
        "archives renders": 3,
        "archives other": 4,
    }
    assert before["archives core"] > 112 * 4096
    assert before["index"] > 0


def test_the_status_shows_the_last_measure_and_what_is_stale_without_a_walk(kept: Cli) -> None:
    stale_workcell(kept.repo)
    text = kept.ok("status")
    assert "not measured yet" in text
    assert "1 in .workcells unchanged for a day: wc-stale" in text
    measured = json.loads(kept.ok("status", "--disk", "--json"))
    assert measured["disk"]["bytes"]["archives core"] > 0
    assert measured["stale_workcells"] == ["wc-stale"]
    assert status(settings_of(kept.repo))["disk"] is None
