"""The same archives give the same bytes whatever the process is like that makes them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import unpack

SURROUNDINGS = [
    {"PYTHONHASHSEED": "1", "LC_ALL": "C", "TZ": "Pacific/Kiritimati"},
    {"PYTHONHASHSEED": "2", "LC_ALL": "C.UTF-8", "TZ": "America/St_Johns", "PYTHONUTF8": "0"},
]


@pytest.mark.slow
@pytest.mark.parametrize("corpus", ["universe", "kernel-run"])
def test_hash_seed_locale_and_zone_change_no_byte(tmp_path: Path, corpus: str) -> None:
    made = []
    for number, surroundings in enumerate(SURROUNDINGS):
        repo = unpack(corpus, tmp_path / f"repo{number}")
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **surroundings}
        run = [sys.executable, "-m", "collectord", "--repo", str(repo)]
        for step in (["ingest"], ["export", "--out", f"dispatch{number}"], ["export", "--n-similar", "3"]):
            subprocess.run([*run, *step], check=True, env=environ, cwd=tmp_path, capture_output=True)
        folders = [tmp_path / f"dispatch{number}", repo / ".cyntra/benches/planner_dataset_v1"]
        files = [(folder, f) for folder in folders for f in sorted(folder.rglob("*")) if f.is_file()]
        made.append([(f.relative_to(folder), f.read_bytes()) for folder, f in files])
    assert made[0] == made[1]
