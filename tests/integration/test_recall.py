"""An export with nothing new repeats the last one, and only where that is still to the byte what it was."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from collectord.config import Settings
from collectord.dataset.exporter import Exported, export
from collectord.dataset.row_plan import BUILDER, DISPATCH, ExportOptions
from collectord.dataset.verify import verify
from collectord.intake.ingest import ingest

KINDS = [ExportOptions(), ExportOptions(DISPATCH, 4), ExportOptions(BUILDER)]


@pytest.fixture
def settings(golden_repo: Any, settings_for: Any) -> Settings:
    found: Settings = settings_for(golden_repo("universe"))
    ingest(found)
    return found


def _files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _memory(settings: Settings) -> Path:
    [path] = (settings.state_dir / "cache").glob("last-*.json")
    return path


@pytest.mark.parametrize("options", KINDS, ids=lambda options: f"{options.profile}-{options.n_similar}")
def test_an_export_with_nothing_new_is_the_last_one_again(
    settings: Settings, tmp_path: Path, options: ExportOptions
) -> None:
    first = export(settings, options, out=tmp_path / "first")
    # Without its rows nothing could be made in any other way without computing.
    shutil.rmtree(settings.state_dir / "cache")
    export(settings, options, out=tmp_path / "second")
    for rows in (settings.state_dir / "cache").glob("rows-*"):
        rows.unlink()
    third = export(settings, options, out=tmp_path / "third")
    assert (third.rows_computed, third.is_new) == (0, True)
    assert (third.meta, third.document) == (first.meta, first.document)
    assert _files(tmp_path / "third") == _files(tmp_path / "first")
    assert not verify(settings, tmp_path / "third").findings


def test_nothing_new_at_the_default_place_names_what_is_there(settings: Settings) -> None:
    first = export(settings, ExportOptions())
    again = export(settings, ExportOptions())
    assert (again.path, again.is_new, again.rows_computed) == (first.path, False, 0)
    assert (again.meta, again.document) == (first.meta, first.document)


def _alter(path: Path) -> None:
    path.chmod(0o644)
    data = path.read_bytes()
    path.write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])


def _alter_rows(last: Path, _memory: Path) -> None:
    _alter(last / "dataset.jsonl")


def _alter_card(last: Path, _memory: Path) -> None:
    _alter(last / "runs.jsonl")


def _remove(last: Path, _memory: Path) -> None:
    shutil.rmtree(last)


def _link_elsewhere(last: Path, _memory: Path) -> None:
    (last / "dataset.jsonl").unlink()
    (last / "dataset.jsonl").symlink_to("/dev/zero")


def _tear(_last: Path, memory: Path) -> None:
    memory.write_bytes(memory.read_bytes()[:-20])


def _rewrite(_last: Path, memory: Path) -> None:
    head, _, body = memory.read_text().partition("\n")
    last = json.loads(body)
    last["meta"]["dataset_hash"] = "0" * 64
    memory.write_text(f"{head}\n{json.dumps(last)}")


HARM = [_alter_rows, _alter_card, _remove, _link_elsewhere, _tear, _rewrite]


@pytest.mark.parametrize("harm", HARM, ids=lambda harm: harm.__name__)
def test_a_last_export_that_is_not_as_it_was_is_made_again(
    settings: Settings, tmp_path: Path, harm: Callable[[Path, Path], None]
) -> None:
    expected: Exported = export(settings, ExportOptions(), out=tmp_path / "last")
    files = _files(tmp_path / "last")
    harm(tmp_path / "last", _memory(settings))
    again = export(settings, ExportOptions(), out=tmp_path / "again")
    assert _files(tmp_path / "again") == files
    assert (again.meta, again.document) == (expected.meta, expected.document)


def test_a_change_of_any_input_is_not_taken_for_nothing_new(settings: Settings, tmp_path: Path) -> None:
    export(settings, ExportOptions(), out=tmp_path / "last")
    proof = sorted((settings.repo / ".cyntra/archives").glob("*/proof.json"))[0]
    proof.write_text(proof.read_text().replace("{", '{"failure_code": "late", ', 1))
    ingest(settings)
    again = export(settings, ExportOptions(), out=tmp_path / "again")
    assert (
        again.document["runs_digest"]
        != json.loads((tmp_path / "last/snapshot.json").read_text())["runs_digest"]
    )


def test_beads_torn_while_an_export_reads_are_not_published_again(settings: Settings, tmp_path: Path) -> None:
    beads = settings.repo / ".beads/issues.jsonl"
    whole, opened = beads.read_bytes(), [0]
    watching = [True]

    def tear(event: str, args: tuple[Any, ...]) -> None:
        if watching[0] and event == "open" and str(args[0]) == str(beads):
            opened[0] += 1
            if opened[0] == 2:
                watching[0] = False
                beads.write_bytes(whole[: len(whole) // 2])

    sys.addaudithook(tear)
    export(settings, ExportOptions(BUILDER), out=tmp_path / "first")
    watching[0] = False
    beads.write_bytes(whole)
    export(settings, ExportOptions(BUILDER), out=tmp_path / "again")
    shutil.rmtree(settings.state_dir / "cache")
    export(settings, ExportOptions(BUILDER), out=tmp_path / "afresh")
    assert opened[0] >= 1
    assert _files(tmp_path / "again") == _files(tmp_path / "afresh")
