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

from tests.demo.__main__ import GOLDEN
from tests.demo.__main__ import main as demo
from tests.demo.fleet import main as fleet_demo

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


@pytest.mark.slow
def test_the_demo_shows_the_main_job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo(tmp_path) == 0
    said = capsys.readouterr().out
    for part in (
        "the same as the kernel's builder makes",
        "environment.drift: toolchains: runs of claude use another model",
        "epoch.published: 33 rows",
        "verified (sums, documents, rows and hash, Parquet, rebuild)",
        "In your own repo",
    ):
        assert part in said
    assert (tmp_path / "audit.html").stat().st_size > 10_000


@pytest.mark.slow
def test_the_fleet_demo_makes_one_dataset_that_others_load(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HOME", "HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "")
    assert fleet_demo(tmp_path) == 0
    said = capsys.readouterr().out
    assert said.count(": 66 rows\n") == 3
    assert "verified (sums, documents, rows and hash, rebuild)" in said


def test_a_dataset_with_another_hash_fails_the_demo(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo(tmp_path, GOLDEN / "universe.tar.gz") == 1
    assert "which the kernel makes" in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["--help"], 0), (["tset"], 2)])
def test_a_command_that_does_not_exist_is_a_usage_error(
    arguments: list[str], code: int, tmp_path: Path
) -> None:
    done = run(*arguments, tmp_path=tmp_path)
    assert done.returncode == code
    assert "demo" in done.stdout + done.stderr
