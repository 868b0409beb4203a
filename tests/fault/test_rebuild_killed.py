"""A rebuild killed at every step leaves the old index or the new one, to readers and to the next writer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from collectord.intake.ingest import ingest
from tests.support.archives import Maker
from tests.support.snapshots import settings_of

ROOT = Path(__file__).resolve().parents[2]
# Fewer would mean that the hook no longer sees the steps.
FEWEST_STEPS = 15


@pytest.mark.slow
def test_a_rebuild_killed_at_any_step_leaves_the_old_index_or_the_new(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "repo", seed=5)
    maker.add(2)
    settings = settings_of(tmp_path / "repo")
    ingest(settings)
    command = [sys.executable, "-m", "tests.support.rebuild_killing", str(settings.repo)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=250)
    assert done.returncode == 0, done.stderr
    tries = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(tries) > FEWEST_STEPS
    assert [one["killed"] for one in tries] == [True] * (len(tries) - 1) + [False]
    for one in tries:
        assert one["reader"] in ("old", "new"), one
        assert one["writer"] in ("old", "new"), one
        assert one["aside"] == (["old"] if one["writer"] == "new" else []), one
    assert {one["writer"] for one in tries} == {"old", "new"}
    assert tries[-1]["writer"] == "new"
