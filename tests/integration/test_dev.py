from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

DEV = Path(__file__).resolve().parents[2] / "dev"


@pytest.fixture
def dev() -> ModuleType:
    loader = SourceFileLoader("dev", str(DEV))
    spec = importlib.util.spec_from_loader("dev", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = writes
    return module


def run(*arguments: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, DEV, *arguments],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def fake_collectord(tmp_path: Path, body: str) -> str:
    path = tmp_path / "collectord"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_an_older_python_can_still_read_the_file_to_be_told_that_it_is_too_old(dev: ModuleType) -> None:
    ast.parse(DEV.read_text(), feature_version=(3, 6))
    assert dev.python_is_too_old((3, 11, 0), "./dev") is None
    assert "this is Python 3.9 and collectord needs 3.11 or newer" in dev.python_is_too_old(
        (3, 9, 2), "./dev"
    )


def test_a_missing_venv_module_names_the_command_that_brings_it(
    dev: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dev, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(dev, "find_spec", lambda name: None)
    monkeypatch.setattr(dev, "os_family", lambda: "ID=ubuntu ID_LIKE=debian")
    with pytest.raises(dev.Failed, match=r"apt-get install python3\.\d+-venv$"):
        dev.make_venv()


def test_a_failing_command_fails_the_demo_with_its_output_and_leaves_nothing(tmp_path: Path) -> None:
    collectord = fake_collectord(tmp_path, 'echo "the disk is full" >&2; exit 7')
    done = run("demo", "--collectord", collectord, tmp_path=tmp_path)
    assert done.returncode == 1
    assert "collectord ingest failed (exit code 7):\nthe disk is full" in done.stderr
    assert list(tmp_path.glob("collectord-demo-*")) == []


def test_a_dataset_with_another_hash_fails_the_demo(tmp_path: Path) -> None:
    body = """
    [ "$3" = export ] || exit 0
    out="${7:-$2/.cyntra/benches/planner_dataset_v1}"
    mkdir -p "$out"
    echo '{"dataset_hash": "27fe", "example_count": 66}' > "$out/meta.json"
    """
    done = run("demo", "--keep", "--collectord", fake_collectord(tmp_path, body), tmp_path=tmp_path)
    assert done.returncode == 1, done.stderr
    assert done.stdout.count("DIFFERENT, expected") == 2
    (kept,) = tmp_path.glob("collectord-demo-*")
    assert len(list((kept / "repo" / ".cyntra" / "archives").iterdir())) >= 66


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["--help"], 0), (["tset"], 2)])
def test_a_command_that_does_not_exist_is_a_usage_error(
    arguments: list[str], code: int, tmp_path: Path
) -> None:
    done = run(*arguments, tmp_path=tmp_path)
    assert done.returncode == code
    assert "demo" in done.stdout + done.stderr
