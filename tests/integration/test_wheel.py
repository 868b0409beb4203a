"""The built wheel, in an environment of its own, runs the main job away from the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.conftest import GOLDEN, unpack

ROOT = Path(__file__).resolve().parents[2]


def _run(*command: str, cwd: Path) -> str:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environ, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_an_installed_wheel_runs_the_main_job(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    _run(*build, cwd=tmp_path)
    wheel = next(tmp_path.glob("collectord-*.whl"))
    venv.create(tmp_path / "env", with_pip=True)
    python = str(tmp_path / "env/bin/python")
    _run(python, "-m", "pip", "install", "--quiet", str(wheel), cwd=tmp_path)
    repo = unpack("kernel-run", tmp_path / "repo")
    collectord = [str(tmp_path / "env/bin/collectord"), "--repo", str(repo)]
    _run(*collectord, "ingest", cwd=tmp_path)
    out = _run(*collectord, "export", "--profile", "builder", "--out", "built", "--json", cwd=tmp_path)
    expected = json.loads((GOLDEN / "kernel-run.expected.json").read_text())[0]["meta"]["dataset_hash"]
    assert json.loads(out)["dataset_hash"] == expected
    _run(*collectord, "export", cwd=tmp_path)
    assert "verified" in _run(*collectord, "verify", "built", "--rebuild", cwd=tmp_path)
    where = _run(python, "-c", "import collectord; print(collectord.__file__)", cwd=tmp_path)
    assert where.startswith(str(tmp_path / "env"))
