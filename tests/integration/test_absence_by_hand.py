"""A pass by hand believes an absence as the daemon does: when a pass a minute later misses it too."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from collectord.index.writer import IndexWriter
from collectord.intake.ingest import IngestResult, ingest_options, ingest_repo
from tests.conftest import unpack

START_MS = 1_800_000_000_000
MINUTE_MS = 60_000


class Passes:
    """Passes over one repo, each at a time of its own and by a writer of its own, as commands are."""

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def at(self, minutes: float, **options: Any) -> IngestResult:
        chosen = ingest_options(self.settings, **options)
        writer = IndexWriter(self.settings.index_path)
        now_ms = START_MS + int(minutes * MINUTE_MS)
        try:
            archives = self.settings.archives_dir
            return ingest_repo(writer, self.settings.repo, archives, chosen, clock_ms=lambda: now_ms)
        finally:
            writer.close()


@pytest.fixture
def passes(tmp_path: Path, settings_for: Any) -> Passes:
    settings = settings_for(unpack("kernel-run", tmp_path / "repo"))
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    made = Passes(settings)
    made.at(0)
    return made


def _remove(passes: Passes, number: int) -> list[Path]:
    chosen = sorted(passes.settings.archives_dir.iterdir())[:number]
    for folder in chosen:
        shutil.rmtree(folder)
    return chosen


def _said(found: IngestResult) -> tuple[int, int, int]:
    return found.gone, found.missing_not_yet, found.missing_not_believed


def test_one_pass_is_not_enough_and_neither_are_two_in_one_minute(passes: Passes) -> None:
    _remove(passes, 3)
    assert _said(passes.at(10)) == (0, 3, 0)
    assert _said(passes.at(10.5)) == (0, 3, 0)
    assert _said(passes.at(11.1)) == (3, 0, 0)
    assert _said(passes.at(12)) == (0, 0, 0)


def test_what_comes_back_between_two_passes_begins_anew(passes: Passes, tmp_path: Path) -> None:
    folder = sorted(passes.settings.archives_dir.iterdir())[0]
    shutil.move(folder, tmp_path / "away")
    assert _said(passes.at(10)) == (0, 1, 0)
    shutil.move(tmp_path / "away", folder)
    assert _said(passes.at(20)) == (0, 0, 0)
    shutil.move(folder, tmp_path / "away")
    assert _said(passes.at(30)) == (0, 1, 0)
    assert _said(passes.at(32)) == (1, 0, 0)


def test_many_at_once_are_believed_after_a_day_or_when_a_person_says_so(passes: Passes) -> None:
    _remove(passes, 30)
    assert _said(passes.at(10)) == (0, 0, 30)
    assert _said(passes.at(60)) == (0, 0, 30)
    assert _said(passes.at(61, accept_gone=True)) == (30, 0, 0)
    _remove(passes, 36)
    assert _said(passes.at(100)) == (0, 0, 36)
    assert _said(passes.at(100 + 24 * 60 + 1)) == (36, 0, 0)


def test_a_folder_that_was_replaced_is_an_alarm_however_few_are_missing(passes: Passes) -> None:
    archives = passes.settings.archives_dir
    passes.at(5)
    _remove(passes, 1)
    assert _said(passes.at(10)) == (0, 1, 0)
    archives.rename(archives.with_name("old"))
    shutil.copytree(archives.with_name("old"), archives)
    assert _said(passes.at(20)) == (0, 0, 1)
