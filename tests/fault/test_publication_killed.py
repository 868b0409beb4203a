"""Publication killed at every step: a reader finds the old state or the new one, whole, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from collectord.intake.ingest import ingest
from tests.conftest import unpack
from tests.support.snapshots import settings_of

ROOT = Path(__file__).resolve().parents[2]
# Fewer would mean that the hook no longer sees the steps.
FEWEST_STEPS = 50


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few archives, ingested."""
    settings = settings_of(unpack("kernel-run", tmp_path_factory.mktemp("killed") / "repo"))
    names = sorted(archive.name for archive in settings.archives_dir.iterdir())[:5]
    ingest(settings, names=frozenset(names))
    return settings.repo


def _tries(repo: Path, scene: str, template: Path) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "tests.support.killing", str(repo), scene, str(template)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=250)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) > FEWEST_STEPS
    assert [one["killed"] for one in found] == [True] * (len(found) - 1) + [False]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("scene", ["old", "foreign"])
def test_a_publication_killed_at_any_step_leaves_the_old_state_or_the_new(
    repo: Path, tmp_path: Path, scene: str
) -> None:
    count = 2 if scene == "old" else 1
    states = set()
    for one in _tries(repo, scene, tmp_path / "template"):
        found, after = one["found"], one["after"]
        where = f"killed before step {one['step']}"
        assert not found["broken"], where
        assert not found["dangling"], where
        assert found["link"] in (None, *found["snapshots"]), where
        assert len(found["snapshots"]) in (count - 1, count), where
        assert len(found["theirs"]) == (scene == "foreign"), where
        if scene == "old":
            assert found["link"] is not None, where
        assert found["left_after"] == [], where
        # The next export brings what is missing and leaves nothing behind.
        assert (len(after["snapshots"]), after["broken"], after["left"]) == (count, [], []), where
        assert after["link"] == max(after["snapshots"], key=lambda name: (len(name), name)), where
        assert len(after["theirs"]) == (scene == "foreign"), where
        states.add((len(found["snapshots"]), found["link"]))
    assert len(states) > 1, "some are killed before the name is given, and some after"
